"""Signed webhooks: who may start a run by a call from outside, and that each call does so once.

A call carries `X-Baton-Timestamp` (Unix seconds), `X-Baton-Nonce` and `X-Baton-Signature`, the hex of an HMAC-SHA256
under the secret, in one of two forms (adr/0021). `v2=` signs timestamp + "." + nonce + "." + workspace + "/" + trigger
+ "." + raw body: a call which was seen on its way is none to another trigger with the same secret, where its nonce is
new. `v1=` signs timestamp + "." + nonce + "." + raw body, and is taken where the secret is one trigger's alone.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, Q
from django.db.models.functions import Now

from accounts import json_body, second_line, secrets
from accounts.clock import database_now
from accounts.errors import Conflict, NotFound, Refused, TooMany
from runs.models import Firing, HookAttempt, Run, Trigger
from runs.triggers import firing

MAX_BODY = 256 * 1024
WINDOW = timedelta(minutes=5)
REFUSED_WITHIN = timedelta(minutes=5)
MOST_REFUSED, MOST_REFUSED_IN_ALL = 30, 300
"""How many wrongly signed calls of one hook, and of all, one client is told more of than that it has to wait."""
SIGNED_WITHIN = timedelta(minutes=1)
MOST_SIGNED = 600
"""How many runs one trigger's calls may ask for in that time, whoever signs and wherever from."""
# Triggers of one name may stand in several workspaces: the signature tells them apart, or ?workspace=.
_MOST_OF_ONE_NAME = 16
_NONCE = re.compile(r"[A-Za-z0-9._~-]{8,128}")
_SECONDS = re.compile(r"[0-9]{1,12}")
_ABOUT_DATA = ("invalid_input", "input_too_large", "bad_template")
_NOBODYS = "a secret that no trigger has, so that an absent one takes its time too"


class NotLetIn(Refused):
    """The answer to every call that no trigger takes, whatever the reason."""

    code, status = "bad_signature", 401

    def __init__(self) -> None:
        super().__init__(
            "No trigger takes this call. Check the address, that the trigger is on, the headers X-Baton-Timestamp, "
            "X-Baton-Nonce and X-Baton-Signature, and that the body was signed as it was sent: with workspace and "
            "trigger (v2=), as it must be where several triggers have the secret, or without (v1=)."
        )


class Stale(Refused):
    code, status = "stale_timestamp", 401


class NotStarted(Refused):
    code, status = "not_started", 409


class BodyTooLarge(Refused):
    code, status = "too_large", 413


class NotJson(Refused):
    code, status = "not_json", 415


@dataclass(frozen=True, slots=True)
class Call:
    """A call as it came. `workspace` is a slug, "" for any; `client` is who counts as one caller."""

    slug: str
    body: bytes
    content_type: str
    timestamp: str
    nonce: str
    signature: str
    client: str
    workspace: str = ""


def take(call: Call) -> Run:
    """Start the run that a call asks for and return it.

    Raises NotJson, BodyTooLarge, NotLetIn, TooMany; to who signed rightly Stale, Conflict `replayed`, TooMany
    `too_many_calls`, and BadJson or Invalid for a body that is no JSON, none of which uses the nonce; NotStarted where
    the run is refused. The signature is looked at first, so that no stranger's calls can keep a sender out.
    """
    if call.content_type.partition(";")[0].strip().lower() != "application/json":
        raise NotJson("A webhook takes JSON. Send Content-Type: application/json.")
    if len(call.body) > MAX_BODY:
        raise BodyTooLarge(f"The body is larger than {MAX_BODY // 1024} KB. Send less, or an address to read it from.")
    trigger = _signed_for(call)
    if trigger is None:
        _count_refused(call)
        raise NotLetIn
    second_line.enter(trigger.workspace_id)
    _refuse_stale(int(call.timestamp), database_now())
    event = json_body.parse(call.body)
    with transaction.atomic():
        if not firing.kept([trigger]):
            raise NotLetIn  # removed meanwhile
        found, fresh = Firing.objects.get_or_create(
            trigger=trigger, key=f"hook:{call.nonce}", defaults={"event": event, "at": Now()}
        )
        if not fresh:
            raise Conflict("This nonce was used before. Send each call once, with a nonce of its own.", code="replayed")
        _refuse_too_many(trigger)
        settled = firing.settle(found)
    if settled.run is None:
        raise _not_started(settled.error or {})
    return settled.run


def signature(secret: str, to: str, timestamp: str, nonce: str, body: bytes) -> str:
    """Return what the header X-Baton-Signature has to say in a call: `to` workspace/trigger, or "" for the form that
    does not say whom it is for."""
    said = f"{timestamp}.{nonce}.{to}." if to else f"{timestamp}.{nonce}."
    mac = hmac.new(secret.encode(), said.encode() + body, hashlib.sha256)
    return f"{'v2' if to else 'v1'}={mac.hexdigest()}"


@second_line.everywhere()
def _signed_for(call: Call) -> Trigger | None:
    """Return the trigger whose secret signed the call; all that could be meant are tried, found or not."""
    if not (_SECONDS.fullmatch(call.timestamp) and _NONCE.fullmatch(call.nonce)):
        return None
    meant: Iterable[Trigger] = _meant(call)
    named, unnamed = [], []
    for trigger, secret in [*((one, _secret(one)) for one in meant), (None, _NOBODYS)]:
        to = f"{trigger.workspace.slug if trigger else ''}/{call.slug}"
        fits = [_is_signed(call, secret or _NOBODYS, form) for form in (to, "")]
        if trigger is not None and secret is not None:
            named += [trigger] * fits[0]
            unnamed += [trigger] * fits[1]
    if named:
        return named[0]
    return unnamed[0] if len(unnamed) == 1 and _has_its_secret_alone(unnamed[0]) else None


def _is_signed(call: Call, secret: str, to: str) -> bool:
    wanted = signature(secret, to, call.timestamp, call.nonce, call.body)
    return hmac.compare_digest(wanted.encode(), call.signature.encode("utf-8", "replace"))


def _has_its_secret_alone(trigger: Trigger) -> bool:
    """Tell whether no other webhook of the workspace is opened by the secret, so that no call is meant for another."""
    hooks = Trigger.objects.filter(workspace=trigger.workspace_id, kind=Trigger.Kind.WEBHOOK, secret=trigger.secret)
    return not hooks.exclude(pk=trigger.pk).exists()


def _meant(call: Call) -> list[Trigger]:
    named = Trigger.objects.select_related("workspace").filter(slug=call.slug, kind=Trigger.Kind.WEBHOOK, enabled=True)
    if call.workspace:
        named = named.filter(workspace__slug=call.workspace)
    return list(named.order_by("created_at", "id")[:_MOST_OF_ONE_NAME])


def _secret(trigger: Trigger) -> str | None:
    try:
        return secrets.reveal(trigger.workspace_id, trigger.secret)
    except NotFound:
        return None


def _not_started(error: dict[str, str]) -> NotStarted:
    """Return why no run was started. What is wrong with the data is the caller's to know, the rest the workspace's."""
    if error.get("code") in _ABOUT_DATA:
        return NotStarted(error["message"], code=error["code"])
    return NotStarted("The call was taken, but no run could be started. The trigger's page in Baton says why.")


def _refuse_stale(timestamp: int, now: datetime) -> None:
    seconds = abs(timestamp - now.timestamp())
    if seconds > WINDOW.total_seconds():
        raise Stale(f"The timestamp is {seconds:.0f} s away from the time here; 300 s are allowed. Check the clock.")


def _refuse_too_many(trigger: Trigger) -> None:
    """Keep a sender that has gone wild from filling the workspace with runs; this call is among those counted."""
    newest = Firing.objects.filter(trigger=trigger).order_by("-id").values_list("pk", flat=True)
    over = newest[MOST_SIGNED : MOST_SIGNED + 1]
    if Firing.objects.filter(pk__in=over, at__gt=Now() - SIGNED_WITHIN).exists():
        message = f"This trigger takes {MOST_SIGNED} calls a minute. Send this one again, as it was, in a minute."
        raise TooMany(message, SIGNED_WITHIN.seconds, code="too_many_calls")


def _count_refused(call: Call) -> None:
    """Note a call that nobody signed, or raise TooMany: beyond some a client's calls cost no more rows."""
    client, slug = call.client[:64], call.slug[:63]
    since = HookAttempt.objects.filter(client=client, at__gt=Now() - REFUSED_WITHIN)
    found = since.aggregate(here=Count("pk", filter=Q(slug=slug)), all=Count("pk"))
    if found["here"] >= MOST_REFUSED or found["all"] >= MOST_REFUSED_IN_ALL:
        seconds = REFUSED_WITHIN.seconds
        raise TooMany(
            f"Too many calls from here were turned away. Wait {seconds // 60} minutes, then try again.", seconds
        )
    HookAttempt.objects.create(client=client, slug=slug, at=Now())
