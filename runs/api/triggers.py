"""Triggers over REST: what starts runs by itself."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema, Status
from pydantic import Field, StrictInt

from accounts.access import actor_of, get
from accounts.paging import page
from accounts.schemas import Body
from pipelines.budgets import LONGEST_REASON
from runs.models import Trigger
from runs.triggers import definitions, lines
from runs.triggers.definitions import TriggerFields

router = Router(tags=["triggers"])
_KIND = Field(description="webhook, schedule or event", max_length=40)
_VERSION = Field(None, description="null: the published one, whenever the trigger goes off")
_WHY = "needed where the version is another, and a cap of a run is higher there than what new runs get now, or gone"
_REASON = Field("", max_length=LONGEST_REASON, description=_WHY)


class TriggerBody(Body):
    slug: str = Field(max_length=200, description="small letters, digits, hyphens; stands in a webhook's address")
    kind: str = _KIND
    pipeline: str = Field(max_length=200)
    version: StrictInt | None = _VERSION
    input: dict[str, Any] | str = Field(default_factory=dict, description="the run's input, a template over ${event}")
    cron: str | None = Field(None, max_length=400, description="of a schedule: minute hour day month weekday")
    zone: str | None = Field(None, max_length=100, description="of a schedule; the workspace's where it is left out")
    topic: str | None = Field(None, max_length=400, description="of an event: as POST /events names it")
    secret: str | None = Field(None, max_length=100, description="of a webhook: the name of the secret that signs")
    enabled: bool = True
    reason: str = _REASON


class TriggerChange(Body):
    pipeline: str = Field("", max_length=200)
    version: StrictInt | None = _VERSION
    input: dict[str, Any] | str = Field(default_factory=dict)
    cron: str | None = Field(None, max_length=400)
    zone: str | None = Field(None, max_length=100)
    topic: str | None = Field(None, max_length=400)
    secret: str | None = Field(None, max_length=100)
    enabled: bool = True
    reason: str = _REASON


class TriggerError(Schema):
    code: str
    message: str


class TriggerOut(Schema):
    slug: str
    kind: str
    pipeline: str
    version: int | None
    input: Any
    cron: str | None
    zone: str | None
    topic: str | None
    secret: str | None
    enabled: bool
    url: str | None = Field(description="where a webhook is called")
    runs_as: str | None = Field(description="whoever saved it last: runs start in their name, with their roles then")
    next_at: datetime | None = Field(description="when a schedule is due next")
    last_fired_at: datetime | None
    last_run: str | None
    last_error: TriggerError | None = Field(description="why the last time no run could be started")
    created_at: datetime


class TriggerPage(Schema):
    items: list[TriggerOut]
    next: str | None


@router.get("/triggers", response=TriggerPage, summary="List the triggers")
def list_triggers(
    request: HttpRequest, pipeline: str | None = None, cursor: str | None = None, limit: int | None = None
) -> Any:
    rows = definitions.listed(actor_of(request))
    return page(rows.filter(pipeline__slug=pipeline) if pipeline else rows, cursor, limit, "slug", shape)


@router.post("/triggers", response={201: TriggerOut}, summary="Add a trigger")
def add_trigger(request: HttpRequest, body: TriggerBody) -> Status[dict[str, Any]]:
    """It starts runs in your name, with the roles that you have when it goes off.

    To hold it to a version whose cap of a run is higher than what new runs get now is for who sets budgets, with a
    reason.
    """
    return Status(201, shape(definitions.create(actor_of(request), TriggerFields(**body.dict()))))


@router.get("/triggers/{slug}", response=TriggerOut, summary="Read a trigger")
def read_trigger(request: HttpRequest, slug: str) -> Any:
    actor = actor_of(request)
    return shape(get(definitions.listed(actor), actor, slug=slug))


@router.patch("/triggers/{slug}", response=TriggerOut, summary="Change a trigger")
def change_trigger(request: HttpRequest, slug: str, body: TriggerChange) -> Any:
    """Keys left out stay as they are. From now on it starts runs in your name. A higher cap needs what adding does."""
    return shape(definitions.update(actor_of(request), slug, body.dict(exclude_unset=True)))


@router.delete("/triggers/{slug}", response={204: None}, summary="Remove a trigger")
def remove_trigger(request: HttpRequest, slug: str) -> Any:
    definitions.remove(actor_of(request), slug)
    return Status(204, None)


def shape(trigger: Trigger) -> dict[str, Any]:
    names = ("slug", "kind", "version", "input", "enabled", "next_at", "last_fired_at", "last_error", "created_at")
    return {
        **{name: getattr(trigger, name) for name in names},
        **{name: getattr(trigger, name) or None for name in ("cron", "zone", "topic", "secret")},
        "pipeline": trigger.pipeline.slug,
        "url": lines.address(trigger) or None,
        "runs_as": trigger.runs_as.email if trigger.runs_as else None,
        "last_run": str(trigger.last_run_id) if trigger.last_run_id else None,
    }
