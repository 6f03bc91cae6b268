"""What goes to channels: a message for Slack and its like, or a signed webhook, both through the egress guard."""

import asyncio
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from asgiref.sync import sync_to_async
from django.conf import settings
from yarl import URL

from accounts.errors import NotFound
from accounts.secrets import redact, reveal
from approvals.words import plain, risk
from notices import words
from notices.models import Channel, Delivery, Event
from notices.words import Said
from runs.execution.egress import tool_guard
from runs.execution.failures import AnswerLost, Failure, config, transient
from runs.execution.fetch import Answer, Exchange, fetch
from runs.execution.statuses import Refusal, failure_of, seconds_after

SECONDS = 10.0


async def send(delivery: Delivery) -> None:
    """Hand an event to a channel; raise a Failure, transient when another try may help."""
    channel, event = delivery.channel, delivery.event
    assert channel is not None  # noqa: S101 - the table's constraint
    assert event is not None  # noqa: S101
    secret = await sync_to_async(_secret, thread_sensitive=False)(channel)
    exchange = await sync_to_async(_exchange, thread_sensitive=False)(channel, event, secret)
    try:
        async with asyncio.timeout(SECONDS):
            answer = await fetch(tool_guard(), exchange)
    except TimeoutError:
        raise transient("timeout", f"The channel {channel.name} did not answer within {SECONDS:.0f} s.") from None
    except Failure as failure:
        raise _hidden(failure, secret) from None
    if answer.status >= 300:
        raise failure_of(_refusal(channel, answer, secret), changes=False, repeatable=True)  # under the same key


def signed(secret: str, body: bytes, timestamp: int, nonce: str) -> dict[str, str]:
    """Return the headers by which a receiver can tell that a body is ours, is fresh and was not sent before."""
    said = f"{timestamp}.{nonce}.".encode() + body
    mark = hmac.new(secret.encode(), said, hashlib.sha256).hexdigest()
    return {"X-Baton-Timestamp": str(timestamp), "X-Baton-Nonce": nonce, "X-Baton-Signature": f"v1={mark}"}


def webhook_body(event: Event, said: Said, *, details: bool) -> dict[str, Any]:
    """Return {id, kind, workspace, at, subject, said or null, url, approval or null, run or null, data}."""
    return {
        "id": _id(event),
        "kind": event.kind,
        "workspace": event.workspace.slug,
        "at": event.created_at.isoformat(),
        "subject": said.subject,
        "said": said.said if details else None,
        "url": words.absolute(said.place),
        "approval": str(event.approval_id) if event.approval_id else None,
        "run": str(event.run_id) if event.run_id else None,
        "data": {name: value for name, value in event.data.items() if name not in ("to", "channel")},
    }


def slack_body(event: Event, said: Said, *, details: bool) -> dict[str, Any]:
    """Return {text, blocks}: others' words stand as plain text, so that they mention nobody and link nowhere."""
    blocks: list[dict[str, Any]] = [{"type": "section", "text": _plain(f"{event.workspace.name}: {said.subject}")}]
    facts = [said.said] if details and said.said else []
    approval = event.approval
    if approval and (danger := risk(approval.action)):
        facts.append(danger.word)
    if approval and approval.expires_at:
        facts.append(f"Due {words.moment(approval.expires_at, ZoneInfo(event.workspace.zone))}")
    if facts:
        blocks.append({"type": "context", "elements": [_plain(fact) for fact in facts]})
    button = {"type": "button", "text": _plain("Open in Baton"), "url": words.absolute(said.place)}
    return {"text": _escaped(said.subject), "blocks": [*blocks, {"type": "actions", "elements": [button]}]}


def _exchange(channel: Channel, event: Event, secret: str) -> Exchange:
    said = words.of(event)
    headers = {"Content-Type": "application/json", "Idempotency-Key": _id(event)}
    if channel.kind == Channel.Kind.SLACK:
        body = json.dumps(slack_body(event, said, details=channel.details)).encode()
        return Exchange("POST", _sealed_address(channel, secret), headers, body)
    body = json.dumps(webhook_body(event, said, details=channel.details)).encode()
    # a nonce of its own for each try: receivers refuse one that they have seen
    return Exchange("POST", channel.url, headers | signed(secret, body, int(time.time()), secrets.token_hex(16)), body)


def _secret(channel: Channel) -> str:
    try:
        return reveal(channel.workspace_id, channel.secret)
    except NotFound:
        raise config("no_secret", f"The secret {channel.secret} of this channel is not there any more.") from None


def _id(event: Event) -> str:
    return hashlib.sha256(f"{event.workspace_id}:{event.key}".encode()).hexdigest()[:32]


def _plain(text: str) -> Mapping[str, Any]:
    return {"type": "plain_text", "text": words.unlinked(plain(text, 2_000)), "emoji": False}


def _escaped(text: str) -> str:
    """Return text that Slack shows as it is: `<!channel>` and the like call people only in angle brackets."""
    return words.unlinked(plain(text, 300).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def _refusal(channel: Channel, answer: Answer, secret: str) -> Refusal:
    said = redact(answer.body.decode("utf-8", "replace"), [secret])[:300]
    message = f"The channel {channel.name} answered {answer.status}{': ' + plain(said, 200) if said else ''}."
    return Refusal(answer.status, message, seconds_after(answer.headers))


def _hidden(failure: Failure, secret: str) -> Failure:
    """Slack's address is a secret, and an error about an address may name it."""
    error = failure.error
    kind = AnswerLost if isinstance(failure, AnswerLost) else Failure
    return kind(error.cls, error.code, redact(error.message, [secret]), retry_after=error.retry_after)


def _sealed_address(channel: Channel, secret: str) -> str:
    """Return Slack's address, once it is sure that no message about it can show it and no wire reads it."""
    try:
        url = URL(secret) if secret.isprintable() and " " not in secret else URL()
    except ValueError:
        url = URL()
    if not url.host or (url.scheme != "https" and url.host not in settings.EGRESS_ALLOW):
        raise config("bad_address", f"The secret {channel.secret} holds no https:// address. Write it anew.")
    return secret
