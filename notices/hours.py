"""Hours of a person's day, whatever their zone's clocks do."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.utils import timezone


def next_digest(zone: ZoneInfo, hour: int | None, after: datetime | None = None) -> datetime | None:
    """Return the first moment after `after` (now) at which this hour strikes, in UTC: once on each local day.

    An hour that the clocks leave out strikes when they have moved on; one that comes twice strikes the first time.
    """
    if hour is None:
        return None
    after = after or timezone.now()
    today = after.astimezone(zone).date()
    moments = (_at(zone, today + timedelta(days=days), hour) for days in range(3))
    return next(moment for moment in moments if moment > after)


def day_before(zone: ZoneInfo, now: datetime) -> tuple[datetime, datetime]:
    """Return when yesterday began and ended in this zone, in UTC; a day may have 23 or 25 hours."""
    today = now.astimezone(zone).date()
    return _at(zone, today - timedelta(days=1), 0), _at(zone, today, 0)


def _at(zone: ZoneInfo, day: date, hour: int) -> datetime:
    return datetime.combine(day, time(hour), zone).astimezone(UTC)
