"""Spending over time, cut into columns of days, weeks or months, one series for each of the dearest values."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runs.spending import Key, Spending
from runs.spending.filters import Filters

SERIES = 6
OTHER = "Other"
MOST_DAYS, MOST_WEEKS = 62, 62 * 7
LISTED = 40


@dataclass(frozen=True, slots=True)
class Column:
    """A stretch of days, both included."""

    first: dt.date
    last: dt.date


@dataclass(frozen=True, slots=True)
class Series:
    """A value's micro-dollars by column; `is_rest` where it is several values put together."""

    name: str
    value: str | None
    colour: str
    micros: Sequence[int]
    is_rest: bool = False

    @property
    def total(self) -> int:
        return sum(self.micros)


@dataclass(frozen=True, slots=True)
class Stack:
    """`drawn` are the series of the chart, `listed` those of the table; the rest of each is put together as the last.

    `unit` is how long a column is: day, week or month.
    """

    unit: str
    columns: Sequence[Column]
    drawn: Sequence[Series]
    listed: Sequence[Series]

    @property
    def totals(self) -> list[int]:
        return [sum(one.micros[number] for one in self.drawn) for number in range(len(self.columns))]


def stack(filters: Filters, values: Sequence[tuple[str, str | None]], lines: Mapping[Key, Spending]) -> Stack:
    """Return the columns of lines by (value, day); `values` are (name, value) in the order of the series."""
    unit, columns = columns_of(filters)
    number_of = {day: number for number, column in enumerate(columns) for day in _days(column)}
    sums: dict[str | None, list[int]] = {}
    for (value, day), spending in lines.items():
        of = sums.setdefault(value, [0] * len(columns))
        of[number_of[dt.date.fromisoformat(str(day))]] += spending.cost or 0
    every = [
        Series(name, value, f"c{place + 1}" if place < SERIES else "co", sums.get(value, [0] * len(columns)))
        for place, (name, value) in enumerate(values)
    ]
    return Stack(unit, columns, _first(every, SERIES), _first(every, LISTED))


def _first(every: Sequence[Series], most: int) -> list[Series]:
    rest = every[most:]
    if not rest:
        return list(every)
    together = [sum(column) for column in zip(*(one.micros for one in rest), strict=True)]
    return [*every[:most], Series(f"{OTHER}, {len(rest)}", None, "co", together, is_rest=True)]


def columns_of(filters: Filters) -> tuple[str, list[Column]]:
    """Return how long a column is (day, week or month), and the columns of the period."""
    days = filters.days
    unit = "day" if len(days) <= MOST_DAYS else "week" if len(days) <= MOST_WEEKS else "month"
    starts = [day for day in days if day == filters.first or _begins(unit, day)]
    ends = [*(day - dt.timedelta(days=1) for day in starts[1:]), filters.last]
    return unit, [Column(*pair) for pair in zip(starts, ends, strict=True)]


def _begins(unit: str, day: dt.date) -> bool:
    return unit == "day" or (day.weekday() == 0 if unit == "week" else day.day == 1)


def _days(column: Column) -> list[dt.date]:
    return [column.first + dt.timedelta(days=number) for number in range((column.last - column.first).days + 1)]
