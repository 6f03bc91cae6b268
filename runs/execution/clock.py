"""The database's time as a worker knows it, which no wrong or jumping clock of its own machine can move."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

DRIFT = 1e-4  # seconds a second: two quartz clocks differ by less


@dataclass(frozen=True, slots=True)
class Reading:
    """The database said `at` at some monotonic second between `asked` and `answered`."""

    at: datetime
    asked: float
    answered: float


class DatabaseClock:
    """Knows between which bounds the database's time lies and tells the earlier one, so that no timer is early.

    Each reading narrows the bounds (Marzullo's intersection), so that one slow answer makes nothing worse and the time
    told never goes back; a reading outside of them says that the database's clock was set anew, and counts alone.
    """

    def __init__(self) -> None:
        self._read_at = time.monotonic()
        self._least = self._most = time.time() - self._read_at  # until the first reading
        self._is_known = False

    def learn(self, reading: Reading) -> None:
        """Take in what the database said."""
        least, most = reading.at.timestamp() - reading.answered, reading.at.timestamp() - reading.asked
        if self._is_known:
            slack = DRIFT * (reading.answered - self._read_at)
            known = self._least - slack, self._most + slack
            if least <= known[1] and known[0] <= most:
                least, most = max(least, known[0]), min(most, known[1])
        self._least, self._most, self._read_at, self._is_known = least, most, reading.answered, True

    def now(self) -> datetime:
        """Return the database's time, or a little less."""
        return datetime.fromtimestamp(time.monotonic() + self._least, UTC)
