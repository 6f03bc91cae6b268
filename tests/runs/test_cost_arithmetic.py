"""Forecasts, reasons, waste and shares as numbers: no database."""

import datetime as dt
import json
import random
import zoneinfo
from urllib.parse import parse_qs

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.errors import Invalid
from runs.charts import bridge
from runs.spending import Spending, filters, unusual, waste
from runs.spending.chargeback import charges, shares
from runs.spending.durations import PER_DOUBLING
from runs.spending.forecast import Method, forecast, last_of_month
from runs.spending.latency import percentile
from runs.spending.movers import movers
from runs.spending.rise import FACTORS, Factor, Spent, Work, by_kind, rise
from runs.stacks import stack

TODAY = dt.date(2026, 11, 20)
AMOUNT = st.integers(0, 10**13)


def days_before(count: int, micros: int = 1_000_000) -> dict[dt.date, int]:
    return {TODAY - dt.timedelta(days=number): micros for number in range(1, count + 1)}


# Forecast


@pytest.mark.parametrize(
    ("days", "method"), [(0, Method.TOO_LITTLE), (4, Method.TOO_LITTLE), (5, Method.PLAIN), (21, Method.BY_WEEKDAY)]
)
def test_the_method_is_as_good_as_the_history_is_long(days: int, method: Method) -> None:
    found = forecast(days_before(days), TODAY)
    assert (found.method, found.days) == (method, days)
    assert (found.micros is None) == (method is Method.TOO_LITTLE)
    assert ("Too little history" in found.said) == (method is Method.TOO_LITTLE)


def test_what_costs_the_same_each_day_is_foretold_exactly() -> None:
    found = forecast({**days_before(56), TODAY: 400_000}, TODAY)
    assert (found.micros, found.low, found.high, found.until) == (
        30_000_000,
        30_000_000,
        30_000_000,
        dt.date(2026, 11, 30),
    )


def test_weekends_cost_what_weekends_cost() -> None:
    spent = {day: 0 if day.weekday() >= 5 else 1_000_000 for day in days_before(56)}
    found = forecast(spent, TODAY)  # a Friday: one working day and four after a weekend, and Monday the 30th
    working = sum((TODAY.replace(day=number)).weekday() < 5 for number in range(1, 31))
    assert found.micros == found.high == working * 1_000_000


def test_more_spent_than_foretold_is_no_less_than_spent() -> None:
    found = forecast({**days_before(30, 1), TODAY: 10**9}, TODAY)
    assert found.low is not None
    assert found.micros is not None
    assert found.micros >= found.low >= 10**9


def test_eight_of_ten_forecasts_hold() -> None:
    held = 0
    for seed in range(300):
        dice = random.Random(seed)
        daily = {
            TODAY + dt.timedelta(days=number): max(0, round(dice.gauss(8e6 if number % 7 < 5 else 3e6, 2e6)))
            for number in range(-56, 11)
        }
        found = forecast({day: micros for day, micros in daily.items() if day < TODAY}, TODAY)
        month = sum(micros for day, micros in daily.items() if day.month == TODAY.month)
        held += (found.low or 0) <= month <= (found.high or 0)
    assert 0.72 <= held / 300 <= 0.9


# Why it rose

WORK = st.dictionaries(
    st.tuples(st.sampled_from(["p1", "p2", None]), st.sampled_from(["small", "large"])),
    st.builds(Work, st.integers(0, 5000), st.integers(0, 10**7), st.integers(0, 10**10)),
    max_size=5,
)
SPENT = st.builds(Spent, st.integers(0, 1000), WORK)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(SPENT, SPENT)
def test_the_parts_sum_to_the_change(before: Spent, now: Spent) -> None:
    parts = rise(before, now)
    assert tuple(parts) == FACTORS
    assert sum(parts.values()) == now.cost - before.cost
    back = rise(now, before)
    most = 5 * len({**before.work, **now.work})
    assert all(abs(parts[factor] + back[factor]) <= most for factor in FACTORS), "the way back is the same way"


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(SPENT, SPENT)
def test_what_pipelines_and_models_add_sums_to_the_reasons_and_to_what_they_cost_more(
    before: Spent, now: Spent
) -> None:
    kinds, parts = by_kind(before, now), rise(before, now)
    assert {factor: sum(part[factor] for part in kinds.values()) for factor in FACTORS} == parts
    for kind, part in kinds.items():
        assert sum(part.values()) == now.cost_of(kind) - before.cost_of(kind)


def test_each_model_has_its_own_part_of_a_reason() -> None:
    def spent(small: int, large: int) -> Spent:
        return Spent(10, {("p", "small"): Work(50, 5_000, small), ("p", "large"): Work(50, 5_000, large)})

    kinds = by_kind(spent(1_000, 8_000), spent(3_000, 4_000))
    assert kinds["p", "small"] == dict.fromkeys(FACTORS, 0) | {Factor.PRICE: 2_000}
    assert kinds["p", "large"] == dict.fromkeys(FACTORS, 0) | {Factor.PRICE: -4_000}


def one(runs: int, calls: int, tokens: int, cost: int) -> Spent:
    return Spent(runs, {("p", "m"): Work(calls, tokens, cost)})


@pytest.mark.parametrize(
    ("now", "factor"),
    [
        (one(20, 200, 20_000, 2_000_000), Factor.RUNS),
        (one(10, 200, 20_000, 2_000_000), Factor.CALLS),
        (one(10, 100, 20_000, 2_000_000), Factor.TOKENS),
        (one(10, 100, 10_000, 2_000_000), Factor.PRICE),
    ],
)
def test_what_alone_changed_has_the_whole_part(now: Spent, factor: Factor) -> None:
    assert rise(one(10, 100, 10_000, 1_000_000), now) == dict.fromkeys(FACTORS, 0) | {factor: 1_000_000}


def test_a_dearer_model_for_the_same_calls_is_the_mix() -> None:
    def with_model(model: str, cost: int) -> Spent:
        return Spent(10, {("p", model): Work(100, 10_000, cost)})

    parts = rise(with_model("small", 1_000_000), with_model("large", 3_000_000))
    assert parts == dict.fromkeys(FACTORS, 0) | {Factor.MIX: 2_000_000}


def test_a_period_without_calls_makes_all_of_it_a_matter_of_runs() -> None:
    assert rise(Spent(0, {}), one(3, 9, 90, 700))[Factor.RUNS] == 700


def test_the_bridge_leads_from_before_to_now() -> None:
    parts = rise(one(10, 100, 10_000, 1_000_000), one(12, 130, 11_000, 1_400_000))
    drawn = bridge(1_000_000, parts, 1_400_000, dict.fromkeys(FACTORS, "x"))
    assert sum(pier.micros for pier in drawn.piers if not pier.is_sum) == 400_000
    assert [pier.micros for pier in drawn.piers if pier.is_sum] == [1_000_000, 1_400_000]


# Movers, waste, shares


@given(st.dictionaries(st.text(max_size=3), AMOUNT), st.dictionaries(st.text(max_size=3), AMOUNT))
def test_what_moved_sums_to_the_change(now: dict[str | None, int], before: dict[str | None, int]) -> None:
    found = movers(now, before)
    assert sum(one.change for one in found) == sum(now.values()) - sum(before.values())
    assert [abs(one.change) for one in found] == sorted((abs(one.change) for one in found), reverse=True)


def test_no_call_is_two_kinds_of_waste() -> None:
    lines = {
        ("p", "write", "failed"): Spending(cost=100, retried=30, repaired=20),
        ("p", "write", "succeeded"): Spending(cost=1000, retried=1, unused=200, looped=300, saved=7),
        ("p", "edit", "cancelled"): Spending(cost=40),
        ("p", "edit", "running"): Spending(cost=5, repaired=2),
        ("q", "edit", "failed"): Spending(cost=None, unpriced=3),
    }
    found = {str(line.kind): line.micros for line in waste.waste(lines)}
    assert found == {
        "looped": 300, "unused": 200, "failed": 50, "cancelled": 40, "retried": 31, "repaired": 22, "unread": 0,
    }  # fmt: skip
    told = {str(line.kind): line.micros for line in waste.waste(lines, unread={("p", "write"), ("p", "edit")})}
    assert told == {**found, "unread": 1000 - 1 - 200 - 300}, "of runs that succeeded, what is no other waste"
    assert waste.saved(lines) == (7, (waste.Place("p", "write", 7),))


@given(
    st.dictionaries(
        st.tuples(st.lists(st.sampled_from("abcd"), max_size=4).map(json.dumps), st.sampled_from(["p", "q"])),
        st.builds(Spending, cost=st.one_of(st.none(), AMOUNT)),
    )
)
def test_charges_sum_to_what_was_spent(lines: dict[tuple[str | None, ...], Spending]) -> None:
    found = charges(lines)
    assert sum(one.charged or 0 for one in found) == sum(line.cost or 0 for line in lines.values())
    for one in found:
        parts = [part for part in one.pipelines.values() if part is not None]
        assert one.charged == (sum(parts) if parts else None), "unknown where nothing of it is known"
        assert one.shared >= 0


@given(AMOUNT, st.integers(1, 20))
def test_shares_are_nearly_equal_and_lose_nothing(micros: int, count: int) -> None:
    parts = shares(micros, count)
    assert sum(parts) == micros
    assert max(parts) - min(parts) <= 1


# Times


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=200), st.sampled_from([0.5, 0.95]))
def test_a_percentile_is_right_to_within_ten_percent(times: list[int], share: float) -> None:
    buckets: dict[int, int] = {}
    for ms in times:
        bucket = next(number for number in range(1, 200) if ms < 2 ** (number / PER_DOUBLING))
        buckets[bucket] = buckets.get(bucket, 0) + 1
    exact = sorted(times)[max(0, -int(-share * len(times) // 1) - 1)] / 1000
    found = percentile(buckets, share)
    assert found is not None
    assert exact / 1.1 <= found <= exact * 1.1


# Filters


def test_filters_go_through_the_address_and_back() -> None:
    asked = {"from": ["2026-10-03"], "to": ["2026-11-02"], "by": ["tag"], "tag": ["a&b", "(none)"], "agent": ["w@1"]}
    found = filters.read(asked, TODAY)
    assert found.only == {"agent": ("w@1",), "tag": ("a&b", None)}
    assert filters.read(parse_qs(found.query()), TODAY) == found


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"colour": ["red"]}, "unknown_filter"),
        ({"by": ["day"]}, "unknown_dimension"),
        ({"from": ["yesterday"]}, "bad_time"),
        ({"from": ["0001-01-01"]}, "bad_time"),
        ({"from": ["2026-11-21"], "to": ["2026-11-20"]}, "bad_period"),
        ({"from": ["2020-01-01"]}, "bad_period"),
        ({"agent": ["a@1", "b@1"]}, "too_many_values"),
        ({"tag": [str(number) for number in range(51)]}, "too_many_values"),
        ({"tag": ["x" * 300]}, "unknown_value"),
    ],
)
def test_what_is_not_known_is_refused(asked: dict[str, list[str]], code: str) -> None:
    with pytest.raises(Invalid) as refused:
        filters.read(asked, TODAY)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("first", "last", "before"),
    [
        ("2026-11-01", "2026-11-20", ("2026-10-01", "2026-10-20")),
        ("2026-03-01", "2026-03-31", ("2026-02-01", "2026-02-28")),
        ("2026-03-01", "2026-03-30", ("2026-02-01", "2026-02-28")),
        ("2026-02-01", "2026-02-28", ("2026-01-01", "2026-01-31")),
        ("2026-11-14", "2026-11-20", ("2026-11-07", "2026-11-13")),
        ("2026-11-20", "2026-11-20", ("2026-11-19", "2026-11-19")),
    ],
)
def test_a_period_is_compared_with_the_one_before(first: str, last: str, before: tuple[str, str]) -> None:
    found = filters.read({"from": [first], "to": [last]}, TODAY).before()
    assert (found.first.isoformat(), found.last.isoformat()) == before


@pytest.mark.parametrize(("days", "unit"), [(1, "day"), (62, "day"), (63, "week"), (434, "week"), (435, "month")])
def test_columns_hold_every_day_once(days: int, unit: str) -> None:
    first = TODAY - dt.timedelta(days=days - 1)
    asked = filters.Filters(first, TODAY)
    lines = {("p", day.isoformat()): Spending(cost=number) for number, day in enumerate(asked.days)}
    found = stack(asked, [("P", "p")], lines)
    assert found.unit == unit
    assert sum(found.totals) == sum(range(days))
    assert last_of_month(TODAY) == dt.date(2026, 11, 30)


def test_a_thousand_tags_make_a_short_page_that_still_sums() -> None:
    asked = filters.Filters(TODAY, TODAY, "tag")
    lines = {(str(tag), TODAY.isoformat()): Spending(cost=tag) for tag in range(1_000)}
    found = stack(asked, [(name, name) for (name, _) in lines], lines)
    assert (len(found.drawn), len(found.listed)) == (7, 41)
    for shown in (found.drawn, found.listed):
        assert sum(one.total for one in shown) == sum(range(1_000))


# Unusual hours


def hours_of(days: int, micros: int, hour: int = 9) -> dict[dt.datetime, int]:
    """Return what one hour of the clock cost on each of so many days before today."""
    noon = dt.datetime(TODAY.year, TODAY.month, TODAY.day, hour, tzinfo=dt.UTC)
    return {noon - dt.timedelta(days=number): micros for number in range(1, days + 1)}


def unusual_hours(spent: dict[dt.datetime, int]) -> list[tuple[int, int, int]]:
    found = unusual.hours(spent, zoneinfo.ZoneInfo("Europe/Berlin"), TODAY, TODAY)
    return [(one.begins.hour, one.micros, one.usual) for one in found]


def test_an_hour_is_unusual_above_what_the_same_hour_cost_in_four_weeks() -> None:
    nine, ten = (dt.datetime(TODAY.year, TODAY.month, TODAY.day, hour, tzinfo=dt.UTC) for hour in (9, 10))
    before = hours_of(28, 1_000_000)
    assert unusual_hours({**before, nine: 3_000_000}) == [], "three times what an hour with spend cost"
    assert unusual_hours({**before, nine: 3_100_000}) == [(10, 3_100_000, 3_000_000)], "by the zone's clock"
    assert unusual_hours({**before, ten: 2_900_000}) == [], "at an hour without spend it is what all hours cost"
    wide = before | hours_of(14, 9_000_000)
    assert unusual_hours({**wide, nine: 32_000_000}) == []
    assert unusual_hours({**wide, nine: 34_000_000})[0][2] == 33_000_000, "the band is as wide as its days differ"


def test_less_than_a_week_or_less_than_a_cent_is_worth_no_word() -> None:
    nine = dt.datetime(TODAY.year, TODAY.month, TODAY.day, 9, tzinfo=dt.UTC)
    assert unusual_hours({**hours_of(6, 1_000), nine: 90_000_000}) == []
    assert unusual_hours({**hours_of(7, 1_000), nine: 12_999}) == []
    assert unusual_hours({**hours_of(7, 1_000), nine: 13_001}) == [(10, 13_001, 3_000)]
    assert unusual_hours({}) == []
