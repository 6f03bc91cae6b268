"""The database's clock, the only one that decides whether a question is still open."""

from django.db.models import DateTimeField, Func, Q


class ClockTimestamp(Func):
    """The moment the row is looked at. Not now(), which stands still within a transaction that waited for a lock."""

    function = "CLOCK_TIMESTAMP"
    arity = 0
    output_field = DateTimeField()


STILL_OPEN = Q(state="open") & (Q(expires_at=None) | Q(expires_at__gt=ClockTimestamp()))
DUE = Q(state="open", expires_at__lte=ClockTimestamp())
