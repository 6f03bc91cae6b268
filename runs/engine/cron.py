"""When a schedule is due: five cron fields on the clock of a zone. Pure: the present comes from outside.

Each time on the clock counts once. One that does not exist, because clocks go forward past it, is due in the first
moment after the gap; one that occurs twice, because clocks go back, is due the first time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SUNDAY_TOO = 7
# 29 February is at most eight years away (1896 to 1904, 2096 to 2104).
_LONGEST_WAIT = 366 * 8 + 2
LONGEST = 120


class BadCron(ValueError):
    """A cron text that says nothing; the message says why."""


@dataclass(frozen=True, slots=True)
class Field:
    """One of the five. `is_open` where the text begins with a star, as cron has it."""

    values: frozenset[int]
    is_open: bool


@dataclass(frozen=True, slots=True)
class Cron:
    """Weekdays count from Sunday, 0. A day is meant when both its fields agree; when either does, where both name
    days (as `0 9 1 * mon`: on the first, and on Mondays)."""

    minutes: Field
    hours: Field
    days: Field
    months: Field
    weekdays: Field


@dataclass(frozen=True, slots=True)
class _Range:
    name: str
    least: int
    most: int
    names: Mapping[str, int]


_FIELDS = (
    _Range("minute", 0, 59, {}),
    _Range("hour", 0, 23, {}),
    _Range("day of the month", 1, 31, {}),
    _Range("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    _Range("day of the week", 0, _SUNDAY_TOO, {name: number for number, name in enumerate(_DAYS)}),
)


def parse(text: str) -> Cron:
    """Return the schedule in `minute hour day month weekday`; raise BadCron.

    A field is `*`, a number, a range `1-5`, a step `*/15`, `10-20/2` or `5/15` (from 5 on), or several of them with
    commas. Months and weekdays may be named by three letters; Sunday is 0 and 7.
    """
    parts = text.lower().split()
    if len(text) > LONGEST or len(parts) != len(_FIELDS):
        raise BadCron("A schedule has five fields: minute, hour, day of the month, month, day of the week.")
    return Cron(*(_field(part, about) for part, about in zip(parts, _FIELDS, strict=True)))


def upcoming(cron: Cron, zone: ZoneInfo, moment: datetime, count: int) -> list[datetime]:
    """Return the next moments after this one, in UTC, at most `count`."""
    return list(islice(_moments(cron, zone, moment), count))


def _moments(cron: Cron, zone: ZoneInfo, since: datetime) -> Iterator[datetime]:
    """Yield what comes after a moment in order: what one day on the clock after another says."""
    last = since.astimezone(UTC)
    first = since.astimezone(zone).date() - timedelta(days=1)  # what a gap at midnight left out belongs to today
    for number in range(_LONGEST_WAIT):
        try:
            day = first + timedelta(days=number)
        except OverflowError:
            return
        if not _is_meant(cron, day.month, day.day, day.isoweekday() % 7):
            continue
        for hour in sorted(cron.hours.values):
            for minute in sorted(cron.minutes.values):
                at = _moment(datetime.combine(day, time(hour, minute)), zone)
                if at > last:  # several times in one gap are one moment
                    last = at
                    yield at


def _is_meant(cron: Cron, month: int, day: int, weekday: int) -> bool:
    if month not in cron.months.values:
        return False
    fits = day in cron.days.values, weekday in cron.weekdays.values
    return all(fits) if cron.days.is_open or cron.weekdays.is_open else any(fits)


def _moment(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return when clocks in the zone first show this time; for one they leave out, the first moment after the gap."""
    at = wall.replace(tzinfo=zone).astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None) == wall:
        return at
    # Read by the offset from before the gap a missing time lies behind it, by the offset from after it, before it.
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    offset, low, high = _offset(before, zone), 0, int((at - before).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(before + timedelta(seconds=middle), zone) == offset:
            low = middle
        else:
            high = middle
    return before + timedelta(seconds=high)


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta | None:
    return moment.astimezone(zone).utcoffset()


def _field(text: str, about: _Range) -> Field:
    values: set[int] = set()
    for part in text.split(","):
        values.update(_values(part, about))
    if about.most == _SUNDAY_TOO and _SUNDAY_TOO in values:
        values = values - {_SUNDAY_TOO} | {0}
    return Field(frozenset(values), text.startswith("*"))


def _values(part: str, about: _Range) -> range:
    span, slash, step_text = part.partition("/")
    low, dash, high = span.partition("-")
    step = _number(step_text, about) if slash else 1
    if step < 1:
        raise BadCron(f"The step in {part[:20]!r} is 1 or more ({about.name}).")
    if span == "*":
        return range(about.least, about.most + 1, step)
    first = _in_range(low, about)
    if not dash:
        return range(first, (about.most if slash else first) + 1, step)
    last = _in_range(high, about)
    if last == 0 and about.most == _SUNDAY_TOO and first:
        last = _SUNDAY_TOO  # fri-sun
    if last < first:
        raise BadCron(f"The range {span[:20]!r} ends before it begins ({about.name}).")
    return range(first, last + 1, step)


def _in_range(text: str, about: _Range) -> int:
    number = about.names[text] if text in about.names else _number(text, about)
    if not about.least <= number <= about.most:
        raise BadCron(f"The {about.name} is {about.least} to {about.most}, not {number}.")
    return number


def _number(text: str, about: _Range) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        raise BadCron(f"{text[:20]!r} is no {about.name}.")
    return int(text)
