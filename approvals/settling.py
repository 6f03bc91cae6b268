"""What follows an answer that settles a question: its state, and the run is told, at once or when a rule's time is up.

A rule may leave time to take an approval back. The question is then held: still open, so that a colleague can reject it
and whoever approved it can withdraw, until a worker's poll tells the run. Nothing is told before that.
"""

import logging
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from accounts import audit
from accounts.errors import Conflict, Gone
from accounts.models import User
from approvals import bell, policy, questions, telling
from approvals.clock import RELEASED, STILL_OPEN, ClockTimestamp
from approvals.models import Approval
from approvals.policy import Choice, Decision
from approvals.questions import question_of
from approvals.telling import Act
from pipelines.graph.canonical import digest
from pipelines.graph.model import Json
from runs import dispatch
from runs.engine.facts import Answered

log = logging.getLogger("baton.approvals")

BATCH = 200
_FINAL_STATE = {Choice.APPROVE: Approval.State.APPROVED, Choice.REJECT: Approval.State.REJECTED}


def approve(approval: Approval, by: User, decision: Decision) -> None:
    """Settle what is approved by all it takes, or hold it for as long as its rules leave to take it back."""
    seconds = question_of(approval).hold
    if not seconds:
        return settle(approval, by, decision)
    held = Approval.objects.filter(STILL_OPEN, pk=approval.pk)
    if held.update(held_until=ClockTimestamp() + timedelta(seconds=seconds)) != 1:
        raise too_late(approval)
    approval.refresh_from_db(fields=["held_until"])
    return None


def settle(approval: Approval, by: User, decision: Decision) -> None:
    """Close a question whose row is locked with this answer, and report it to the run in the same transaction.

    Raises Gone when it fell due meanwhile, Conflict when the run had its answer already.
    """
    approval.state = _FINAL_STATE.get(Choice(decision.decision), Approval.State.ANSWERED)
    moved = Approval.objects.filter(STILL_OPEN, pk=approval.pk, payload_hash=approval.payload_hash).update(
        state=approval.state, decided_at=ClockTimestamp(), held_until=None
    )
    if moved != 1:
        # The lock is ours, so only the clock can have moved: the question fell due between the two looks.
        raise too_late(approval)
    approval.refresh_from_db(fields=["decided_at", "held_until"])
    answer = Answered(
        request=approval.request,
        approval=str(approval.id),
        decision=decision.decision,
        payload=_reported_payload(approval, decision),
        payload_hash=approval.payload_hash,
        by=by.email,
        reason=decision.reason.strip(),
    )
    if not dispatch.report(approval.run_id, answer, key=f"approval:{approval.id}"):
        raise Conflict("The run has had its answer to this already.", code="already_decided")
    telling.tell(Act("decided", approval, by, mark="end"))


def release_due() -> None:
    """Tell the runs what nobody took back in time, at most 200 at a time. Safe when several workers do it at once."""
    due = Approval.objects.filter(RELEASED).order_by("held_until").values_list("pk", flat=True)[:BATCH]
    for approval_id in list(due):
        release(approval_id)


def release(approval_id: UUID) -> bool:
    """Settle one held question if its time is up and nobody holds its row; return whether this call did it.

    It is approved by those who may approve it now: where somebody lost that meanwhile, it goes on waiting.
    """
    with transaction.atomic():
        rows = Approval.objects.select_for_update(skip_locked=True, of=("self",)).select_related("workspace", "run")
        approval = rows.filter(RELEASED, pk=approval_id).first()
        if approval is None:
            return False
        last = questions.standing(approval).filter(decision=Choice.APPROVE).select_related("by").last()
        if last is None or policy.missing(question_of(approval), questions.approvers(approval)) or _is_broken(approval):
            log.warning("What was approved as %s is not approved any more; it waits for people again.", approval.pk)
            Approval.objects.filter(pk=approval.pk).update(held_until=None)
            done = "approval.not_released"
        else:
            settle(approval, last.by, Decision(Choice.APPROVE, approval.payload_hash, reason=last.reason))
            done = "approval.released"
        data = {"run": str(approval.run_id), "path": approval.path, "payload_hash": approval.payload_hash}
        audit.record(approval.workspace, "policy", done, str(approval.id), data)
        bell.look_again(approval)
        return done == "approval.released"


def refuse_broken_seal(approval: Approval) -> None:
    """Compute the fingerprint again: a row that was changed behind the desk's back is never approved."""
    if _is_broken(approval):
        raise Conflict(
            "The stored payload does not match its fingerprint, so it cannot be approved. Reject it and run again.",
            code="payload_changed",
            where="/payload_hash",
        )


def too_late(approval: Approval) -> Gone:
    return Gone(f"The answer was due at {at(approval.expires_at)}; it is too late.", code="expired")


def at(moment: datetime | None) -> str:
    """Return a moment as a refusal says it."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "an unknown time"


def _is_broken(approval: Approval) -> bool:
    return approval.kind in policy.BOUND_KINDS and digest(approval.payload) != approval.payload_hash


def _reported_payload(approval: Approval, decision: Decision) -> Json:
    """Return what the run goes on with: the approved call, the money added, the answer, or the output to use."""
    if decision.decision != Choice.APPROVE:
        return decision.payload
    if approval.kind in policy.BOUND_KINDS:
        return approval.payload
    return approval.payload if decision.payload is None else decision.payload
