"""The places outside Baton that a workspace tells: added, tried and taken away by admins, each act audited."""

import secrets as random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.urls import reverse
from yarl import URL

from accounts import audit, secrets
from accounts.access import Actor, Capability, get, require, scoped
from accounts.errors import Conflict, Invalid
from accounts.ids import new_id
from accounts.models import Secret
from accounts.safe import Use
from notices.models import TEST, Channel, Event, Kind

LONGEST_URL = 2_000


@dataclass(frozen=True, slots=True)
class ChannelFields:
    """`url` is a webhook's address, `secret` names its signing key; for Slack the secret holds the address itself."""

    name: str
    kind: str
    secret: str
    url: str = ""
    events: Sequence[str] = tuple(Kind.values)
    details: bool = False


def create(actor: Actor, fields: ChannelFields) -> Channel:
    """Add a channel; raise Forbidden, Conflict (`channel_exists`) or Invalid (`unknown_secret`, `bad_channel`)."""
    require(actor, Capability.CONNECTIONS)
    with transaction.atomic():
        if Channel.objects.filter(workspace=actor.workspace, name=fields.name).exists():
            raise _taken(fields.name)
        channel = Channel(workspace=actor.workspace, name=fields.name)
        return _keep(actor, channel, fields, "channel_added")


def change(actor: Actor, name: str, fields: ChannelFields) -> Channel:
    """Replace what a channel is; raise as `create` does, and NotFound."""
    require(actor, Capability.CONNECTIONS)
    with transaction.atomic():
        channel = get(Channel.objects.select_for_update(), actor, name=name)
        if fields.name != name:
            raise Invalid("A channel keeps its name. Add another one instead.", code="bad_channel", where="/name")
        return _keep(actor, channel, fields, "channel_changed")


def remove(actor: Actor, name: str) -> None:
    """Take a channel away with what was still to be sent to it."""
    require(actor, Capability.CONNECTIONS)
    with transaction.atomic():
        get(Channel, actor, name=name).delete()
        audit.record(actor.workspace, actor.user, "channel_removed", name)


def try_out(actor: Actor, name: str) -> Channel:
    """Have a message sent that tells nothing but that it is a test; the channel says how it went."""
    require(actor, Capability.CONNECTIONS)
    with transaction.atomic():
        channel = get(Channel, actor, name=name)
        Event.objects.create(
            workspace=actor.workspace,
            kind=TEST,
            key=f"test:{new_id()}",
            by=actor.user,
            data={"channel": str(channel.pk)},
        )
        audit.record(actor.workspace, actor.user, "channel_tried", name)
    return channel


def add(actor: Actor, name: str, kind: str, address: str, *, details: bool = False) -> str:
    """Add a channel with a secret of its own, `channel-NAME`; return a webhook's new signing key, "" for Slack.

    Raises as `create` does.
    """
    require(actor, Capability.SECRETS)
    address, named, slack = _checked(address), f"channel-{name}", kind == Channel.Kind.SLACK
    key = "" if slack else random.token_urlsafe(32)
    with transaction.atomic():
        if Channel.objects.filter(workspace=actor.workspace, name=name).exists():
            raise _taken(name)
        secrets.put(actor.workspace, named, key or address)
        audit.record(actor.workspace, actor.user, "secret_written", named, {"hosts": []})
        create(actor, ChannelFields(name, kind, named, "" if slack else address, details=details))
    return key


def host_of(channel: Channel) -> str:
    """Return where a webhook goes, without its path; Slack's address is a secret as a whole."""
    return URL(channel.url).host or "" if channel.url else ""


def uses_of_secrets(actor: Actor) -> Iterator[tuple[str, Use]]:
    """Yield the channels whose address or signing key is a secret, each with its name, for whoever keeps channels."""
    if not actor.can(Capability.CONNECTIONS):
        return
    for name, secret in scoped(Channel, actor).order_by("name").values_list("name", "secret"):
        yield secret, Use("channel", name, reverse("preferences"))


def _taken(name: str) -> Conflict:
    return Conflict(f"There is a channel {name} already. Choose another name.", code="channel_exists")


def _keep(actor: Actor, channel: Channel, fields: ChannelFields, act: str) -> Channel:
    if not Secret.objects.filter(workspace=actor.workspace, name=fields.secret).exists():
        raise Invalid(
            f"There is no secret named {fields.secret}. Write it first.", code="unknown_secret", where="/secret"
        )
    if fields.kind == Channel.Kind.SLACK and fields.url:
        raise Invalid("The address of a Slack channel is its secret; leave url out.", code="bad_channel", where="/url")
    if unknown := set(fields.events) - set(Kind.values):
        raise Invalid(f"There is no event {min(unknown)[:60]}.", code="bad_channel", where="/events")
    channel.kind, channel.secret, channel.details = fields.kind, fields.secret, fields.details
    channel.url = _checked(fields.url) if fields.kind == Channel.Kind.WEBHOOK else ""
    channel.events = [kind for kind in Kind.values if kind in set(fields.events)]
    channel.save()
    data = {"kind": channel.kind, "host": host_of(channel), "events": channel.events, "details": channel.details}
    audit.record(actor.workspace, actor.user, act, channel.name, data)
    return channel


def _checked(address: str) -> str:
    """Return an address that a message can be sent to; where it leads is looked at each time by the egress guard."""
    address = address.strip()
    try:
        url = URL(address) if address.isprintable() and " " not in address else URL()
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host or url.user or len(address) > LONGEST_URL:
        message = "A channel needs an address that begins with https:// and names no user."
        raise Invalid(message, code="bad_channel", where="/url")
    return address
