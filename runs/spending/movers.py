"""What costs more or less than before: one period against another, by any dimension."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mover:
    """Micro-dollars now and before, None where no price is known; `name` is None for what has no value there."""

    name: str | None
    now: int | None
    before: int | None

    @property
    def change(self) -> int | None:
        return None if self.now is None or self.before is None else self.now - self.before

    @property
    def percent(self) -> float | None:
        """The change in percent of before; None for what is new, or not known."""
        return None if self.change is None or not self.before else 100 * self.change / self.before


def movers(now: Mapping[str | None, int | None], before: Mapping[str | None, int | None]) -> list[Mover]:
    """Return every value of either period, the largest change first.

    Their changes sum to the change of the whole, where all are known.
    """
    found = [Mover(name, now.get(name, 0), before.get(name, 0)) for name in {**now, **before}]
    return sorted(found, key=lambda one: (-abs(one.change or 0), -(one.now or 0), one.name or ""))
