"""Tables for spreadsheets: comma-separated values in which no cell is a formula."""

import csv
import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Literal, TypeVar

from django.db.models import Model, QuerySet
from django.http import StreamingHttpResponse
from ninja import Query

M = TypeVar("M", bound=Model)

OR_A_SHEET = {"responses": {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}}
"""What the OpenAPI document says of a route that may answer with a sheet, beside its JSON."""

Form = Annotated[Literal["json", "csv"], Query(alias="format")]
"""What a route that may answer with a sheet is asked for."""

MOST_EXPORTED = 100_000
_MONEY = ("_usd", "_per_million")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def cell(value: object) -> str:
    """Return a value that no spreadsheet takes for a formula; None becomes an empty cell, a number stays one.

    A moment is told in UTC, a list as its parts with commas.
    """
    if isinstance(value, int | float | Decimal):
        return str(value)
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    text = "" if value is None else str(value).replace("\0", "")
    # Some programs look past leading spaces.
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def sheet(name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> StreamingHttpResponse:
    """Return an attachment `name`.csv, written while the rows are read."""
    return StreamingHttpResponse(
        _lines(columns, rows),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"', "X-Content-Type-Options": "nosniff"},
    )


def table(name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> StreamingHttpResponse:
    """Return the sheet of rows that JSON tells too: the text of a column of dollars is a number, below zero as well."""
    is_money = [column.endswith(_MONEY) for column in columns]
    return sheet(name, columns, ([*map(_number, is_money, row)] for row in rows))


def of_items(name: str, columns: Sequence[str], items: Iterable[Mapping[str, object]]) -> StreamingHttpResponse:
    """Return the sheet of a list as JSON tells it, so many of its names as there are columns."""
    return table(name, columns, ([item[column] for column in columns] for item in items))


def of_rows(
    name: str, columns: Sequence[str], rows: QuerySet[M], shown: Callable[[M], Mapping[str, object]]
) -> StreamingHttpResponse:
    """Return the sheet of what a list shows of each row, at most 100,000 of them, read a thousand at a time."""
    return of_items(name, columns, map(shown, rows[:MOST_EXPORTED].iterator(chunk_size=1_000)))


def _number(is_money: bool, value: object) -> object:
    return Decimal(value) if is_money and isinstance(value, str) else value


class _Echo:
    """A file that gives back what is written to it."""

    def write(self, text: str) -> str:
        return text


def _lines(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow(columns)
    for row in rows:
        yield writer.writerow([cell(value) for value in row])
