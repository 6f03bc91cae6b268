"""When an alert rule speaks, from the readings of days alone."""

import datetime as dt

import pytest

from notices.verdicts import Reading, above, silent, together, unusual

TODAY = dt.date(2026, 11, 27)  # a Friday


def back(*days: int) -> set[dt.date]:
    return {TODAY - dt.timedelta(days=n) for n in days}


def month(values: list[int], today: int, sample: int = 9) -> dict[dt.date, Reading]:
    """Return readings of the days before, the newest first, and of today."""
    before = {TODAY - dt.timedelta(days=n): Reading(value, sample) for n, value in enumerate(values, start=1)}
    return {**before, TODAY: Reading(today, sample)}


@pytest.mark.parametrize(
    ("metric", "value", "sample", "limit", "speaks"),
    [
        ("spend", 5_000_001, 1, 5_000_000, True),
        ("spend", 5_000_000, 1, 5_000_000, False),
        ("failures", 5_000, 5, 2_000, True),
        ("failures", 10_000, 4, 2_000, False),
        ("failures", 100, 100, 0, True),
        ("latency", 9_000, 5, 8_000, True),
        ("latency", 9_000, 4, 8_000, False),
    ],
)
def test_a_threshold_speaks_above_its_limit_and_of_enough_runs(
    metric: str, value: int, sample: int, limit: int, speaks: bool
) -> None:
    assert (above(metric, Reading(value, sample), limit) is not None) is speaks


def test_a_threshold_says_the_numbers_it_follows_from() -> None:
    verdict = above("failures", Reading(2_500, 8), 2_000)
    assert verdict is not None
    assert verdict.said == "25% of 8 runs failed; the limit is 20%."
    verdict = above("spend", Reading(5_250_000, 8), 5_000_000)
    assert verdict is not None
    assert verdict.said == "$5.25 spent; the limit is $5."
    assert above("spend", None, 1) is None


@pytest.mark.parametrize(
    ("values", "today", "speaks"),
    [
        ([100_000] * 7, 300_001, True),
        ([100_000] * 7, 300_000, False),
        ([100_000] * 6, 900_000, False),
        ([100_000] * 6 + [9_000_000], 300_001, True),  # one dear day does not move a median
        ([10] * 7, 9_000, False),  # nine hundred times as much, and not a cent
        ([1_000_000] * 28 + [10] * 60, 1_000_000, False),  # what is older does not count
    ],
)
def test_an_anomaly_is_measured_by_the_median_of_its_own_days(values: list[int], today: int, speaks: bool) -> None:
    assert (unusual("spend", month(values, today), TODAY, 300) is not None) is speaks


def test_days_of_few_runs_say_nothing_of_failures_or_time() -> None:
    days = month([100] * 10, 9_000)
    assert unusual("failures", days, TODAY, 200) is not None
    assert unusual("failures", {**days, TODAY: Reading(9_000, 4)}, TODAY, 200) is None
    assert unusual("failures", month([100] * 10, 9_000, sample=4), TODAY, 200) is None


@pytest.mark.parametrize(
    ("began", "speaks"),
    [
        (back(*range(1, 8)), True),
        (back(*range(8)), False),
        (back(*range(1, 7)), False),
        (back(7, 14, 21), True),
        (back(7, 14), False),
        (back(6, 13, 20), False),
        (back(0), False),
        (set(), False),
    ],
)
def test_a_silence_is_that_of_a_pipeline_that_is_expected_by_now(began: set[dt.date], speaks: bool) -> None:
    assert (silent(began, TODAY) is not None) is speaks


def test_spend_adds_up_over_a_month_and_other_metrics_do_not() -> None:
    assert together("spend", [Reading(1, 2), Reading(3, 4)]) == Reading(4, 6)
    assert together("latency", [Reading(1, 2)]) == Reading(1, 2)
    assert together("spend", []) is None
