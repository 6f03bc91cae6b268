"""Days of a workspace's zone, as the addresses of lists name them."""

import datetime as dt
from typing import TypeVar
from zoneinfo import ZoneInfo

from django.db.models import Model, QuerySet

M = TypeVar("M", bound=Model)


def day_of(text: str) -> dt.date | None:
    """Return the day of a text such as 2026-11-20, None for what is none."""
    try:
        found = dt.date.fromisoformat(text) if len(text) == len("2026-11-20") else None
    except ValueError:
        return None
    return found if found and 2000 <= found.year <= 2200 else None


def within(rows: QuerySet[M], since: str, until: str, zone: str) -> QuerySet[M]:
    """Return the rows whose `at` lies in these days, both included; what is no day leaves everything in."""
    clock = ZoneInfo(zone)
    if first := day_of(since):
        rows = rows.filter(at__gte=dt.datetime.combine(first, dt.time(), clock))
    if last := day_of(until):
        rows = rows.filter(at__lt=dt.datetime.combine(last + dt.timedelta(days=1), dt.time(), clock))
    return rows
