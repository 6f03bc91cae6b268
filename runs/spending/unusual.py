"""Which hours cost far more than usual: pure, from what each hour of some weeks cost."""

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

LOOKED_BACK, LEAST_DAYS = 28, 7
TIMES = 3
FLOOR = 10_000
"""Less than a cent more than usual is worth no word."""


@dataclass(frozen=True, slots=True)
class Hour:
    """An hour above its band: what it cost, and up to what it usually would; micro-dollars."""

    begins: dt.datetime
    micros: int
    usual: int

    @property
    def ends(self) -> dt.datetime:
        return self.begins + dt.timedelta(hours=1)


def hours(spent: Mapping[dt.datetime, int], zone: dt.tzinfo, first: dt.date, last: dt.date) -> list[Hour]:
    """Return the hours of these days (the zone's) above their band, those furthest above it first.

    The band of an hour ends at three times the middle half's width above that half, of what the same hour of the clock
    cost on the last 28 days (J. W. Tukey's far out, Exploratory Data Analysis, 1977), and never below three times what
    an hour with any spend cost in the middle. With less than a week of history nothing is said.
    """
    by_day: dict[dt.date, dict[int, int]] = defaultdict(dict)
    for begins, micros in spent.items():
        local = begins.astimezone(zone)
        of = by_day[local.date()]
        of[local.hour] = of.get(local.hour, 0) + micros
    known = {day: _before(by_day, day) for day in by_day if first <= day <= last}
    found = []
    for begins, micros in spent.items():
        local = begins.astimezone(zone)
        if len(before := known.get(local.date(), ())) >= LEAST_DAYS:
            least, same = _middle(before), [day.get(local.hour, 0) for day in before]
            found.append(Hour(local, micros, max(TIMES * least, _far_out(same))))
    above = [one for one in found if one.micros > one.usual + FLOOR]
    return sorted(above, key=lambda one: (one.usual - one.micros, one.begins))


def _before(by_day: Mapping[dt.date, dict[int, int]], day: dt.date) -> tuple[dict[int, int], ...]:
    """Return what hours of the clock cost on each of the days looked back on, since the first with any spend."""
    oldest = min(by_day)
    days = (day - dt.timedelta(days=number) for number in range(1, LOOKED_BACK + 1))
    return tuple(by_day.get(one, {}) for one in days if one >= oldest)


def _middle(days: Sequence[Mapping[int, int]]) -> int:
    paid = [micros for day in days for micros in day.values()]
    return int(median(paid)) if paid else 0


def _far_out(values: Sequence[int]) -> int:
    low, _, high = quantiles(values, n=4, method="inclusive")
    return int(high + TIMES * (high - low))
