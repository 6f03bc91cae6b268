"""The desk over REST: list, read, decide, take back, claim, hand over, ask, comment."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest
from ninja import Query, Router, Schema, Status
from pydantic import Field

from accounts import access, paging
from accounts.access import Actor, Capability, actor_of
from accounts.models import User
from accounts.schemas import Body
from approvals import inbox, precedents, services
from approvals.models import Approval, Comment, DecisionRecord
from approvals.needs import Need
from approvals.policy import Decision
from approvals.questions import question_of, with_people
from runs import family
from runs.models import Run

router = Router(tags=["approvals"])


class DecideBody(Body):
    decision: str = Field(max_length=40)
    payload_hash: str = Field("", max_length=71)
    payload: Any = None
    reason: str = ""


class AssignBody(Body):
    user: str = Field(max_length=254, description="the colleague's email")


class CommentBody(Body):
    text: str


class AskBody(Body):
    text: str
    user: str = Field("", max_length=254, description="a member's email; empty for whoever started the run")


class DecisionOut(Schema):
    by: str
    stands_for: str | None
    decision: str
    reason: str
    at: datetime
    taken_back_at: datetime | None


class CommentOut(Schema):
    """A comment, or with `asked_of` a request for what that person knows, open until `answered_at`."""

    by: str
    text: str
    at: datetime
    asked_of: str | None
    answered_at: datetime | None


class ChangeOut(Schema):
    """An argument that differs; null where it is not there."""

    name: str
    before: Any
    after: Any


class PrecedentOut(Schema):
    """`changes` since the last approved call like this one (`approval` is null where there is none); `edits` of it."""

    approval: str | None
    run: str | None
    approved_at: datetime | None
    changes: list[ChangeOut]
    edits: list[ChangeOut]


class NeedOut(Schema):
    """Approvals by so many different people among these; `rule` is null for what the pipeline itself asks."""

    rule: str | None
    approvals: int
    roles: list[str]
    people: list[str]


class ApprovalOut(Schema):
    """One question. `payload` is what would run now; `asked` what was asked first, once somebody edited it."""

    id: str
    kind: str
    state: str
    run: str
    parent: dict[str, Any] | None
    path: str
    pipeline: str
    title: str
    sentence: str
    risk: str | None
    action: Any
    payload: Any
    payload_hash: str
    asked: Any
    show: Any
    form: Any
    why: str
    trust: dict[str, Any]
    roles: list[str]
    people: list[str]
    min_approvals: int
    needs: list[NeedOut]
    on_expire: str
    created_at: datetime
    expires_at: datetime | None
    held_until: datetime | None
    decided_at: datetime | None
    claimed_by: str | None
    assigned_to: str | None
    decisions: list[DecisionOut]
    comments: list[CommentOut]


class ApprovalPage(Schema):
    items: list[ApprovalOut]
    next: str | None


class ListFilters(Schema):
    state: Approval.State | None = None
    kind: Approval.Kind | None = None
    run: str | None = None
    mine: bool = False
    cursor: str | None = None
    limit: int | None = None


@router.get("/approvals", response=ApprovalPage, summary="List approvals, the newest first")
def list_approvals(request: HttpRequest, filters: Query[ListFilters]) -> dict[str, Any]:
    """`mine` leaves the open questions that wait for you, or, with another state, those you answered."""
    actor = _reader(request)
    rows = _rows_of_mine(actor, filters.state) if filters.mine else inbox.everything(actor)
    if filters.state:
        rows = rows.filter(state=filters.state)
    if filters.kind:
        rows = rows.filter(kind=filters.kind)
    if filters.run:
        rows = rows.filter(run=access.get(Run, actor, pk=filters.run))
    return paging.page(with_people(rows), filters.cursor, filters.limit, "-created_at", shape)


@router.get("/approvals/{approval_id}", response=ApprovalOut, summary="Read an approval")
def read_approval(request: HttpRequest, approval_id: str) -> dict[str, Any]:
    return _read(_reader(request), approval_id)


@router.post("/approvals/{approval_id}/decide", response=ApprovalOut, summary="Answer an approval")
def decide(request: HttpRequest, approval_id: str, body: DecideBody) -> dict[str, Any]:
    """Approving needs the `payload_hash` of what you saw; rejecting needs a reason. Answers with the approval."""
    actor = actor_of(request)
    decision = Decision(body.decision, body.payload_hash, body.payload, body.reason)
    return _read(actor, services.decide(actor, approval_id, decision).pk)


@router.post("/approvals/{approval_id}/claim", response=ApprovalOut, summary="Say that you are on it")
def claim(request: HttpRequest, approval_id: str) -> dict[str, Any]:
    actor = actor_of(request)
    return _read(actor, services.claim(actor, approval_id).pk)


@router.post("/approvals/{approval_id}/release", response=ApprovalOut, summary="Give back what you claimed")
def release(request: HttpRequest, approval_id: str) -> dict[str, Any]:
    actor = actor_of(request)
    return _read(actor, services.release(actor, approval_id).pk)


@router.post("/approvals/{approval_id}/assign", response=ApprovalOut, summary="Hand it to a colleague")
def assign(request: HttpRequest, approval_id: str, body: AssignBody) -> dict[str, Any]:
    actor = actor_of(request)
    return _read(actor, services.assign(actor, approval_id, body.user).pk)


@router.post("/approvals/{approval_id}/take-back", response=ApprovalOut, summary="Take your approval back")
def take_back(request: HttpRequest, approval_id: str) -> dict[str, Any]:
    """Possible while more approvals are needed, and until `held_until` where a rule leaves time for it."""
    actor = actor_of(request)
    return _read(actor, services.take_back(actor, approval_id).pk)


@router.post("/approvals/{approval_id}/ask", response={201: CommentOut}, summary="Ask somebody for information")
def ask(request: HttpRequest, approval_id: str, body: AskBody) -> Status[dict[str, Any]]:
    """Without `user` the run's starter is asked. It is answered by their next comment."""
    return Status(201, _comment(services.ask(actor_of(request), approval_id, body.text, body.user)))


@router.get("/approvals/{approval_id}/precedent", response=PrecedentOut, summary="Compare with the last one like it")
def read_precedent(request: HttpRequest, approval_id: str) -> dict[str, Any]:
    """The last approved call of the same tool by the same step, and in which arguments this one differs."""
    actor = _reader(request)
    approval = access.get(inbox.everything(actor), actor, pk=approval_id)
    found = precedents.precedent(actor, approval)
    return {
        "approval": str(found.approval.pk) if found else None,
        "run": str(found.approval.run_id) if found else None,
        "approved_at": found.approval.decided_at if found else None,
        "changes": [_change(one) for one in found.changes] if found else [],
        "edits": [_change(one) for one in precedents.edits(approval)],
    }


@router.post("/approvals/{approval_id}/comment", response={201: CommentOut}, summary="Ask or explain something")
def comment(request: HttpRequest, approval_id: str, body: CommentBody) -> Status[dict[str, Any]]:
    written = services.comment(actor_of(request), approval_id, body.text)
    return Status(201, _comment(written))


def shape(approval: Approval) -> dict[str, Any]:
    """Return the approval as the API shows it. Reads what `with_people` prefetched."""
    return {
        **{name: getattr(approval, name) for name in _AS_THEY_ARE},
        "id": str(approval.pk),
        "run": str(approval.run_id),
        "parent": family.parent_json(approval.run),
        "pipeline": approval.pipeline.slug,
        "sentence": inbox.sentence(approval),
        "risk": found.word if (found := inbox.risk(approval)) else None,
        "needs": [_need(need) for need in question_of(approval).needs],
        "claimed_by": _email(approval.claimed_by),
        "assigned_to": _email(approval.assigned_to),
        "decisions": [_decision(record) for record in approval.decisions.all()],
        "comments": [_comment(written) for written in approval.comments.all()],
    }


_AS_THEY_ARE = (
    *("kind", "state", "path", "title", "action", "payload", "payload_hash", "asked", "show", "form", "why", "trust"),
    *("roles", "people", "min_approvals", "on_expire", "created_at", "expires_at", "held_until", "decided_at"),
)


def _reader(request: HttpRequest) -> Actor:
    actor = actor_of(request)
    access.require(actor, Capability.READ)
    return actor


def _read(actor: Actor, approval_id: UUID | str) -> dict[str, Any]:
    return shape(access.get(with_people(inbox.everything(actor)), actor, pk=approval_id))


def _rows_of_mine(actor: Actor, state: str | None) -> QuerySet[Approval]:
    if state in (None, Approval.State.OPEN):
        return inbox.mine(actor)
    return inbox.everything(actor).filter(decisions__by=actor.user)


def _need(need: Need) -> dict[str, Any]:
    known = {"roles": sorted(need.roles), "people": sorted(need.people)}
    return {"rule": need.name or None, "approvals": need.least, **known}


def _decision(record: DecisionRecord) -> dict[str, Any]:
    known = {"decision": record.decision, "reason": record.reason, "at": record.at}
    known["taken_back_at"] = record.withdrawn_at
    return {"by": record.by.email, "stands_for": _email(record.stands_for), **known}


def _comment(written: Comment) -> dict[str, Any]:
    known = {"text": written.text, "at": written.at, "answered_at": written.answered_at}
    return {"by": written.by.email, "asked_of": _email(written.asked_of), **known}


def _change(one: precedents.Change) -> dict[str, Any]:
    return {"name": one.name, "before": one.before, "after": one.after}


def _email(person: User | None) -> str | None:
    return person.email if person else None
