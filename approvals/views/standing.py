"""How one question stands, for a page that shows it while others work on it."""

import datetime as dt
from typing import Any

from django.urls import reverse

from accounts.access import Actor, get
from approvals import inbox
from approvals.models import Approval, DecisionRecord
from approvals.views.words import said


def signature(approval: Approval) -> str:
    """Return a text that changes whenever what a reader sees of the question changes. Reads what is prefetched."""
    parts = (
        approval.state,
        approval.payload_hash[-12:],
        approval.claimed_by_id or "",
        approval.assigned_to_id or "",
        len(approval.decisions.all()),
        len(approval.comments.all()),
        sum(one.withdrawn_at is not None for one in approval.decisions.all()),
        f"{approval.held_until:%H%M%S}" if approval.held_until else "",
    )
    return ".".join(map(str, parts))


def standing(actor: Actor, approval_id: object) -> dict[str, Any]:
    """Return {"stands", "words", "open", "url"}: the signature, and in one sentence what happened last."""
    rows = inbox.everything(actor).prefetch_related("decisions__by", "comments__by")
    approval = get(rows, actor, pk=approval_id)
    return {
        "stands": signature(approval),
        "words": words(actor, approval),
        "open": approval.state == Approval.State.OPEN,
        "url": reverse("approval", args=[approval.pk]),
    }


def words(actor: Actor, approval: Approval) -> str:
    """Return who has done what, with the time in the reader's zone."""
    if approval.state in (Approval.State.EXPIRED, Approval.State.CANCELLED):
        what = "Nobody answered in time" if approval.state == Approval.State.EXPIRED else "The run withdrew this"
        return f"{what}, at {_at(actor, approval.decided_at)}."
    decisions: list[DecisionRecord] = list(approval.decisions.all())
    if decisions:
        last = max(decisions, key=lambda one: one.id)
        who = "You" if last.by_id == actor.user.pk else str(last.by)
        if last.withdrawn_at:
            return f"{who} took the approval back at {_at(actor, last.withdrawn_at)}."
        return f"{who} already {said(last)} this at {_at(actor, last.at)}."
    if approval.claimed_by_id and approval.claimed_by_id != actor.user.pk:
        return f"{approval.claimed_by} is on it."
    if approval.assigned_to_id:
        return f"It was handed to {approval.assigned_to}."
    return "Something was added to this question."


def _at(actor: Actor, moment: dt.datetime | None) -> str:
    """Return the time by the reader's clock, with the day where it is not today."""
    if moment is None:
        return "an unknown time"
    local = moment.astimezone(actor.user.tzinfo)
    is_today = local.date() == dt.datetime.now(local.tzinfo).date()
    return f"{local:%H:%M}" if is_today else f"{local:%-d %b %H:%M}"
