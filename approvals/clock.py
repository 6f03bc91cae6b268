"""The database's clock, the only one that decides whether a question is still open."""

from django.db.models import DateTimeField, Func, Q


class ClockTimestamp(Func):
    """The moment the row is looked at. Not now(), which stands still within a transaction that waited for a lock."""

    function = "CLOCK_TIMESTAMP"
    arity = 0
    output_field = DateTimeField()


STILL_OPEN = Q(state="open") & (Q(expires_at=None) | Q(expires_at__gt=ClockTimestamp()) | Q(held_until__isnull=False))
"""Can still be answered. What was approved in time and is held for a moment does not fall due meanwhile."""
DUE = Q(state="open", expires_at__lte=ClockTimestamp(), held_until=None)
RELEASED = Q(state="open", held_until__lte=ClockTimestamp())
