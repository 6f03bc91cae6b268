"""Business hours against the clock on the wall, counted minute by minute, on both days that change it."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals import business
from approvals.business import DAYS, LONGEST_WAIT, Calendar, is_open, later

WORKDAYS: dict[str, Any] = {day: [["09:00", "17:00"]] for day in DAYS[:5]}
# Odd offsets, half-hour changes, a day that never was, and changes at midnight.
ZONES = [
    *("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Chatham"),
    *("America/Sao_Paulo", "Africa/Casablanca", "Pacific/Apia", "Asia/Kolkata", "America/St_Johns", "Asia/Beirut"),
]
HOUR, MINUTE = 3_600, timedelta(minutes=1)


def calendar(zone: str = "Europe/Berlin", week: Any = None, holidays: tuple[str, ...] = ()) -> Calendar:
    return business.read({"zone": zone, "week": week or WORKDAYS, "holidays": list(holidays)})


def berlin(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin"), fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("since", "hours", "due"),
    [
        ("2026-03-25 10:00", 2, "2026-03-25 12:00"),
        ("2026-03-25 16:00", 2, "2026-03-26 10:00"),
        ("2026-03-25 03:00", 1, "2026-03-25 10:00"),
        ("2026-03-27 16:30", 1, "2026-03-30 09:30"),  # over the weekend on which the clocks go forward
        ("2026-10-23 16:30", 1, "2026-10-26 09:30"),  # and back
        ("2026-03-28 12:00", 8, "2026-03-30 17:00"),  # exactly the whole day ends with the day
        ("2026-03-25 16:00", 17, "2026-03-27 17:00"),  # 1 + 8 + 8
        ("2026-12-24 16:00", 2, "2026-12-28 10:00"),  # Christmas is a Friday
        ("2026-03-28 12:00", 0, "2026-03-28 12:00"),
    ],
)
def test_hours_are_counted_on_the_clock_of_the_wall(since: str, hours: int, due: str) -> None:
    found = later(berlin(since), hours * HOUR, calendar(holidays=("2026-12-25",)))
    assert found == berlin(due)
    assert found.tzinfo is UTC


def test_an_hour_that_the_clock_leaps_over_is_no_time() -> None:
    nights = calendar(week={"sun": [["01:00", "04:00"]]})  # on 29 March 2026 that is two hours
    assert later(berlin("2026-03-29 00:00"), 2 * HOUR, nights) == berlin("2026-03-29 04:00")
    assert later(berlin("2026-03-29 00:00"), 2 * HOUR + 60, nights) == berlin("2026-04-05 01:01")


def test_an_hour_that_the_clock_shows_twice_counts_twice() -> None:
    nights = calendar(week={"sun": [["02:00", "02:30"]]})  # on 25 October 2026 it comes twice
    assert later(berlin("2026-10-25 00:00"), 1_800, nights) == berlin("2026-10-25 02:30", fold=0)
    assert later(berlin("2026-10-25 00:00"), 1_860, nights) == berlin("2026-10-25 02:01", fold=1)
    assert later(berlin("2026-10-25 00:00"), HOUR, nights) == berlin("2026-10-25 02:30", fold=1)


def test_hours_within_the_gap_alone_never_come_that_day() -> None:
    gap = calendar(week={"sun": [["02:00", "03:00"]]})
    assert later(berlin("2026-03-29 00:00"), 60, gap) == berlin("2026-04-05 02:01")


def test_a_day_that_never_was_is_passed_over() -> None:
    """Samoa had no 30 December 2011, a Friday."""
    apia = calendar("Pacific/Apia")
    thursday = datetime(2011, 12, 29, 16, tzinfo=ZoneInfo("Pacific/Apia"))
    assert later(thursday, 2 * HOUR, apia) == datetime(2012, 1, 2, 10, tzinfo=ZoneInfo("Pacific/Apia"))


def test_without_a_calendar_every_second_counts_up_to_ten_years() -> None:
    since = datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert later(since, 48 * HOUR) == since + timedelta(hours=48)
    assert later(since, 1e12) == since + LONGEST_WAIT
    assert later(since, 1e12, calendar()) == since + LONGEST_WAIT


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"week": {}}, "would ever fall due"),
        ({"week": {"mon": []}}, "would ever fall due"),
        ({"week": {"monday": [["09:00", "17:00"]]}}, "is no day"),
        ({"week": {"mon": [["17:00", "09:00"]]}}, "end before they begin"),
        ({"week": {"mon": [["09:00", "09:00"]]}}, "end before they begin"),
        ({"week": {"mon": [["09:00", "12:00"], ["11:00", "13:00"]]}}, "overlap"),
        ({"week": {"mon": [["9:00", "12:00"]]}}, "no time of the day"),
        ({"week": {"mon": [["09:00", "24:01"]]}}, "no time of the day"),
        ({"week": {"mon": [["09:60", "12:00"]]}}, "no time of the day"),
        ({"zone": "Europe/Atlantis"}, "no time zone"),
        ({"zone": "../../etc/passwd"}, "no time zone"),
        ({"zone": ""}, "no time zone"),
        ({"holidays": ["Christmas"]}, "is no date"),
    ],
)
def test_a_calendar_that_makes_no_sense_is_refused_in_words(data: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        business.read({"zone": "UTC", "week": WORKDAYS, "holidays": [], **data})


def counted(calendar: Calendar, since: datetime, until: datetime) -> int:
    """Count the minutes between two moments at which the wall shows a time of the calendar."""
    minutes, moment = 0, since
    while moment < until:
        wall = moment.astimezone(calendar.zone)
        of_day = wall.hour * 60 + wall.minute
        spans = () if wall.date() in calendar.holidays else calendar.week[wall.weekday()]
        minutes += any(begin <= of_day < end for begin, end in spans)
        moment += MINUTE
    return minutes


# The days around changes of the clock, in either direction, in the zones above.
NEAR = st.sampled_from(
    [
        *(date(2026, 3, 8), date(2026, 3, 29), date(2026, 4, 5), date(2026, 10, 4), date(2026, 10, 25)),
        *(date(2026, 11, 1), date(2026, 2, 15), date(2026, 3, 22), date(2011, 12, 29), date(2018, 11, 3)),
    ]
)
SPAN = st.tuples(st.integers(0, 24 * 60 - 1), st.integers(1, 24 * 60)).filter(lambda pair: pair[0] < pair[1])


@settings(max_examples=60, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    spans=st.lists(SPAN, min_size=7, max_size=7),
    near=NEAR,
    minute=st.integers(0, 2 * 24 * 60),
    wanted=st.integers(1, 40 * 60),
    holiday=st.integers(0, 5),
)
def test_exactly_so_many_minutes_of_the_wall_pass(
    zone: str, spans: list[tuple[int, int]], near: date, minute: int, wanted: int, holiday: int
) -> None:
    week = tuple((span,) for span in spans)
    hours = Calendar(ZoneInfo(zone), week, frozenset({near + timedelta(days=holiday)}))
    since = datetime.combine(near, time(), UTC) - timedelta(days=1) + timedelta(minutes=minute)
    due = later(since, wanted * 60, hours)
    if due - since > timedelta(days=12):  # too far to count one by one; the first twelve days must fall short of it
        assert counted(hours, since, since + timedelta(days=12)) < wanted
        return
    assert counted(hours, since, due) == wanted
    assert is_open(due - MINUTE, hours)


@given(seconds=st.integers(0, 10**7), more=st.integers(0, 10**6), zone=st.sampled_from(ZONES))
@settings(max_examples=40, deadline=None)
def test_waiting_longer_is_never_due_sooner(seconds: int, more: int, zone: str) -> None:
    since, hours = datetime(2026, 10, 24, 21, 7, tzinfo=UTC), calendar(zone)
    assert since <= later(since, seconds, hours) <= later(since, seconds + more, hours)
