"""What pages say of triggers: when in words, what came of them, how a webhook is called."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.urls import reverse

from accounts.access import Actor
from accounts.models import Secret
from accounts.safe import Use
from pipelines.models import Pipeline
from runs.models import Firing, Trigger
from runs.triggers import definitions, plain

FIRINGS = 10


@dataclass(frozen=True, slots=True)
class Line:
    """A trigger and when it goes off, as the end of "Runs Brief …"; a schedule's next time is its own zone's."""

    trigger: Trigger
    when: str
    next_time: str


@dataclass(frozen=True, slots=True)
class Detail:
    """All that the page of one trigger says. `lacks_secret`: it is a webhook whose secret was removed."""

    trigger: Trigger
    when: str
    next_times: Sequence[str]
    firings: Sequence[Firing]
    address: str
    lacks_secret: bool


def all_of(actor: Actor, pipeline: Pipeline | None = None) -> list[Line]:
    """Return the workspace's triggers, or those of one pipeline, by name."""
    found = definitions.listed(actor).order_by("slug")
    return [Line(one, when(one), _next_time(one)) for one in (found.filter(pipeline=pipeline) if pipeline else found)]


def uses_of_secrets(actor: Actor) -> Iterator[tuple[str, Use]]:
    """Yield the triggers that a secret signs the calls of, each with its name, for who may know what they do."""
    if not actor.sees_content:
        return
    for one in definitions.listed(actor).exclude(secret="").order_by("slug"):
        yield one.secret, Use("trigger", one.slug, reverse("trigger", args=[one.slug]))


def pins(actor: Actor) -> Iterator[tuple[UUID, int]]:
    """Yield (pipeline, version) of the triggers that start a version of their own choice."""
    for pipeline, version in definitions.listed(actor).values_list("pipeline_id", "version"):
        if version is not None:
            yield pipeline, version


def detail(trigger: Trigger) -> Detail:
    firings = Firing.objects.filter(trigger=trigger).select_related("run").order_by("-id")[:FIRINGS]
    times = definitions.next_times(trigger) if trigger.next_at else []
    said = [plain.moment(at) for at in times]
    named = Secret.objects.filter(workspace=trigger.workspace_id, name=trigger.secret)
    lacks_secret = bool(trigger.secret) and not named.exists()
    return Detail(trigger, when(trigger), said, list(firings), address(trigger), lacks_secret)


def _next_time(trigger: Trigger) -> str:
    """Return when a schedule is due next, "" where it is off or its zone is one that the system has forgotten."""
    if trigger.next_at is None or trigger.zone not in definitions.known_zones():
        return ""
    return plain.moment(trigger.next_at.astimezone(ZoneInfo(trigger.zone)))


def when(trigger: Trigger) -> str:
    match trigger.kind:
        case Trigger.Kind.SCHEDULE:
            return f"{plain.words(trigger.cron)}, {trigger.zone}"
        case Trigger.Kind.EVENT:
            return f"when an event is sent to {trigger.topic}"
        case _:
            return "when its address is called"


def address(trigger: Trigger) -> str:
    """Return where a webhook is called, "" for what is none. It names the workspace: another may have the same name."""
    if trigger.kind != Trigger.Kind.WEBHOOK:
        return ""
    return f"{settings.BASE_URL}{reverse('hook', args=[trigger.slug])}?workspace={trigger.workspace.slug}"
