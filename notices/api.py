"""Notices over REST: one's own inbox and wishes, and the workspace's channels."""

from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Router, Schema, Status
from pydantic import Field

from accounts.access import Actor, Capability, actor_of, require, scoped
from accounts.paging import page
from accounts.schemas import Body
from notices import channels, inbox, wishes, words
from notices.channels import ChannelFields
from notices.models import Channel, Delivery, How, Kind, Notice
from notices.wishes import Wishes

router = Router(tags=["notices"])


class NoticeOut(Schema):
    id: str
    kind: str
    subject: str
    said: str
    url: str
    approval: str | None
    created_at: datetime
    read_at: datetime | None


class NoticePage(Schema):
    items: list[NoticeOut]
    next: str | None


class ReadOut(Schema):
    read: int = Field(description="how many were not read before")


class ChannelOut(Schema):
    """`host` is where a webhook goes; what is secret is shown to nobody."""

    name: str
    kind: str
    host: str
    secret: str
    events: list[str]
    details: bool
    sent_at: datetime | None
    error: str
    error_at: datetime | None


class ChannelPage(Schema):
    items: list[ChannelOut]
    next: str | None


class ChannelBody(Body):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    kind: Channel.Kind
    secret: str = Field(max_length=63, description="name of the signing key; for Slack, of its address")
    url: str = Field("", max_length=2_000)
    events: list[Kind] = Field(default_factory=lambda: list(Kind), max_length=20)
    details: bool = Field(False, description="send the words of a question along")

    def fields(self) -> ChannelFields:
        kinds = tuple(str(kind) for kind in self.events)
        return ChannelFields(self.name, str(self.kind), self.secret, self.url, kinds, self.details)


class DeliveryOut(Schema):
    """`to` is an email address or a channel's name; `error` says why it was given up."""

    id: str
    to: str
    state: str
    attempts: int
    error: str
    ended_at: datetime | None


class DeliveryPage(Schema):
    items: list[DeliveryOut]
    next: str | None


class WishesBody(Body):
    kinds: dict[Kind, How] = Field(default_factory=dict)
    digest_hour: Annotated[int, Field(ge=0, le=23)] | None = Field(description="null: no daily email")


class WishesOut(Schema):
    kinds: dict[str, str]
    digest_hour: int | None
    zone: str


@router.get("/notices", response=NoticePage, summary="List your notices, the newest first")
def list_notices(
    request: HttpRequest, unread: bool = False, cursor: str | None = None, limit: int | None = None
) -> Any:
    rows = inbox.mine(_reader(request))
    return page(rows.filter(read_at=None) if unread else rows, cursor, limit, "-created_at", _notice)


@router.post("/notices/read", response=ReadOut, summary="Mark all your notices as read")
def read_notices(request: HttpRequest) -> Any:
    return {"read": inbox.read_all(actor_of(request))}


@router.post("/notices/{notice_id}/read", response=NoticeOut, summary="Mark one notice as read")
def read_notice(request: HttpRequest, notice_id: str) -> Any:
    return _notice(inbox.read(actor_of(request), notice_id))


@router.get("/preferences", response=WishesOut, summary="Read how you are told")
def read_preferences(request: HttpRequest) -> Any:
    return _wishes(_reader(request))


@router.put("/preferences", response=WishesOut, summary="Choose how you are told")
def write_preferences(request: HttpRequest, body: WishesBody) -> Any:
    """Kinds left out stay as they are."""
    actor = actor_of(request)
    wishes.put(actor, Wishes(body.kinds, body.digest_hour))
    return _wishes(actor)


@router.get("/channels", response=ChannelPage, summary="List the channels")
def list_channels(request: HttpRequest, cursor: str | None = None, limit: int | None = None) -> Any:
    return page(scoped(Channel, _reader(request)), cursor, limit, "name", _channel)


@router.post("/channels", response={201: ChannelOut}, summary="Add a channel")
def add_channel(request: HttpRequest, body: ChannelBody) -> Any:
    return Status(201, _channel(channels.create(actor_of(request), body.fields())))


@router.put("/channels/{name}", response=ChannelOut, summary="Change a channel")
def change_channel(request: HttpRequest, name: str, body: ChannelBody) -> Any:
    return _channel(channels.change(actor_of(request), name, body.fields()))


@router.delete("/channels/{name}", response={204: None}, summary="Remove a channel")
def remove_channel(request: HttpRequest, name: str) -> Any:
    channels.remove(actor_of(request), name)
    return Status(204, None)


@router.post("/channels/{name}/test", response={202: ChannelOut}, summary="Send a test to a channel")
def try_channel(request: HttpRequest, name: str) -> Any:
    return Status(202, _channel(channels.try_out(actor_of(request), name)))


@router.get("/deliveries", response=DeliveryPage, summary="List what could not be delivered and was given up")
def list_deliveries(request: HttpRequest, cursor: str | None = None, limit: int | None = None) -> Any:
    return page(inbox.given_up(actor_of(request)), cursor, limit, "-id", _delivery)


@router.post("/deliveries/{delivery_id}/retry", response={202: DeliveryOut}, summary="Try a delivery again")
def retry_delivery(request: HttpRequest, delivery_id: str) -> Any:
    """It keeps its id: a receiver that had it after all can tell."""
    return Status(202, _delivery(inbox.try_again(actor_of(request), delivery_id)))


def _reader(request: HttpRequest) -> Actor:
    actor = actor_of(request)
    require(actor, Capability.READ)
    return actor


def _notice(notice: Notice) -> dict[str, Any]:
    return {
        "id": str(notice.pk),
        "kind": notice.kind,
        "subject": notice.subject,
        "said": str(notice.data.get("said", "")),
        "url": words.absolute(str(notice.data.get("place", "/"))),
        "approval": str(notice.approval_id) if notice.approval_id else None,
        "created_at": notice.created_at,
        "read_at": notice.read_at,
    }


def _channel(channel: Channel) -> dict[str, Any]:
    names = ("name", "kind", "secret", "events", "details", "sent_at", "error", "error_at")
    return {**{name: getattr(channel, name) for name in names}, "host": channels.host_of(channel)}


def _delivery(delivery: Delivery) -> dict[str, Any]:
    told = {name: getattr(delivery, name) for name in ("state", "attempts", "error", "ended_at")}
    return {"id": str(delivery.pk), "to": inbox.recipient(delivery), **told}


def _wishes(actor: Actor) -> dict[str, Any]:
    found = wishes.of(actor)
    kinds = {str(kind): str(how) for kind, how in found.kinds.items()}
    return {"kinds": kinds, "digest_hour": found.hour, "zone": actor.user.zone}
