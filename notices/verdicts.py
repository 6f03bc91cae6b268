"""Whether an alert rule speaks: pure, from the readings of days. Each method is said in words on the page."""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from pipelines.graph.money import dollars

LEAST_RUNS = 5
"""A share of failures, or a time that 95 % stay under, says nothing of fewer runs."""
LEAST_DAYS, LOOKED_BACK = 7, 28
WEEKS = 3
_FLOORS = {"spend": 10_000, "failures": 1_000, "latency": 1_000}
"""How much more than usual is worth a word at all: a cent, ten points of percent, a second."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A metric over some time, in its unit (micro-dollars, hundredths of a percent, milliseconds), and of how many."""

    value: int
    sample: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """`found` in a few words for a subject line, `said` with the numbers it follows from."""

    found: str
    said: str


def above(metric: str, reading: Reading | None, limit: int) -> Verdict | None:
    """Judge a threshold: is the reading above the limit?"""
    if reading is None or reading.value <= limit or (metric != "spend" and reading.sample < LEAST_RUNS):
        return None
    found = _FOUND[metric](reading)
    return Verdict(found, f"{found}; the limit is {_SHOWN[metric](limit)}.")


def unusual(metric: str, days: Mapping[dt.date, Reading], today: dt.date, percent: int) -> Verdict | None:
    """Judge an anomaly: is today above so many percent of the median of the last 28 days that say something?

    None while fewer than seven do. The running day is compared with whole ones, so that it speaks late and not early.
    """
    now = days.get(today)
    if now is None or not _counts(metric, now):
        return None
    first = today - dt.timedelta(days=LOOKED_BACK)
    before = [one.value for day, one in days.items() if first <= day < today and _counts(metric, one)]
    if len(before) < LEAST_DAYS:
        return None
    usual = int(median(before))
    if now.value <= max(usual * percent // 100, usual + _FLOORS[metric]):
        return None
    found = f"{_FOUND[metric](now)}, usually {_SHOWN[metric](usual)}"
    return Verdict(found, f"{found}: the median of {len(before)} of the last {LOOKED_BACK} days.")


def silent(began: Collection[dt.date], today: dt.date) -> Verdict | None:
    """Judge a silence: `began` are the days on which the pipeline had begun by this time of day.

    It is expected today when it had on each of the seven days before, or on this weekday in each of three weeks.
    """
    if today in began:
        return None
    daily = all(today - dt.timedelta(days=n) in began for n in range(1, LEAST_DAYS + 1))
    weekly = all(today - dt.timedelta(weeks=n) in began for n in range(1, WEEKS + 1))
    if not daily and not weekly:
        return None
    usual = f"on each of the last {LEAST_DAYS} days" if daily else f"on the last {WEEKS} {today:%A}s"
    return Verdict("It did not run today", f"It had begun by this time {usual}, and not today.")


def together(metric: str, readings: Sequence[Reading]) -> Reading | None:
    """Return the spend of some days as one reading; other metrics do not add up and have one day."""
    if not readings:
        return None
    if metric != "spend":
        return readings[-1]
    return Reading(sum(one.value for one in readings), sum(one.sample for one in readings))


def _counts(metric: str, reading: Reading) -> bool:
    return reading.sample >= (1 if metric == "spend" else LEAST_RUNS)


_SHOWN: Mapping[str, Callable[[int], str]] = {
    "spend": lambda value: f"${dollars(value)}",
    "failures": lambda value: f"{value / 100:g}%",
    "latency": lambda value: f"{value / 1000:g} s",
}
_FOUND: Mapping[str, Callable[[Reading], str]] = {
    "spend": lambda one: f"{_SHOWN['spend'](one.value)} spent",
    "failures": lambda one: f"{_SHOWN['failures'](one.value)} of {one.sample} runs failed",
    "latency": lambda one: f"95% of {one.sample} runs took up to {_SHOWN['latency'](one.value)} of machine time",
}
