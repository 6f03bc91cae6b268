"""What a manager asks, as the address of a page says it: a period, how to split it, and what to keep of it."""

import datetime as dt
import zoneinfo
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from accounts.errors import Invalid
from accounts.models import Workspace
from runs.spending.question import DIMENSIONS, SINGLE, Only, Question

SPLITS = tuple(name for name in DIMENSIONS if name != "day")
NONE = "(none)"
"""How an address says that there is no value: no agent, no tag, nobody."""
WORKSPACE = "workspace"
"""Beside the filters an address may say whose figures they are."""
FIRST_YEAR, LAST_YEAR = 2000, 2200
MOST_DAYS = 1100
MOST_VALUES = 50
_LONGEST = 254
Kept = Mapping[str, tuple[str | None, ...]]


@dataclass(frozen=True, slots=True)
class Filters:
    """Days of the workspace's zone, both included; `by` is the dimension that charts and tables are split by."""

    first: dt.date
    last: dt.date
    by: str = "pipeline"
    only: Kept = field(default_factory=dict)

    @property
    def days(self) -> list[dt.date]:
        return [self.first + dt.timedelta(days=number) for number in range((self.last - self.first).days + 1)]

    @property
    def names_calls(self) -> bool:
        """Tell whether something is kept that is a call's own, so that runs without such calls have no part in it."""
        return any(name in self.only for name in (*SINGLE, "outcome"))

    def asking(self, workspace: Workspace, *by: str, with_total: bool = True) -> Question:
        zone = zoneinfo.ZoneInfo(workspace.zone)
        since, until = _midnight(self.first, zone), _midnight(self.last + dt.timedelta(days=1), zone)
        only = {name: values[0] if name in SINGLE else values for name, values in self.only.items()}
        return Question(workspace, by, since, until, zone, only, with_total)

    def keeping(self, name: str, value: str | None) -> "Filters":
        """Return the same with only this value of a dimension; a day becomes the period."""
        if name == "day":
            day = dt.date.fromisoformat(value or "")
            return replace(self, first=day, last=day)
        return replace(self, only={**self.only, name: (value,)})

    def without(self, name: str) -> "Filters":
        return replace(self, only={other: values for other, values in self.only.items() if other != name})

    def within(self, first: dt.date, last: dt.date) -> "Filters":
        return replace(self, first=first, last=last)

    def before(self) -> "Filters":
        """Return the period to compare with: the same days of the month before, else as many days right before."""
        eve = self.first - dt.timedelta(days=1)
        if self.first.day == 1 and (self.last.year, self.last.month) == (self.first.year, self.first.month):
            is_whole = (self.last + dt.timedelta(days=1)).day == 1
            last = eve if is_whole else eve.replace(day=min(self.last.day, eve.day))
            return self.within(eve.replace(day=1), last)
        return self.within(self.first - (self.last - eve), eve)

    def query(self, **more: str) -> str:
        """Return the address's query, in one order, so that equal filters have equal addresses."""
        pairs = [("from", self.first.isoformat()), ("to", self.last.isoformat()), ("by", self.by)]
        pairs += [(name, NONE if value is None else value) for name in SPLITS for value in self.only.get(name, ())]
        return urlencode([*pairs, *more.items()])


def read(given: Mapping[str, Sequence[str]], today: dt.date, others: Iterable[str] = ()) -> Filters:
    """Return the filters that a query says; without dates it is this month until today. `others` may stand beside them.

    Raise Invalid for what is not known: a name, a day, a dimension, or several values where there can be one.
    """
    for name in given:
        if name not in ("from", "to", "by", WORKSPACE, *SPLITS, *others):
            message = f"`{name[:40]}` is no filter; there are from, to, by, {', '.join(SPLITS)}."
            raise Invalid(message, code="unknown_filter", where=f"/{name[:40]}")
    last = _day(given, "to", today)
    first = _day(given, "from", min(last, today).replace(day=1))
    if not 0 <= (last - first).days < MOST_DAYS:
        raise Invalid(f"A period has between 1 and {MOST_DAYS} days.", code="bad_period", where="/from")
    by = _one(given, "by") or "pipeline"
    if by not in SPLITS:
        message = f"Costs cannot be split by {by[:40]!r}, only by {', '.join(SPLITS)}."
        raise Invalid(message, code="unknown_dimension", where="/by")
    return Filters(first, last, by, _only(given))


def kept(given: Mapping[str, Sequence[str]]) -> Only:
    """Return what a query wants kept, as a question takes it. Raise Invalid as `read` does."""
    return {name: values[0] if name in SINGLE else values for name, values in _only(given).items()}


def _only(given: Mapping[str, Sequence[str]]) -> Kept:
    return {name: values_of(name, given[name]) for name in SPLITS if any(given.get(name, ()))}


def values_of(name: str, given: Sequence[str]) -> tuple[str | None, ...]:
    """Return the values of a dimension that an address names, None for NONE; raise Invalid as `read` does."""
    values = tuple(dict.fromkeys(None if one == NONE else one for one in given if one))
    if len(values) > (1 if name in SINGLE else MOST_VALUES):
        most = "one value" if name in SINGLE else f"{MOST_VALUES} values"
        raise Invalid(f"At most {most} of {name} can be kept.", code="too_many_values", where=f"/{name}")
    if any(value is not None and (len(value) > _LONGEST or "\0" in value) for value in values):
        raise Invalid(f"There is no such {name}.", code="unknown_value", where=f"/{name}")
    return values


def _one(given: Mapping[str, Sequence[str]], name: str) -> str:
    return (given.get(name) or [""])[-1]


def _day(given: Mapping[str, Sequence[str]], name: str, otherwise: dt.date) -> dt.date:
    text = _one(given, name)
    if not text:
        return otherwise
    try:
        found = dt.date.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or not FIRST_YEAR <= found.year < LAST_YEAR:
        raise Invalid(f"`{name}` is a day as 2026-11-20.", code="bad_time", where=f"/{name}")
    return found


def _midnight(day: dt.date, zone: zoneinfo.ZoneInfo) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day, tzinfo=zone)
