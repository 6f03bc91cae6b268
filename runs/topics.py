"""Events sent to topics of a workspace, and the steps that wait for them.

An event and a wait find each other however they cross: the sender hands the event to every wait that stands; what was
not seen by then (each in its own transaction) is seen by the look that follows either commit, at once where it can, by
the workers' poll in any case. A run is given an event by a fact in its inbox, once per wait.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from accounts.access import Actor, Capability, require
from accounts.errors import Conflict, Invalid
from accounts.ids import new_id
from pipelines.graph import canonical
from pipelines.graph.kinds import LONGEST_KEEP
from pipelines.graph.model import Json
from runs import dispatch
from runs.effects import Insert, Remove, Row, RunFacts
from runs.engine.decision import Event
from runs.engine.facts import EventArrived
from runs.models import EventWait, SentEvent, TakenEvent

LONGEST_TOPIC, LONGEST_NAME, LONGEST_KEY = 200, 63, 200
MAX_BYTES = 256 * 1024
BATCH = 200
# Longer than any wait may look back, so that none misses what it asked to have kept.
KEPT = timedelta(seconds=LONGEST_KEEP) + timedelta(hours=1)
_HEARERS: list[Callable[[Actor, SentEvent], None]] = []
_WAITS, _TAKEN, _SENT = "runs_eventwait", "runs_takenevent", "runs_sentevent"


@dataclass(frozen=True, slots=True)
class NewEvent:
    """What is sent. Without a `name` it counts for every wait at its topic; under the same `key` it is sent once."""

    topic: str
    payload: Json = None
    name: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """`waits` is how many waiting steps were given the event at once."""

    event: SentEvent
    waits: int


def on_sent(hearer: Callable[[Actor, SentEvent], None]) -> None:
    """Register who hears every event that a person or program sends, once, in the transaction that sends it."""
    if hearer not in _HEARERS:
        _HEARERS.append(hearer)


def send(actor: Actor, new: NewEvent) -> Sent:
    """Send an event to a topic of the actor's workspace and hand it to the steps that wait there, in one transaction.

    Raises Invalid (`bad_topic`, `invalid`, `payload_too_large`, `not_storable`), Conflict `idempotency_conflict` where
    the key was used for another event, Forbidden.
    """
    require(actor, Capability.RUN)
    _check(new)
    with transaction.atomic():
        event, fresh = SentEvent.objects.get_or_create(
            workspace=actor.workspace,
            key=f"sent:{new.key}" if new.key else f"sent:{new_id()}",
            defaults={
                "topic": new.topic,
                "name": new.name,
                "payload": new.payload,
                "by": actor.user.email,
                "at": Now(),
            },
        )
        event.refresh_from_db()
        if not fresh:
            _refuse_other(event, new)
            return Sent(event, 0)
        waits = sum(_give(wait, event) for wait in _waits_at(event))
        for hear in _HEARERS:
            hear(actor, event)
        transaction.on_commit(look, robust=True)
    return Sent(event, waits)


def look() -> None:
    """Hand over what was not seen when it was committed: new events to waits, and kept events to new waits.

    Safe when several do it at once. Every worker does it every two seconds.
    """
    while _look_for_waits() or _look_for_events():
        pass


def sweep() -> None:
    """Forget what nobody can want any more: old events, and waits of runs that ended without taking them back."""
    SentEvent.objects.filter(at__lt=Now() - KEPT).delete()
    EventWait.objects.filter(run__state__in=("succeeded", "failed", "cancelled")).delete()


# -- what decisions write ---------------------------------------------------------------------------------------------


def waits_for(event: Event, run: RunFacts) -> list[Row]:
    """Return a row per topic of a step that begins to wait for events (`step_waiting`)."""
    earliest: dict[str, str] = {}
    for entry in event.payload.get("events") or ():
        since = str(entry["since"])
        earliest[entry["topic"]] = min(since, earliest.get(entry["topic"], since))
    common = {"workspace_id": run.workspace_id, "run_id": run.id, "request": event.payload.get("request")}
    return [Insert(_WAITS, {**common, "topic": topic, "since": since}) for topic, since in earliest.items()]


def ended(event: Event, run: RunFacts) -> list[Row]:
    """Return what takes a wait back, and what keeps the event it took from the run's later waits (`wait_ended`)."""
    gone: list[Row] = [Remove(_WAITS, {"run_id": run.id, "request": event.payload["request"]})]
    taken = event.payload.get("event")
    return gone if taken is None else [*gone, Insert(_TAKEN, {"run_id": run.id, "event_id": int(taken)})]


def published(event: Event, run: RunFacts) -> list[Row]:
    """Return the event that a Board step publishes (`event_sent`); in a rehearsal nobody hears it."""
    if run.rehearsal:
        return []
    row = {
        "workspace_id": run.workspace_id,
        "key": f"run:{run.id}:{event.payload['request']}",
        "topic": event.payload["topic"],
        "name": "",
        "payload": event.payload["payload"],
        "by": f"run {run.id}",
        "run_id": run.id,
        "at": run.now.isoformat(),
    }
    return [Insert(_SENT, row)]


# -- delivery ---------------------------------------------------------------------------------------------------------


def _look_for_waits() -> bool:
    """Hand events that were committed after their waits were looked for to them; tell whether there may be more."""
    with transaction.atomic():
        unseen = SentEvent.objects.filter(looked_at=None).order_by("id")
        events = list(unseen.select_for_update(skip_locked=True)[:BATCH])
        for event in events:
            for wait in _waits_at(event).filter(since__lte=event.at):  # one that began later is not for what was before
                _give(wait, event)
        SentEvent.objects.filter(pk__in=[event.pk for event in events]).update(looked_at=Now())
    return len(events) == BATCH


def _look_for_events() -> bool:
    """Hand kept events to waits that began after they were sent; tell whether there may be more."""
    more = False
    with transaction.atomic():
        fresh = EventWait.objects.filter(looked_at=None).order_by("id")
        for wait in fresh.select_for_update(skip_locked=True)[:BATCH]:
            kept = list(_kept_for(wait))
            for event in kept:
                _give(wait, event)
            is_done = len(kept) < BATCH
            more = more or not is_done
            newest = kept[-1].pk if kept else wait.looked_to
            EventWait.objects.filter(pk=wait.pk).update(looked_to=newest, looked_at=Now() if is_done else None)
    return more


def _kept_for(wait: EventWait) -> Iterable[SentEvent]:
    kept = SentEvent.objects.filter(
        workspace_id=wait.workspace_id, topic=wait.topic, at__gte=wait.since, pk__gt=wait.looked_to
    )
    taken = TakenEvent.objects.filter(run_id=wait.run_id).values("event")
    return kept.exclude(pk__in=taken).order_by("id")[:BATCH]


def _waits_at(event: SentEvent) -> QuerySet[EventWait]:
    """Return the waits that stand at the event's topic, without those of runs that have taken it already."""
    waits = EventWait.objects.filter(workspace_id=event.workspace_id, topic=event.topic).order_by("id")
    return waits.exclude(run__in=TakenEvent.objects.filter(event=event).values("run"))


def _give(wait: EventWait, event: SentEvent) -> bool:
    fact = EventArrived(wait.request, as_fact(event))
    return dispatch.report(wait.run_id, fact, key=f"event:{event.pk}:{wait.pk}")


def as_fact(event: SentEvent) -> dict[str, Json]:
    """Return an event as a step's output has it."""
    return {
        "id": str(event.pk),
        "name": event.name,
        "topic": event.topic,
        "payload": event.payload,
        "by": event.by,
        "at": event.at.isoformat(),
    }


# -- what may be sent -------------------------------------------------------------------------------------------------


def _check(new: NewEvent) -> None:
    for name, text, least, most in (
        ("topic", new.topic, 1, LONGEST_TOPIC),
        ("name", new.name, 0, LONGEST_NAME),
        ("key", new.key, 0, LONGEST_KEY),
    ):
        if not least <= len(text) <= most:
            raise Invalid(f"The {name} has {least} to {most} characters.", code="bad_topic", where=f"/{name}")
    if canonical.sanitise([new.topic, new.name, new.key, new.payload])[1]:
        message = "The event holds a NUL, a broken character or a number beyond limits."
        raise Invalid(message, code="not_storable", where="/payload")
    if len(canonical.canonical_json(new.payload)) > MAX_BYTES:
        raise Invalid("The payload is larger than 256 KB.", code="payload_too_large", where="/payload")


def _refuse_other(event: SentEvent, new: NewEvent) -> None:
    before: Mapping[str, Any] = {"topic": event.topic, "name": event.name, "payload": event.payload}
    after: Mapping[str, Any] = {"topic": new.topic, "name": new.name, "payload": new.payload}
    if canonical.canonical_json(before) != canonical.canonical_json(after):
        message = f"Another event was sent under the key {new.key!r}. Use a new key for a new event."
        raise Conflict(message, code="idempotency_conflict", where="/key")
