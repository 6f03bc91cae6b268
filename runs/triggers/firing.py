"""Starting the run of a trigger that went off: once per firing, in the name of whoever saved the trigger last.

A firing is a row before it is a run, and both its run and the word that it has one are written in one transaction:
whatever dies meanwhile, the next look finds it due and starts it.
"""

import logging
from collections.abc import Sequence
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models.functions import Now

from accounts.access import Actor, actor_for
from accounts.errors import Conflict, Forbidden, NotFound, Refused
from accounts.models import User
from pipelines.graph.model import Json
from runs import services
from runs.models import Firing, Run, SentEvent, Trigger, by_trigger
from runs.topics import as_fact
from runs.triggers import given

log = logging.getLogger("baton.triggers")

BATCH = 50
_KEEP = "select id from runs_trigger where id = any(%s) order by id for key share"
_INTERNAL = {"code": "internal", "message": "Something went wrong here. It has been written to the log."}


def look() -> None:
    """Start the runs of what has gone off. Safe when several do it at once; every worker does it every two seconds."""
    due = Firing.objects.filter(state=Firing.State.DUE).order_by("id").values_list("pk", flat=True)
    for pk in list(due[:BATCH]):
        try:
            start(pk)
        except (OperationalError, InterfaceError):
            raise  # the database is away: the next look starts it
        except Exception:
            log.exception("Firing %s could not be started; it is given up.", pk)
            _give_up(pk)


def start(pk: int) -> Firing | None:
    """Start the run of one firing that is due, or note why it is refused; None where somebody else did or does."""
    with transaction.atomic():
        rows = Firing.objects.select_for_update(skip_locked=True, of=("self",))
        firing = rows.filter(pk=pk, state=Firing.State.DUE).select_related("trigger").first()
        return settle(firing) if firing else None


def settle(firing: Firing) -> Firing:
    """Start the run of a firing that this transaction holds, or refuse it; both are written on the trigger."""
    trigger = Trigger.objects.select_related("workspace", "pipeline__published", "runs_as").get(pk=firing.trigger_id)
    try:
        with transaction.atomic():
            firing.run = _started(trigger, firing)
    except Refused as refused:
        firing.state, firing.error = Firing.State.REFUSED, {"code": refused.code, "message": refused.message}
    else:
        firing.state = Firing.State.STARTED
    firing.event = None
    firing.save(update_fields=["run", "state", "error", "event"])
    seen: dict[str, Any] = {"last_run": firing.run} if firing.run else {}
    Trigger.objects.filter(pk=trigger.pk).update(last_fired_at=Now(), last_error=firing.error, **seen)
    return firing


def heard(actor: Actor, event: SentEvent) -> None:
    """Have the triggers at an event's topic go off, in the transaction that sends it."""
    found = Trigger.objects.filter(workspace=actor.workspace, kind=Trigger.Kind.EVENT, enabled=True, topic=event.topic)
    at_topic = kept(list(found))
    firings = [
        Firing(trigger=trigger, key=f"event:{event.key}", event=as_fact(event), sender=actor.user, at=Now())
        for trigger in at_topic
    ]
    if firings:
        Firing.objects.bulk_create(firings, ignore_conflicts=True)
        transaction.on_commit(look, robust=True)


def kept(triggers: Sequence[Trigger]) -> list[Trigger]:
    """Return those that are still there, and keep them from being removed until this transaction ends.

    What they start goes on beside it: only a removal waits.
    """
    if not triggers:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, [[trigger.pk for trigger in triggers]])
        there = {pk for (pk,) in cursor.fetchall()}
    return [trigger for trigger in triggers if trigger.pk in there]


def _started(trigger: Trigger, firing: Firing) -> Run:
    if not trigger.enabled:
        raise Conflict(f"The trigger {trigger.slug} is off.", code="trigger_off")
    actor = _starter(trigger)
    made = given.made(trigger, firing.event)
    origin: dict[str, Json] = {"labels": dict(made.labels)} if made.labels else {}
    # nobody decides about what they wrote or set off
    barred = {*trigger.editors, *([firing.sender_id] if firing.sender_id else [])}
    origin["editors"] = sorted(map(str, barred))
    order = services.Order(made.values, trigger.version, origin=origin, via=by_trigger(trigger.slug))
    return services.start_run(actor, trigger.pipeline, order)


def _starter(trigger: Trigger) -> Actor:
    """Return who the run is started as, with the roles they have now."""
    if trigger.runs_as is None:
        raise Forbidden(_gone(None), code="starter_gone")
    try:
        return actor_for(trigger.runs_as, trigger.workspace.slug)
    except NotFound:
        raise Forbidden(_gone(trigger.runs_as), code="starter_gone") from None


def _gone(user: User | None) -> str:
    who = user.email if user else "Whoever saved it last"
    return f"{who} is no member here any more, and the trigger runs in their name. Save it again to make it yours."


@transaction.atomic
def _give_up(pk: int) -> None:
    """Refuse a firing that cannot even be refused by a reason, so that it is not tried for ever."""
    if Firing.objects.filter(pk=pk, state=Firing.State.DUE).update(state=Firing.State.REFUSED, error=_INTERNAL):
        Trigger.objects.filter(firings=pk).update(last_fired_at=Now(), last_error=_INTERNAL)
