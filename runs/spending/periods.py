"""Which part of a period the daily books answer, and which the spans."""

import datetime as dt
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from accounts.errors import Invalid
from runs.spending.question import Question

Between = tuple[dt.datetime, dt.datetime]
_ONE_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Period:
    """`days` are whole days of the book, the last not included; `whole` is their time. `edges` are parts of days.

    `is_booked` is False where the book keeps the days of another zone: then only its sealed lines serve, and for all
    else the spans of the whole period are read.
    """

    days: tuple[dt.date, dt.date]
    whole: Between
    edges: tuple[Between, ...]
    is_booked: bool


def period_of(question: Question, now: dt.datetime) -> Period:
    """Return how to read a question's period.

    Raise Invalid where it begins or ends within a day whose spans retention has removed.
    """
    first, since = _day_from(question.since, question.zone)
    last, until = _day_from(question.until, question.zone)
    if until > question.until and question.until < now:  # what is to come has no calls, so today counts as whole
        last, until = last - _ONE_DAY, _midnight(last - _ONE_DAY, question.zone)
    if _zone_of_book(question.workspace.pk) != question.zone.key:
        whole = (question.since, max(question.since, question.until))
        return Period((first, max(first, last)), whole, (), is_booked=False)
    if first < last:
        pairs = ((question.since, since), (until, question.until))
        period = Period((first, last), (since, until), tuple((a, b) for a, b in pairs if a < b), is_booked=True)
    else:
        period = Period((first, first), (since, since), ((question.since, question.until),), is_booked=True)
    _refuse_removed(question, period)
    return period


def _day_from(moment: dt.datetime, zone: dt.tzinfo) -> tuple[dt.date, dt.datetime]:
    """Return the first day that begins at or after a moment, and its beginning."""
    day = moment.astimezone(zone).date()
    for offset in range(3):
        begins = _midnight(day + offset * _ONE_DAY, zone)
        if begins >= moment:
            return day + offset * _ONE_DAY, begins
    raise AssertionError(f"No day begins after {moment} in {zone}.")


def _midnight(day: dt.date, zone: dt.tzinfo) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(dt.UTC)


def _zone_of_book(workspace: UUID) -> str | None:
    zone: str | None = _one("select zone from runs_spendbook where workspace_id = %s", [workspace])
    return zone


def _refuse_removed(question: Question, period: Period) -> None:
    days = [edge[0].astimezone(question.zone).date() for edge in period.edges]
    removed = "select min(day) from runs_spendday where workspace_id = %s and is_sealed and day = any(%s)"
    if days and (day := _one(removed, [question.workspace.pk, days])):
        message = f"The calls of {day} were removed after their time; only whole days of then are known. Ask for days."
        raise Invalid(message, code="calls_removed", where="/from" if day == days[0] else "/to")


def _one(statement: str, parameters: list[Any]) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        row = cursor.fetchone()
    return row[0] if row else None
