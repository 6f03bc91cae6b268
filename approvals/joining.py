"""Runs that wait for the answer to another run's question: what they are told once that is settled.

A no is for all; silence is only that of the run that asked. A yes adds to the counter of the budget in the commit of
the run that asked, once; after that the others look at the counter again, as any call does, and ask anew where it is
not enough. So nobody's yes counts twice.
"""

import logging

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, TextField, Value
from django.db.models.functions import Cast, Concat

from approvals.models import Approval, Joined
from runs import dispatch
from runs.engine.answers import AGAIN
from runs.engine.facts import Answered
from runs.models import Inbox
from runs.store import is_transient

log = logging.getLogger("baton.approvals")

BATCH = 200
_ENDED = ("succeeded", "failed", "cancelled")
_UNREAD = Exists(
    Inbox.objects.filter(
        run=OuterRef("approval__run"),
        key=Concat(Value("approval:"), Cast(OuterRef("approval_id"), TextField())),
        taken_at=None,
    )
)
# Until the run that asked has read a yes, the budget has no more than before.
_READY = ~Q(approval__state=Approval.State.OPEN) & (
    ~Q(approval__state=Approval.State.APPROVED) | ~_UNREAD | Q(approval__run__state__in=_ENDED)
)


def tell() -> None:
    """Tell those whose question is settled, at most 200 at a time. Safe when several workers do it at once."""
    for joined_id in list(Joined.objects.filter(_READY).order_by("id").values_list("pk", flat=True)[:BATCH]):
        try:
            tell_one(joined_id)
        except Exception as error:  # one that cannot be told must not keep the others from being told
            if is_transient(error.__cause__ or error):
                raise  # the database is away: the next turn finds all of them again
            log.exception("The run that waits at place %d could not be told the answer; it is tried again.", joined_id)


def tell_one(joined_id: int) -> bool:
    """Tell one run and forget its place, unless somebody else does just now; return whether this call did."""
    with transaction.atomic():
        rows = Joined.objects.select_for_update(skip_locked=True, of=("self",)).select_related("approval", "run")
        joined = rows.filter(pk=joined_id).first()
        if joined is None:
            return False
        if joined.run.state not in _ENDED:
            dispatch.report(joined.run_id, _answer(joined), key=f"joined:{joined.pk}")
        joined.delete()
    return True


def _answer(joined: Joined) -> Answered:
    approval = joined.approval
    decision = "reject" if approval.state == Approval.State.REJECTED else AGAIN
    last = approval.decisions.select_related("by").filter(withdrawn_at=None).last() if decision == "reject" else None
    by, reason = (last.by.email, last.reason) if last else ("policy", "")
    return Answered(joined.request, str(approval.pk), decision, by=by, reason=reason)
