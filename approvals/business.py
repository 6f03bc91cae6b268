"""Business hours: which moments count, and when so many of them have passed. Pure; the clock comes as an argument."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from pipelines.graph.model import Json

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LONGEST_WAIT = timedelta(days=3_650)
_DAY, _MINUTE = timedelta(days=1), 60
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Calendar:
    """The hours that count. `week` has for each day, from Monday, spans of minutes since midnight on the wall's clock.

    A moment counts when the clock on the wall shows such a time: an hour that the clock leaps over in spring is no
    time at all, and one that it shows twice in autumn counts twice.
    """

    zone: ZoneInfo
    week: tuple[tuple[Span, ...], ...]
    holidays: frozenset[date] = frozenset()


def read(data: Mapping[str, Json]) -> Calendar:
    """Return the calendar in `{"zone", "week": {"mon": [["09:00", "17:00"]]}, "holidays": ["2026-12-25"]}`.

    Raises ValueError, in words for the one who wrote it, where a part is wrong or no hour of the week counts.
    """
    week = data["week"]
    unknown = sorted(set(week) - set(DAYS))
    if unknown:
        raise ValueError(f"{unknown[0][:20]!r} is no day. Days are {', '.join(DAYS)}.")
    spans = tuple(_spans(day, week.get(day) or ()) for day in DAYS)
    if not any(spans):
        raise ValueError("No hour of the week counts, so nothing would ever fall due. Give at least one day its hours.")
    return Calendar(_zone(data["zone"]), spans, frozenset(_date(one) for one in data.get("holidays") or ()))


def later(moment: datetime, seconds: float, calendar: Calendar | None = None) -> datetime:
    """Return the moment at which so many seconds have passed, counting only the calendar's; ten years at most.

    Nought seconds from a moment outside of the hours is that moment. The answer is in UTC.
    """
    since = moment.astimezone(UTC)
    limit = since + LONGEST_WAIT
    if calendar is None or seconds <= 0:
        return min(limit, since + timedelta(seconds=min(max(seconds, 0), LONGEST_WAIT.total_seconds())))
    left = timedelta(seconds=min(seconds, LONGEST_WAIT.total_seconds()))
    for begin, end in _open(calendar, since, limit):
        if end - begin >= left:
            return begin + left
        left -= end - begin
    return limit


def is_open(moment: datetime, calendar: Calendar) -> bool:
    """Tell whether the moment counts."""
    since = moment.astimezone(UTC)
    return any(begin <= since < end for begin, end in _open(calendar, since, since + timedelta(seconds=1)))


def _open(calendar: Calendar, since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield the stretches of counting time from `since`, in order, in UTC."""
    while since < until:
        end = _steady_until(calendar.zone, since, min(since + _DAY, until))
        offset = _offset(calendar.zone, since)
        for begin, stop in _on_the_wall(calendar, since + offset, end + offset):
            yield begin - offset, stop - offset
        since = end


def _on_the_wall(calendar: Calendar, begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield the counting stretches between two times of a clock that is not put forward or back in between."""
    day = begin.date()
    while (midnight := datetime.combine(day, time(), UTC)) < end:
        for first, last in () if day in calendar.holidays else calendar.week[day.weekday()]:
            start, stop = midnight + timedelta(minutes=first), midnight + timedelta(minutes=last)
            if max(start, begin) < min(stop, end):
                yield max(start, begin), min(stop, end)
        day += _DAY


def _steady_until(zone: ZoneInfo, since: datetime, until: datetime) -> datetime:
    """Return the moment until which the zone keeps its offset, to the second; looks no further than `until`."""
    offset = _offset(zone, since)
    if _offset(zone, until - timedelta(microseconds=1)) == offset:
        return until
    before, after = 0, int((until - since).total_seconds()) + 1
    base = since.replace(microsecond=0)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(zone, base + timedelta(seconds=middle)) == offset:
            before = middle
        else:
            after = middle
    return base + timedelta(seconds=after)


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # an unknown name is a KeyError, a hostile one a ValueError or OSError
        raise ValueError(f"{name[:60]!r} is no time zone. Use a name such as Europe/Berlin.") from None


def _spans(day: str, spans: Json) -> tuple[Span, ...]:
    found = sorted((_minutes(begin), _minutes(end)) for begin, end in spans)
    for begin, end in found:
        if begin >= end:
            raise ValueError(f"On {day} the hours end before they begin.")
    if any(one[1] > other[0] for one, other in pairwise(found)):
        raise ValueError(f"On {day} the hours overlap.")
    return tuple(found)


def _minutes(text: str) -> int:
    hours, colon, minutes = text.partition(":")
    fits = colon and len(hours) == len(minutes) == 2 and (hours + minutes).isascii() and (hours + minutes).isdigit()
    total = int(hours) * _MINUTE + int(minutes) if fits else -1
    if not fits or int(minutes) >= _MINUTE or total > 24 * _MINUTE:
        raise ValueError(f"{text[:20]!r} is no time of the day. Write 09:00, up to 24:00.")
    return total


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:20]!r} is no date. Write 2026-12-25.") from None
