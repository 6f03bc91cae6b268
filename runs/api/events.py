"""Send events to topics, and read what was sent of late."""

from typing import Any

from django.http import HttpRequest
from ninja import Router, Status
from pydantic import Field

from accounts.access import Capability, actor_of, require, scoped
from accounts.paging import page
from accounts.schemas import Body
from runs import topics
from runs.api import shapes
from runs.models import SentEvent

router = Router(tags=["events"])


class EventBody(Body):
    topic: str = Field(min_length=1, max_length=topics.LONGEST_TOPIC, description="where steps wait for it")
    payload: Any = None
    name: str = Field("", max_length=topics.LONGEST_NAME, description="what happened; only waits of that name count")
    key: str = Field(
        "", max_length=topics.LONGEST_KEY, description="sent again under the same key, it is the same event"
    )


@router.post("/events", response={202: Any}, summary="Send an event to the steps that wait for it")
def send(request: HttpRequest, body: EventBody) -> Status[Any]:
    sent = topics.send(actor_of(request), topics.NewEvent(body.topic, body.payload, body.name, body.key))
    return Status(202, {**shapes.sent_event(sent.event), "waits": sent.waits})


@router.get("/events", response=Any, summary="List what was sent in the last days, newest first")
def list_events(
    request: HttpRequest, topic: str | None = None, cursor: str | None = None, limit: int | None = None
) -> Any:
    actor = actor_of(request)
    require(actor, Capability.READ)
    rows = scoped(SentEvent, actor)
    return page(rows.filter(topic=topic) if topic else rows, cursor, limit, "-id", shapes.sent_event)
