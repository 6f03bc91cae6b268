"""What a month will have cost at its end, from the days before: a figure, its range, and how it was made."""

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

LOOK_BACK = 56
LEAST_DAYS = 5
LEAST_DAYS_OF_WEEKS = 21
LIKELY = 80
_Z = 1.2816  # eight of ten values of a normal distribution lie so many deviations around its mean


class Method(StrEnum):
    BY_WEEKDAY = "weekday"
    PLAIN = "plain"
    TOO_LITTLE = "too_little_history"


@dataclass(frozen=True, slots=True)
class Forecast:
    """Micro-dollars at the end of `until`; eight of ten such forecasts should end between `low` and `high`.

    `days` is how many days of history it was made from; with too little of it there are no figures. `daily` is what
    each day that is still to come is thought to cost.
    """

    method: Method
    until: dt.date
    days: int
    micros: int | None = None
    low: int | None = None
    high: int | None = None
    daily: int | None = None

    @property
    def said(self) -> str:
        """Return the method in words."""
        if self.method is Method.TOO_LITTLE:
            return f"Too little history: {self.days} of {LEAST_DAYS} days."
        what = "each weekday’s average" if self.method is Method.BY_WEEKDAY else "the daily average"
        return f"Spent so far, and {what} of the last {self.days} days for what is left; 8 of 10 times in this range."


def forecast(spent: Mapping[dt.date, int], today: dt.date) -> Forecast:
    """Return the forecast for the end of today's month. `spent` is micro-dollars by day; a day without is 0.

    History begins with the first day that cost anything, at most 56 days back, and ends yesterday.
    """
    until = last_of_month(today)
    first = min((day for day, micros in spent.items() if micros), default=today)
    first = max(first, today - dt.timedelta(days=LOOK_BACK))
    history = [first + dt.timedelta(days=number) for number in range((today - first).days)]
    if len(history) < LEAST_DAYS:
        return Forecast(Method.TOO_LITTLE, until, len(history))
    method = Method.BY_WEEKDAY if len(history) >= LEAST_DAYS_OF_WEEKS else Method.PLAIN
    expected = _expected({day: spent.get(day, 0) for day in history}, method)
    so_far = sum(micros for day, micros in spent.items() if day.replace(day=1) == today.replace(day=1))
    to_come = [today + dt.timedelta(days=number) for number in range(1, (until - today).days + 1)]
    rest_of_today = max(expected[today.weekday()] - spent.get(today, 0), 0.0)
    middle = so_far + rest_of_today + sum(expected[day.weekday()] for day in to_come)
    width = _Z * _deviation([spent.get(day, 0) - expected[day.weekday()] for day in history], method, len(to_come) + 1)
    return Forecast(
        method,
        until,
        len(history),
        micros=round(middle),
        low=max(so_far, round(middle - width)),
        high=round(middle + width),
        daily=round(fmean(expected[day.weekday()] for day in to_come)) if to_come else None,
    )


def last_of_month(day: dt.date) -> dt.date:
    return (day.replace(day=28) + dt.timedelta(days=4)).replace(day=1) - dt.timedelta(days=1)


def _expected(history: Mapping[dt.date, int], method: Method) -> list[float]:
    """Return what a day costs on average, by weekday."""
    whole = fmean(history.values())
    if method is Method.PLAIN:
        return [whole] * 7
    return [fmean(micros for day, micros in history.items() if day.weekday() == weekday) for weekday in range(7)]


def _deviation(residuals: Sequence[float], method: Method, days: int) -> float:
    """Return the deviation of the sum of so many days: what days differ by, and what the averages may be wrong by."""
    means = 7 if method is Method.BY_WEEKDAY else 1
    variance = sum(one * one for one in residuals) / max(len(residuals) - means, 1)
    return math.sqrt(variance * days * (1 + days / len(residuals)))
