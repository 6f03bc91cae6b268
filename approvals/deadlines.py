"""Closes questions whose time is up, by the database's clock, and tells their runs."""

import logging
from uuid import UUID

from django.db import transaction

from accounts import audit
from approvals import attention
from approvals.clock import DUE, ClockTimestamp
from approvals.models import Approval, Notice
from approvals.questions import silence_of
from runs import dispatch
from runs.engine.facts import Answered
from runs.store import is_transient

log = logging.getLogger("baton.approvals")

BATCH = 200


def expire_due() -> None:
    """Expire what is due, at most 200 at a time. Safe when several workers do it at once: each row has one winner."""
    due = Approval.objects.filter(DUE).order_by("expires_at").values_list("pk", flat=True)[:BATCH]
    for approval_id in list(due):
        try:
            expire(approval_id)
        except Exception as error:  # one that cannot be closed must not keep the others open
            if is_transient(error.__cause__ or error):
                raise  # the database is away: the next turn finds all of them again
            log.exception("The question %s is due and could not be closed; it is tried again.", approval_id)


def expire(approval_id: UUID) -> bool:
    """Expire one question if it is due and still open; return whether this call did it.

    A question whose row somebody holds just now is left alone: either they decide it, or the next look finds it.
    """
    with transaction.atomic():
        approval = (
            Approval.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("workspace")
            .filter(DUE, pk=approval_id)
            .first()
        )
        if approval is None:
            return False
        then = silence_of(approval)
        rejects = then != approval.on_expire  # by a rule
        Approval.objects.filter(pk=approval.pk).update(state=Approval.State.EXPIRED, decided_at=ClockTimestamp())
        answer = Answered(
            request=approval.request,
            approval=str(approval.id),
            decision="reject" if rejects else "expire",
            payload_hash=approval.payload_hash,
            by="policy",
            reason="Nobody answered in time.",
        )
        dispatch.report(approval.run_id, answer, key=f"approval:{approval.id}")
        attention.notice(approval, Notice.Kind.EXPIRED, "", attention.everyone(approval))
        data = {"run": str(approval.run_id), "path": approval.path, "then": then}
        audit.record(approval.workspace, "policy", "approval.expired", str(approval.id), data)
    return True
