"""Who makes and changes a workspace's triggers, and what they may say. Every change is audited."""

import re
import secrets as random
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from accounts import audit, json_body, secrets
from accounts.access import Actor, Capability, get, require, scoped
from accounts.clock import database_now
from accounts.errors import Conflict, Invalid, NotFound
from accounts.models import Secret, Workspace
from pipelines import publish, raising
from pipelines.graph import canonical, expressions
from pipelines.graph.model import Json
from pipelines.models import Pipeline, PipelineVersion
from pipelines.raising import Allowed
from runs import services, topics
from runs.engine import cron
from runs.models import Trigger
from runs.triggers import given

MOST = 200
MAX_INPUT = 64 * 1024
MOST_REFERENCES = 100
SHORTEST_SECRET = 16
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_SAID = (
    *("pipeline", "version", "input", "enabled", "runs_as", "editors"),
    *("cron", "zone", "topic", "secret", "next_at"),
)
_OWN = {"webhook": ("secret",), "schedule": ("cron", "zone"), "event": ("topic",)}


@dataclass(frozen=True, slots=True)
class TriggerFields:
    """What a trigger is. `version` None is the published one whenever it goes off; of the last four those count that
    its kind has, the zone is the workspace's where it is left out. `reason` is no part of it: it is needed where the
    version raises a cap of a run over what new runs get now."""

    slug: str
    kind: str
    pipeline: str
    version: int | None = None
    input: Json = field(default_factory=dict)
    cron: str | None = None
    zone: str | None = None
    topic: str | None = None
    secret: str | None = None
    enabled: bool = True
    reason: str = ""


def listed(actor: Actor) -> QuerySet[Trigger]:
    """Return the workspace's triggers with what a list shows of each."""
    require(actor, Capability.READ)
    return scoped(Trigger, actor).select_related("workspace", "pipeline__published", "runs_as", "last_run")


def fields_of(trigger: Trigger) -> TriggerFields:
    """Return what would make this trigger."""
    own: dict[str, Any] = {name: getattr(trigger, name) or None for names in _OWN.values() for name in names}
    return TriggerFields(
        slug=trigger.slug,
        kind=trigger.kind,
        pipeline=trigger.pipeline.slug,
        version=trigger.version,
        input=trigger.input,
        enabled=trigger.enabled,
        **own,
    )


@transaction.atomic
def create(actor: Actor, fields: TriggerFields) -> Trigger:
    """Add a trigger that goes off in the actor's name.

    Raises Forbidden, Conflict `trigger_exists`, Invalid: `bad_trigger`, `bad_cron`, `bad_zone`, `bad_topic`,
    `unknown_pipeline`, `unknown_version`, `unknown_secret`, `weak_secret`, `bad_template`, `invalid_input`; and as
    `raising.allow` where it is to be held to a version that raises a cap of a run.
    """
    _require(actor)
    _alone(actor)
    if not _SLUG.fullmatch(fields.slug):
        raise Invalid("A name has small letters, digits and hyphens, at most 63.", code="bad_trigger", where="/slug")
    there = Trigger.objects.filter(workspace=actor.workspace)  # also those of pipelines that are kept from the actor
    if there.filter(slug=fields.slug).exists():
        raise Conflict(f"There is a trigger {fields.slug} already. Choose another name.", code="trigger_exists")
    if there.count() >= MOST:
        raise Invalid(f"A workspace has at most {MOST} triggers. Remove one first.", code="bad_trigger", where="/slug")
    return _keep(actor, Trigger(workspace=actor.workspace, slug=fields.slug), fields, "trigger_added")


@transaction.atomic
def change(actor: Actor, slug: str, fields: TriggerFields) -> Trigger:
    """Replace what a trigger is; from now on it goes off in the actor's name. Raises as `create`, and NotFound."""
    trigger = _locked(actor, slug)
    if fields.slug != slug:
        raise Invalid("A trigger keeps its name. Add another one instead.", code="bad_trigger", where="/slug")
    if fields.kind != trigger.kind:
        raise Invalid("A trigger keeps its kind. Add another one instead.", code="bad_trigger", where="/kind")
    return _keep(actor, trigger, fields, "trigger_changed")


@transaction.atomic
def update(actor: Actor, slug: str, changes: Mapping[str, Any]) -> Trigger:
    """Change some fields of a trigger and leave the others; raises as `change`.

    To turn it off always works for who may run its pipeline, whatever has become of that, its secret or its zone.
    """
    known = _locked(actor, slug)
    if dict(changes) == {"enabled": False}:
        return _turned_off(actor, known)
    return change(actor, slug, replace(fields_of(known), **changes))


@transaction.atomic
def remove(actor: Actor, slug: str) -> None:
    """Take a trigger away; the runs it started stay. Raises Forbidden, NotFound."""
    _locked(actor, slug, no_key=False).delete()  # no firing is added beside it
    audit.record(actor.workspace, actor.user, "trigger_removed", slug)


@transaction.atomic
def new_secret(actor: Actor, slug: str) -> tuple[str, str]:
    """Write a signing key for a new webhook; return the name it is kept under and the key, which is shown once."""
    require(actor, Capability.SECRETS)
    name, value = f"hook-{slug}"[:63], random.token_urlsafe(32)
    if scoped(Secret, actor).filter(name=name).exists():
        raise Conflict(f"There is a secret {name} already. Choose it from the list.", code="trigger_exists")
    secrets.put(actor.workspace, name, value)
    audit.record(actor.workspace, actor.user, "secret_written", name, {"hosts": []})
    return name, value


def next_times(trigger: Trigger, count: int = 5) -> list[datetime]:
    """Return when a schedule is due next, in its own zone; [] for what is none, or cannot be read. One query."""
    if trigger.kind != Trigger.Kind.SCHEDULE:
        return []
    try:
        return times_of(trigger.cron, trigger.zone, database_now(), count)
    except Invalid:
        return []


def times_of(text: str, zone: str, since: datetime, count: int) -> list[datetime]:
    """Return the next moments in the zone; raise Invalid `bad_cron` or `bad_zone`."""
    found, known = read_cron(text), read_zone(zone)
    return [moment.astimezone(known) for moment in cron.upcoming(found, known, since, count)]


def read_cron(text: str) -> cron.Cron:
    try:
        return cron.parse(text)
    except cron.BadCron as error:
        raise Invalid(str(error), code="bad_cron", where="/cron") from None


def read_zone(name: str) -> zoneinfo.ZoneInfo:
    if name in known_zones():
        return zoneinfo.ZoneInfo(name)
    message = f"{name[:60]!r} is no time zone. Use a name such as Europe/Berlin."
    raise Invalid(message, code="bad_zone", where="/zone")


@cache
def known_zones() -> frozenset[str]:
    """Return the names of all time zones; the system looks through many files for them, so once per process."""
    return frozenset(zoneinfo.available_timezones())


@cache
def zones() -> Sequence[str]:
    """Return the names of the time zones to choose from: those of places, and UTC."""
    named = (name for name in known_zones() if "/" in name and not name.startswith("Etc/"))
    return [*sorted(named), "UTC"]


def _require(actor: Actor) -> None:
    """A trigger starts runs, so who defines one may start them too: a token that may only edit must not."""
    require(actor, Capability.EDIT)
    require(actor, Capability.RUN)


def _locked(actor: Actor, slug: str, *, no_key: bool = True) -> Trigger:
    """Return a trigger, locked; what starts a pipeline is changed by who may run that, as it is made by them."""
    _require(actor)
    trigger = get(Trigger.objects.select_for_update(no_key=no_key), actor, slug=slug)
    require(actor, Capability.RUN, trigger.pipeline)
    return trigger


def _alone(actor: Actor) -> None:
    """Let changes of one workspace's triggers follow each other, so that names and their number hold."""
    Workspace.objects.select_for_update(no_key=True).get(pk=actor.workspace.pk)


def _keep(actor: Actor, trigger: Trigger, fields: TriggerFields, act: str) -> Trigger:
    before = (trigger.cron, trigger.zone, trigger.enabled, trigger.next_at is not None)
    allowed = _fill(actor, trigger, fields)
    goes_on = trigger.enabled and before == (trigger.cron, trigger.zone, True, True)  # then what is due stays due
    if trigger.kind == Trigger.Kind.SCHEDULE and not goes_on:
        trigger.next_at = _next_at(trigger) if trigger.enabled else None
    trigger.runs_as = actor.user
    trigger.editors = sorted({*trigger.editors, actor.user.pk})
    if trigger._state.adding:
        trigger.save(force_insert=True)
    else:
        trigger.save(update_fields=_SAID)
    said = asdict(fields) | {"input": canonical.digest(trigger.input)}
    del said["reason"]  # it is content, and stays in the history of the budgets
    audit.record(actor.workspace, actor.user, act, trigger.slug, said)
    raising.record(actor, trigger.pipeline, allowed, fields.version, trigger=trigger.slug)
    return trigger


def _turned_off(actor: Actor, trigger: Trigger) -> Trigger:
    trigger.enabled, trigger.next_at = False, None
    trigger.save(update_fields=["enabled", "next_at"])
    audit.record(actor.workspace, actor.user, "trigger_changed", trigger.slug, {"enabled": False})
    return trigger


def _fill(actor: Actor, trigger: Trigger, fields: TriggerFields) -> Allowed:
    """Write what the fields say, all of it checked, and return the caps that its version may raise."""
    if fields.kind not in _OWN:
        raise Invalid("A trigger is a webhook, a schedule or an event.", code="bad_trigger", where="/kind")
    for name in (name for kind, names in _OWN.items() if kind != fields.kind for name in names):
        if getattr(fields, name):
            message = f"A trigger of the kind {fields.kind} has no {name}. Leave it out."
            raise Invalid(message, code="bad_trigger", where=f"/{name}")
    trigger.kind, trigger.enabled, trigger.input = fields.kind, fields.enabled, fields.input
    before = (trigger.pipeline_id, trigger.version)
    trigger.pipeline, version = _pipeline(actor, fields)
    trigger.version = fields.version
    is_held_anew = fields.version is not None and before != (trigger.pipeline_id, fields.version)
    documents = [version.document] if version is not None and is_held_anew else []
    allowed = raising.allow(actor, trigger.pipeline, fields.reason, *documents)
    _check_template(fields.input)
    if fields.kind == Trigger.Kind.WEBHOOK:
        trigger.secret = _secret(actor, fields.secret)
    elif fields.kind == Trigger.Kind.EVENT:
        trigger.topic = _topic(fields.topic)
    else:
        trigger.cron, trigger.zone = " ".join((fields.cron or "").split()), fields.zone or actor.workspace.zone
        due = _next_at(trigger)
        if version is not None:  # all that its event will say is known, so what would be refused then is refused now
            sample = given.of_schedule(trigger, due)
            services.checked_input(services.document_of(version.pk).inputs, given.made(trigger, sample).values)
    return allowed


def _next_at(trigger: Trigger) -> datetime:
    found = next(iter(times_of(trigger.cron, trigger.zone, database_now(), 1)), None)
    if found is None:
        raise Invalid("No day is ever like that, so the schedule is never due.", code="bad_cron", where="/cron")
    return found


def _pipeline(actor: Actor, fields: TriggerFields) -> tuple[Pipeline, PipelineVersion | None]:
    """Return the pipeline, and the version that would run now; none while it is not published."""
    try:
        pipeline = get(Pipeline.objects.filter(archived_at=None), actor, slug=fields.pipeline)
    except NotFound:
        message = f"There is no pipeline {fields.pipeline[:63]!r} here. Name one as GET /pipelines does."
        raise Invalid(message, code="unknown_pipeline", where="/pipeline") from None
    require(actor, Capability.RUN, pipeline)
    if fields.version is None:
        return pipeline, pipeline.published
    try:
        return pipeline, publish.version_of(pipeline, fields.version)
    except NotFound:
        message = f"{pipeline.name} has no version {fields.version}."
        raise Invalid(message, code="unknown_version", where="/version") from None


def _check_template(template: Json) -> None:
    try:
        json_body.check(template)
    except Invalid as invalid:
        raise Invalid(invalid.message, code="bad_template", where=f"/input{invalid.where or ''}") from None
    if len(canonical.canonical_json(template)) > MAX_INPUT:
        raise Invalid("The input is larger than 64 KB.", code="bad_template", where="/input")
    if not isinstance(template, dict | str):
        message = "The input is an object of the start form's fields, or ${event} for all of the event."
        raise Invalid(message, code="bad_template", where="/input")
    try:
        read = expressions.references(template)
    except expressions.ExpressionError as error:
        raise Invalid(str(error), code="bad_template", where="/input") from None
    if len(read) > MOST_REFERENCES:
        message = f"The input reads the event in {len(read)} places; at most {MOST_REFERENCES} are allowed."
        raise Invalid(message, code="bad_template", where="/input")
    for reference in read:
        if reference.root != "event":
            message = f"A trigger's input can only read ${{event}}, not ${{{reference.root[:40]}}}."
            raise Invalid(message, code="bad_template", where=f"/input{reference.at}")


def _topic(topic: str | None) -> str:
    if not topic or len(topic) > topics.LONGEST_TOPIC or canonical.sanitise(topic)[1]:
        message = f"The topic has 1 to {topics.LONGEST_TOPIC} characters."
        raise Invalid(message, code="bad_topic", where="/topic")
    return topic


def _secret(actor: Actor, name: str | None) -> str:
    """Return the name of a secret that can sign: nobody should find it out by trying."""
    try:
        value = secrets.reveal(actor.workspace.pk, name or "")
    except NotFound:
        message = f"There is no secret named {name or ''!r}. An admin writes one under that name first."
        raise Invalid(message, code="unknown_secret", where="/secret") from None
    if len(value) < SHORTEST_SECRET:
        message = f"A secret that signs has at least {SHORTEST_SECRET} characters; {name} is shorter."
        raise Invalid(message, code="weak_secret", where="/secret")
    return name or ""
