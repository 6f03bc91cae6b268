"""Decides several questions with one press: each through the one door by itself, each with its own outcome."""

from collections.abc import Sequence
from dataclasses import dataclass

from accounts.access import Actor, get
from accounts.errors import Invalid, Refused
from approvals import inbox, precedents, services
from approvals.models import Approval
from approvals.policy import Choice, Decision
from approvals.words import REVERSIBLE

MOST = 100
_CHOICES = (Choice.APPROVE, Choice.REJECT)


@dataclass(frozen=True, slots=True)
class Item:
    """One question of a bulk and the fingerprint of what was shown."""

    id: str
    payload_hash: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one question: its state now, or why it was not decided. `approval` is None for an unknown id."""

    item: Item
    approval: Approval | None
    refused: Refused | None = None

    @property
    def done(self) -> bool:
        return self.refused is None


def decide_each(actor: Actor, items: Sequence[Item], choice: str, reason: str = "") -> list[Outcome]:
    """Return one outcome per item, in their order; what one of them is refused for stops none of the others.

    Each item is a transaction, a record, an entry of the audit chain and a report to its run of its own. Raises
    Forbidden for somebody who decides nothing, Invalid for no items, more than 100, or a decision that is neither
    approve nor reject: then none was tried.
    """
    services.require_decider(actor)
    if not items or len(items) > MOST:
        raise Invalid(f"Choose 1 to {MOST} questions at once.", code="bulk_size", where="/items")
    if choice not in _CHOICES:
        message = "Several questions are approved or rejected together; anything else is said to each."
        raise Invalid(message, code="decision_not_offered", where="/decision")
    unique = list({item.id: item for item in items}.values())
    return [_decide(actor, item, choice, reason) for item in unique]


def kin(approval: Approval) -> tuple[object, ...] | None:
    """Return what questions that are decided together have in common, or None for one that is decided by itself.

    Alike are approvals of the same reversible action, asked for the same reason by the same step of a pipeline.
    What may be written on each differs, so each is shown and each answer names its own fingerprint.
    """
    if not is_light(approval):
        return None
    tool = (approval.action or {}).get("tool")
    return (approval.pipeline_id, tool, precedents.steps(approval.path), approval.why)


def is_light(approval: Approval) -> bool:
    """Tell whether a question may be part of a bulk: a yes or no to what can be undone, by one person."""
    plain = approval.kind == Approval.Kind.APPROVE and approval.min_approvals == 1
    return plain and approval.held_until is None and inbox.risk(approval) == REVERSIBLE


def _decide(actor: Actor, item: Item, choice: str, reason: str) -> Outcome:
    approval = None
    try:
        approval = get(inbox.everything(actor), actor, pk=item.id)
        if not is_light(approval):
            message = "This is not one of the light ones. Read it and decide it by itself."
            raise Invalid(message, code="not_for_bulk", where="/items")
        decision = Decision(choice, item.payload_hash, reason=reason)
        return Outcome(item, services.decide(actor, item.id, decision))
    except Refused as refused:
        return Outcome(item, approval, refused)
