"""Who decided what, when and why: the log of decisions, narrowed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import QuerySet

from accounts import asked as asked_of
from accounts import days
from accounts.access import Actor, scoped
from approvals.models import DecisionRecord
from approvals.policy import Choice
from approvals.questions import readable

COLUMNS = (
    *("at", "decision", "by", "stands_for", "title", "tool", "pipeline", "run", "path", "kind", "state", "reason"),
    *("edited", "payload_hash", "waited_seconds", "approval", "taken_back_at"),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the log is asked for; an empty text leaves everything in, and so does what cannot be read.

    `by` is a person's email, `pipeline` a slug, `since` and `until` days of the workspace's zone, both included.
    """

    by: str = ""
    decision: str = ""
    pipeline: str = ""
    since: str = ""
    until: str = ""

    @classmethod
    def read(cls, asked: Mapping[str, str]) -> "Wanted":
        """Return what an address asks for."""
        found = asked_of.read(cls, asked)
        return found if found.decision in tuple(Choice) else replace(found, decision="")

    @property
    def address(self) -> str:
        """The query of the address that shows this, without its question mark."""
        return asked_of.address(self)


def decisions(actor: Actor, wanted: Wanted) -> QuerySet[DecisionRecord]:
    """Return the decisions of the workspace that are asked for, the newest first."""
    rows = scoped(DecisionRecord, actor, through="approval__workspace").order_by("-at", "-id")
    if not actor.sees_content:
        rows = rows.filter(approval__in=readable(actor))
    rows = rows.select_related("by", "stands_for", "approval__pipeline", "approval__run")
    if wanted.by:
        rows = rows.filter(by__email__iexact=wanted.by)
    if wanted.decision:
        rows = rows.filter(decision=wanted.decision)
    if wanted.pipeline:
        rows = rows.filter(approval__pipeline__slug=wanted.pipeline)
    return days.within(rows, wanted.since, wanted.until, actor.workspace.zone)


def shape(record: DecisionRecord) -> dict[str, Any]:
    """Return one decision as programs and spreadsheets get it, in the order of `COLUMNS`."""
    approval = record.approval
    action = approval.action if isinstance(approval.action, dict) else {}
    return {
        "at": record.at,
        "decision": record.decision,
        "by": record.by.email,
        "stands_for": record.stands_for.email if record.stands_for else None,
        "title": approval.title,
        "tool": action.get("tool"),
        "pipeline": approval.pipeline.slug,
        "run": str(approval.run_id),
        "path": approval.path,
        "kind": approval.kind,
        "state": approval.state,
        "reason": record.reason,
        "edited": record.payload is not None and approval.asked is not None,
        "payload_hash": record.payload_hash,
        "waited_seconds": round((record.at - approval.created_at).total_seconds(), 3),
        "approval": str(approval.pk),
        "taken_back_at": record.withdrawn_at,
    }
