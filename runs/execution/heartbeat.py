"""A thread that keeps a worker's leases alive, stops doing so when the event loop has stalled, and ends a process
whose loop will not come back: whoever watches over it starts another.

Where the database was away or stood still for all, or the machine slept, leases ran out while their owners live. Who
could not renew its own in time takes no other's for a moment after it can again: the others are coming back too.
"""

import logging
import os
import threading
import time

import psycopg

from runs import claims

log = logging.getLogger("baton.heartbeat")

STALLED_AFTER = 20.0
HOPELESS_AFTER = 120.0
AGAIN_AFTER = 0.5
CONNECT_SECONDS = 5
PATIENCE = 8.0
"""Seconds for which others get the time to renew their leases, once this worker could renew its own again: longer than
one of their attempts may take."""
SLOW = 1.0
"""Seconds after which an attempt counts as one that found no database, however it ends."""


class Heartbeat(threading.Thread):
    """Renews every lease of `owner` three times within a lease, as long as `beat` is called often enough."""

    def __init__(self, conninfo: str, owner: str, lease_seconds: int, *, is_late: bool = False) -> None:
        """`is_late` says that the database was not there when this worker came."""
        super().__init__(name="heartbeat", daemon=True)
        self._conninfo, self._owner, self._lease = conninfo, owner, lease_seconds
        self._alive_at = time.monotonic()
        self._ended = threading.Event()
        self._is_away = is_late
        self._asked_at: float | None = None
        self._back_at = -float("inf")
        self._between_clocks = _between_clocks()
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None

    def beat(self) -> None:
        """Say that the event loop is moving."""
        self._alive_at = time.monotonic()

    @property
    def is_back(self) -> bool:
        """Whether the database has been there for long enough to say that an owner whose lease ran out is gone."""
        now, asked_at = time.monotonic(), self._asked_at
        if self._is_away or self._has_slept() or (asked_at is not None and now - asked_at > SLOW):
            return False
        return now - self._back_at > PATIENCE

    def stop(self) -> None:
        self._ended.set()

    def run(self) -> None:
        rounds = 0
        pause = self._lease / 3
        while not self._ended.wait(pause):
            stalled = time.monotonic() - self._alive_at
            if stalled > min(STALLED_AFTER, self._lease * 2 / 3):
                log.error("The event loop has stalled; leases are no longer renewed.")
                rounds += 1
                # Seen twice: after a sleep of the whole machine the loop gets its turn first.
                if stalled > HOPELESS_AFTER and rounds > 1:
                    log.critical("The event loop has stood still for %d s: this process ends.", stalled)
                    os._exit(os.EX_SOFTWARE)
                continue
            rounds = 0
            pause = self._lease / 3 if self._renew() and self.is_back else AGAIN_AFTER
        if self._connection:
            self._connection.close()

    def _renew(self) -> bool:
        """Renew; return False when the database was not there. Until it is back for good that is done again and again,
        so as to be first, and to reach the runs whose decisions were being written at that moment."""
        self._asked_at = asked_at = time.monotonic()
        try:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(self._conninfo, autocommit=True, connect_timeout=CONNECT_SECONDS)
            claims.renew(self._connection, self._owner, self._lease)
        except psycopg.Error as error:
            log.warning("Leases could not be renewed, trying again: %s", error)
            self._connection = None
            self._is_away = True
            return False
        else:
            now = time.monotonic()
            if self._is_away or now - asked_at > SLOW or self._has_slept():
                self._back_at = now
            self._is_away, self._between_clocks = False, _between_clocks()
            return True
        finally:
            self._asked_at = None  # last, so that nobody takes a slow answer for a quick one

    def _has_slept(self) -> bool:
        """Whether the machine slept since the last renewal: one of its clocks stood still meanwhile."""
        return abs(_between_clocks() - self._between_clocks) > SLOW


def _between_clocks() -> float:
    return time.time() - time.monotonic()
