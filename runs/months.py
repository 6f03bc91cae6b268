"""Events and spans lie in one table per month of their runs' ids: coming months are opened, emptied ones dropped."""

from django.db import IntegrityError, OperationalError, connection

PARTED = ("runs_event", "runs_span")
AHEAD = 2
"""Months that are open before they begin. What no open month takes lies in a table of its own until its month is."""

_LATER = ("55P03", "23514")
"""Another's lock; a row that came in beside the months in the very moment of opening its own."""


def sweep() -> None:
    """Open the months to come and drop one month that retention has left without a row. Each worker's poll calls it.

    A month is only dropped a month after its end. Whoever keeps a table locked has it left for the next turn.
    """
    for whole in PARTED:
        try:
            with connection.cursor() as cursor:
                for ahead in range(AHEAD + 1):
                    cursor.execute("SELECT runs_open_month(%s, now() + make_interval(months => %s))", [whole, ahead])
                cursor.execute("SELECT runs_drop_empty_month(%s, now() - interval '1 month')", [whole])
        except (OperationalError, IntegrityError) as error:
            if getattr(error.__cause__, "sqlstate", "") not in _LATER:
                raise
