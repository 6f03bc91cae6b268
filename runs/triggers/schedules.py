"""Schedules that are due: found by every worker's poll, by the database's clock, each due moment once.

After an outage a schedule goes off once, for the first moment that was missed, and then waits for the next to come.
"""

import logging
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from accounts.clock import database_now
from accounts.errors import Refused
from runs.models import Firing, HookAttempt, Trigger
from runs.triggers import definitions, given

log = logging.getLogger("baton.triggers")

KEPT = timedelta(days=90)
ATTEMPTS_KEPT = timedelta(hours=1)


def look() -> None:
    """Have every schedule go off that is due. Every worker does it every two seconds, several may at once."""
    while _claim():
        pass


def sweep() -> None:
    """Forget firings and refused calls that are old. A nonce is long out of date by then."""
    Firing.objects.filter(at__lt=Now() - KEPT).exclude(state=Firing.State.DUE).delete()
    HookAttempt.objects.filter(at__lt=Now() - ATTEMPTS_KEPT).delete()


@transaction.atomic
def _claim() -> bool:
    """Note that one due schedule went off and when it is due next, both or neither; tell whether there was one."""
    rows = Trigger.objects.select_for_update(skip_locked=True, no_key=True)
    due = rows.filter(kind=Trigger.Kind.SCHEDULE, enabled=True, next_at__lte=Now()).order_by("next_at", "id").first()
    if due is None or due.next_at is None:
        return False
    moment: datetime = due.next_at
    changed: dict[str, Any] = {"next_at": None}
    try:
        event = given.of_schedule(due, moment)
        since = max(moment, database_now())  # a clock that was set back must not make it due again
        changed["next_at"] = definitions.times_of(due.cron, due.zone, since, 1)[0]
    except (Refused, IndexError, KeyError) as error:  # a zone that the system has forgotten since
        log.warning("The schedule %s of %s can not be read any more: %r", due.slug, due.workspace_id, error)
        changed["last_error"] = {"code": "bad_cron", "message": "Its times cannot be read any more. Save it again."}
    else:
        key = f"due:{moment.isoformat()}"
        Firing.objects.get_or_create(trigger=due, key=key, defaults={"event": event, "at": Now()})
    Trigger.objects.filter(pk=due.pk).update(**changed)
    return True
