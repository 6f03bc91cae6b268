"""When schedules are due: what the fields mean, and what happens where clocks change."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.engine.cron import BadCron, parse, upcoming

BERLIN, NEW_YORK, LORD_HOWE = (ZoneInfo(name) for name in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe"))
UTC_ZONE = ZoneInfo("UTC")


def at(text: str) -> datetime:
    """Return a moment in UTC, written as 2026-11-29T10:00."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def after(cron: str, since: str, zone: ZoneInfo = UTC_ZONE, count: int = 1) -> list[str]:
    """Return the next moments as the zone's clocks show them, with their offset from UTC."""
    found = upcoming(parse(cron), zone, at(since), count)
    return [f"{moment.astimezone(zone):%Y-%m-%d %H:%M%z}" for moment in found]


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("* * * * *", "2026-11-29 10:01"),
        ("*/15 * * * *", "2026-11-29 10:15"),
        ("0 9 * * *", "2026-11-30 09:00"),
        ("30 8 * * 1-5", "2026-11-30 08:30"),
        ("0 9 * * sun", "2026-12-06 09:00"),
        ("0 12 * * 7", "2026-11-29 12:00"),
        ("0 9 * * fri-sun", "2026-12-04 09:00"),
        ("0 0 1 jan *", "2027-01-01 00:00"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("0 0 31 * *", "2026-12-31 00:00"),
        ("5/20 10 * * *", "2026-11-29 10:05"),
        ("10-20/5,59 10 * * *", "2026-11-29 10:10"),
        ("0 9 15 * mon", "2026-11-30 09:00"),  # both name days: either counts
        ("0 9 */2 * mon", "2026-12-07 09:00"),  # a star: both must fit, and 30 November is even
    ],
)
def test_a_field_means_what_cron_means(cron: str, expected: str) -> None:
    assert after(cron, "2026-11-29T10:00")[0] == f"{expected}+0000"


@pytest.mark.parametrize(
    "text",
    """
    * * * *|* * * * * *|60 * * * *|* 24 * * *|* * 0 * *|* * * 13 *|* * * * 8|*/0 * * * *|5-1 * * * *|a * * * *
    |1, * * * *|-1 * * * *|1.5 * * * *|* * * * mo|² * * * *|@daily|1/ * * * *|* * * mon *|9999999999 * * * *
    """.strip().split("|"),
)
def test_what_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(BadCron):
        parse(text)


def test_a_day_that_never_comes_has_no_next() -> None:
    assert upcoming(parse("0 0 30 2 *"), UTC_ZONE, at("2026-11-29T10:00"), 1) == []


def test_a_leap_day_is_found_over_a_century_without_one() -> None:
    assert after("0 0 29 2 *", "2096-03-01T00:00") == ["2104-02-29 00:00+0000"]


def test_clocks_that_go_forward_leave_no_day_out() -> None:
    """02:30 does not exist in Berlin on 29 March 2026: it is due at 03:00, when the gap ends, once."""
    assert after("30 2 * * *", "2026-03-27T12:00", BERLIN, 3) == [
        "2026-03-28 02:30+0100",
        "2026-03-29 03:00+0200",
        "2026-03-30 02:30+0200",
    ]


def test_several_times_in_one_gap_are_due_once_and_not_beside_a_time_that_is_there() -> None:
    assert after("*/15 2 * * *", "2026-03-29T00:00", BERLIN, 2) == ["2026-03-29 03:00+0200", "2026-03-30 02:00+0200"]
    assert after("0,30 2,3 * * *", "2026-03-29T00:00", BERLIN, 3) == [
        "2026-03-29 03:00+0200",
        "2026-03-29 03:30+0200",
        "2026-03-30 02:00+0200",
    ]


def test_a_time_that_occurs_twice_is_due_the_first_time_only() -> None:
    assert after("30 2 * * *", "2026-10-24T12:00", BERLIN, 2) == ["2026-10-25 02:30+0200", "2026-10-26 02:30+0100"]
    assert after("30 1 * * *", "2026-11-01T00:00", NEW_YORK, 2) == ["2026-11-01 01:30-0400", "2026-11-02 01:30-0500"]
    # asked between the two, the second is not due
    assert after("30 2 * * *", "2026-10-25T00:45", BERLIN) == ["2026-10-26 02:30+0100"]


def test_half_an_hour_of_change_and_a_change_at_midnight_count_too() -> None:
    assert after("15 2 * * *", "2026-10-03T00:00", LORD_HOWE, 2)[1] == "2026-10-05 02:15+1100"
    assert after("15 2 * * *", "2026-10-03T00:00", LORD_HOWE)[0] == "2026-10-04 02:30+1100"
    beirut = ZoneInfo("Asia/Beirut")  # midnight of 29 March 2026 does not exist
    assert after("0 0 * * *", "2026-03-28T10:00", beirut, 2) == ["2026-03-29 01:00+0300", "2026-03-30 00:00+0300"]
    assert after("30 0 * * 0", "2026-03-28T10:00", beirut) == ["2026-03-29 01:00+0300"]


def test_a_day_that_a_zone_left_out_is_due_when_the_next_begins() -> None:
    samoa = ZoneInfo("Pacific/Apia")  # 30 December 2011 was left out
    assert after("0 9 * * *", "2011-12-29T00:00", samoa, 3) == [
        "2011-12-29 09:00-1000",
        "2011-12-31 00:00+1400",
        "2011-12-31 09:00+1400",
    ]


ZONES = st.sampled_from([BERLIN, NEW_YORK, LORD_HOWE, ZoneInfo("Africa/Cairo"), ZoneInfo("America/Sao_Paulo")])
MOMENTS = st.integers(0, 30 * 366 * 1440).map(lambda minutes: at("2005-01-01T00:00") + timedelta(minutes=minutes))


@given(minute=st.integers(0, 59), hour=st.integers(0, 23), zone=ZONES, since=MOMENTS)
def test_a_daily_time_is_due_once_for_each_day_on_the_clock(
    minute: int, hour: int, zone: ZoneInfo, since: datetime
) -> None:
    found = upcoming(parse(f"{minute} {hour} * * *"), zone, since, 400)
    assert all(moment > since for moment in found)
    days = [moment.astimezone(zone).date() for moment in found]
    assert days == [days[0] + timedelta(days=number) for number in range(400)]
    late = [moment for moment in found if moment.astimezone(zone).replace(tzinfo=None).time() != time_of(hour, minute)]
    assert len(late) <= 3, "only where clocks go forward"


@given(zone=ZONES, since=MOMENTS)
def test_asking_from_moment_to_moment_finds_the_same_as_asking_once(zone: ZoneInfo, since: datetime) -> None:
    cron = parse("*/10 0-4 * * *")
    together, one_by_one, last = upcoming(cron, zone, since, 60), [], since
    for _ in together:
        (last,) = upcoming(cron, zone, last, 1)
        one_by_one.append(last)
    assert one_by_one == together


def time_of(hour: int, minute: int) -> time:
    return time(hour, minute)
