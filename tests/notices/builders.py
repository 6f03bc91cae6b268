"""Plain builders around notices: something happens, it is spread, and what is due is sent."""

import json
import re
from email import message_from_string, policy
from email.message import EmailMessage
from typing import Any

from approvals import handlers as desk
from approvals.models import Approval
from notices import handlers, sending, spreading
from notices.models import Delivery, Notice
from notices.models import Event as Happened
from runs.engine.decision import Event
from runs.models import Run
from tests.approvals.builders import an_approval, facts_of
from tests.sink import Sink

__all__ = ["alert", "ask", "delivered", "letters", "named", "requests", "send", "spread"]


def ask(run: Run, **changes: Any) -> Approval:
    """Return an open question whose commit also left the event that tells of it."""
    approval = an_approval(run, **changes)
    asked = Event("approval_requested", approval.path, {"request": approval.request})
    assert desk.id_of(str(run.pk), approval.request) == str(approval.pk)
    _commit(handlers.asked(asked, facts_of(run)))
    return approval


def alert(run: Run, path: str | None = None, **payload: Any) -> None:
    _commit(handlers.alerted(Event("budget_alert", path, payload), facts_of(run)))


def _commit(rows: list[Any]) -> None:
    for row in rows:
        Happened.objects.bulk_create([Happened(**row.row)], ignore_conflicts=True)


def spread() -> None:
    """Spread all there is: the poll takes as many turns as it needs."""
    spreading.spread()
    while Happened.objects.filter(taken_at=None).exists():
        spreading.spread()


def send() -> int:
    return sending.send_due()


def delivered() -> list[tuple[str, int]]:
    """Return (state, attempts) of every delivery, the oldest first."""
    return list(Delivery.objects.order_by("id").values_list("state", "attempts"))


def named(kind: str) -> list[str]:
    """Return who was told of this, by the part of their address before the @."""
    rows = Notice.objects.filter(kind=kind).values_list("user__email", flat=True)
    return sorted(email.partition("@")[0] for email in rows)


def letters(sink: Sink) -> list[EmailMessage]:
    """Return the emails that reached the mail server, read as a mail program reads them."""
    texts = (re.sub(r"(?m)^\.\.", ".", mail["text"].removesuffix("\r\n.\r\n")) for mail in sink.mails)
    return [message_from_string(text, policy=policy.default) for text in texts]  # type: ignore[arg-type]


def requests(sink: Sink) -> list[Any]:
    return [json.loads(effect["body"]) for effect in sink.effects]
