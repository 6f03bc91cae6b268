"""The one door into an approval: decide, and beside it claim, release, hand over and comment.

An answer counts only if, under the row's lock and on the database's clock, the question is still open, still says what
the person saw, and the rules let this person give this answer. Whatever cannot be established is refused.
"""

from datetime import datetime
from typing import NoReturn
from uuid import UUID

from django.db import transaction

from accounts import access, audit
from accounts.access import Actor, Capability, require
from accounts.errors import Conflict, Forbidden, Gone, Invalid, Refused
from accounts.models import Membership, User
from accounts.roles import Scope
from approvals import policy
from approvals.clock import STILL_OPEN, ClockTimestamp
from approvals.models import Approval, Comment, DecisionRecord
from approvals.policy import Choice, Decision, Person, Question, Refusal
from pipelines.graph.canonical import digest, sanitise
from pipelines.graph.model import Json
from runs import dispatch
from runs.engine.facts import Answered

MAX_COMMENT = 4_000

_FINAL_STATE = {Choice.APPROVE: Approval.State.APPROVED, Choice.REJECT: Approval.State.REJECTED}
_ACT = {"approve": "approval.approved", "reject": "approval.rejected"}
STATUS: dict[str, type[Refused]] = {
    "own_request": Forbidden,
    "not_a_reviewer": Forbidden,
    "payload_changed": Conflict,
    "edit_too_late": Conflict,
}


def decide(actor: Actor, approval_id: UUID | str, decision: Decision) -> Approval:
    """Record one person's answer; when it settles the question, report it to the run in the same transaction.

    Returns the approval as it stands then: still open while more approvals are needed. Raises NotFound, Forbidden
    (`own_request`, `not_a_reviewer`), Conflict (`payload_changed`, `already_decided`, `edit_too_late`), Gone
    (`expired`), Invalid for an answer that does not fit. Locks the approval's row until the transaction ends.
    """
    with transaction.atomic():
        approval = _visible(actor, approval_id)
        _require_answerer(actor, approval)
        approval = _locked_open(approval)
        _refuse_second_answer(actor, approval)
        question = question_of(approval, for_edit=decision.payload is not None)
        _raise(policy.may_decide(question, person_of(actor), decision))
        _refuse_broken_seal(approval, decision)
        if policy.is_edit(question, decision):
            _replace_payload(approval, decision.payload)
        _record(actor, approval, decision)
        if decision.decision != Choice.APPROVE or _missing(approval) == 0:
            _settle(actor, approval, decision)
        _audit_decision(actor, approval, decision)
        return approval


def claim(actor: Actor, approval_id: UUID | str) -> Approval:
    """Tell the others that this person is on it. Claiming twice changes nothing, and a claim keeps nobody out.

    Raises Conflict `already_claimed` when a colleague has it: they can release it or hand it over.
    """
    with transaction.atomic():
        approval = _locked_open(_visible(actor, approval_id))
        _require_answerer(actor, approval)
        if approval.claimed_by_id not in (None, actor.user.pk):
            raise Conflict(f"{approval.claimed_by} is on it. Ask them to hand it over.", code="already_claimed")
        if approval.claimed_by_id is None:
            _move(actor, approval, "claimed", claimed_by=actor.user)
        return approval


def release(actor: Actor, approval_id: UUID | str) -> Approval:
    """Give back what this person claimed; raise Conflict `not_claimed` when they did not."""
    with transaction.atomic():
        approval = _locked_open(_visible(actor, approval_id))
        if approval.claimed_by_id != actor.user.pk:
            raise Conflict("You have not claimed this.", code="not_claimed")
        _move(actor, approval, "released", claimed_by=None)
        return approval


def assign(actor: Actor, approval_id: UUID | str, email: str) -> Approval:
    """Hand the question to a colleague who may answer it; a claim ends with it.

    Raises Invalid `cannot_be_assigned` for somebody who may not answer, with the reason.
    """
    with transaction.atomic():
        approval = _locked_open(_visible(actor, approval_id))
        _require_answerer(actor, approval)
        member = _member(approval, email)
        if member is None:
            raise Invalid("Nobody in this workspace has that address.", code="cannot_be_assigned", where="/user")
        person = Person(str(member.user_id), member.user.email.lower(), frozenset(member.roles))
        refusal = policy.may_answer(question_of(approval), person)
        if refusal:
            why = "started the run or edited its pipeline" if refusal.code == "own_request" else "may not answer it"
            raise Invalid(f"{member.user} {why}. Choose somebody else.", code="cannot_be_assigned", where="/user")
        _move(actor, approval, "assigned", assigned_to=member.user, claimed_by=None)
        return approval


def comment(actor: Actor, approval_id: UUID | str, text: str) -> Comment:
    """Add a comment to a question, open or not. The one who asked may comment; that decides nothing."""
    approval = _visible(actor, approval_id)
    if not (actor.can(Capability.RUN) or actor.can(Capability.DECIDE)):
        require(actor, Capability.DECIDE)
    clean = str(sanitise(text)[0]).strip()
    if not clean or len(clean) > MAX_COMMENT:
        raise Invalid(f"A comment has 1 to {MAX_COMMENT:,} characters.", code="invalid_comment", where="/text")
    with transaction.atomic():
        written = Comment.objects.create(approval=approval, by=actor.user, text=clean)
        audit.record(actor.workspace, actor.user, "approval.commented", str(approval.id), {"comment": written.id})
    return written


def person_of(actor: Actor) -> Person:
    """Return the actor as the rules see them."""
    return Person(str(actor.user.pk), actor.user.email.lower(), frozenset(str(role) for role in actor.roles))


def question_of(approval: Approval, *, for_edit: bool = False) -> Question:
    """Return the approval as the rules see it; only `for_edit` reads the run's lock (one query)."""
    tool = tool_of(approval)
    return Question(
        kind=approval.kind,
        roles=frozenset(approval.roles),
        people=frozenset(email.lower() for email in approval.people),
        barred=frozenset(str(person) for person in approval.barred),
        payload=approval.payload,
        payload_hash=approval.payload_hash,
        form=approval.form,
        tool=tool,
        args_schema=_args_schema(approval, tool) if for_edit and tool else None,
        approvals=_approvals(approval) if for_edit else 0,
    )


def tool_of(approval: Approval) -> str | None:
    """Return the id of the tool the payload would call, or None when it calls none."""
    for source in (approval.payload, approval.action):
        if isinstance(source, dict) and isinstance(source.get("tool"), str) and (approval.action or "args" in source):
            return str(source["tool"])
    return None


def _args_schema(approval: Approval, tool: str) -> Json:
    locked = approval.run.version.lock.get("tools", {}).get(tool)
    return locked["args_schema"] if locked else None


def _visible(actor: Actor, approval_id: UUID | str) -> Approval:
    require(actor, Capability.READ)
    return access.get(Approval, actor, pk=approval_id)


def _locked_open(approval: Approval) -> Approval:
    """Return the row locked and still open. The condition is checked again by the database after any wait."""
    locked = (
        Approval.objects.select_for_update(of=("self",))
        .select_related("claimed_by", "run")
        .filter(STILL_OPEN, pk=approval.pk)
        .first()
    )
    if locked is None:
        _refuse_closed(approval)
    return locked


def _refuse_closed(approval: Approval) -> NoReturn:
    """Say why the question is closed. One look at row and clock: two would see an expiry happen between them."""
    approval = Approval.objects.annotate(looked_at=ClockTimestamp()).get(pk=approval.pk)
    due = approval.expires_at is not None and approval.expires_at <= approval.looked_at
    if approval.state == Approval.State.EXPIRED or (approval.state == Approval.State.OPEN and due):
        raise Gone(f"The answer was due at {_at(approval.expires_at)}; it is too late.", code="expired")
    if approval.state == Approval.State.CANCELLED:
        raise Conflict(
            f"The run withdrew this question at {_at(approval.decided_at)}; there is nothing to decide any more.",
            code="already_decided",
            state=approval.state,
        )
    last = approval.decisions.select_related("by").order_by("-id").first()
    who = last.by.email if last else None
    raise Conflict(
        f"{last.by if last else 'Somebody'} already {approval.state} this at {_at(approval.decided_at)}.",
        code="already_decided",
        state=approval.state,
        by=who,
        at=approval.decided_at,
    )


def _refuse_second_answer(actor: Actor, approval: Approval) -> None:
    mine = approval.decisions.filter(by=actor.user).first()
    if mine:
        raise Conflict(
            f"You already answered {mine.decision!r} at {_at(mine.at)}; it waits for {_missing(approval)} more.",
            code="already_decided",
            state=approval.state,
            by=actor.user.email,
            at=mine.at,
        )


def _require_answerer(actor: Actor, approval: Approval) -> None:
    """The policy knows the question, `access` the person and their token: both must agree."""
    _raise(policy.may_answer(question_of(approval), person_of(actor)))
    if approval.kind == Approval.Kind.ANSWER:
        if actor.scopes is not None and Scope.DECIDE not in actor.scopes:
            raise Forbidden("This token lacks the scope decide. Make a token with it.", code="not_a_reviewer")
    elif not actor.can(Capability.DECIDE_BUDGET):
        require(actor, Capability.DECIDE)


def _raise(refusal: Refusal | None) -> None:
    if refusal:
        error = STATUS.get(refusal.code, Invalid)
        raise error(refusal.message, code=refusal.code, where=refusal.where)


def _refuse_broken_seal(approval: Approval, decision: Decision) -> None:
    """Compute the fingerprint again: a row that was changed behind the desk's back is never approved."""
    binds = approval.kind in policy.BOUND_KINDS and decision.decision == Choice.APPROVE
    if binds and digest(approval.payload) != approval.payload_hash:
        raise Conflict(
            "The stored payload does not match its fingerprint, so it cannot be approved. Reject it and run again.",
            code="payload_changed",
            where="/payload_hash",
        )


def _replace_payload(approval: Approval, edited: Json) -> None:
    approval.asked = approval.payload
    approval.payload = edited
    approval.payload_hash = digest(edited)
    approval.save(update_fields=["asked", "payload", "payload_hash"])


def _record(actor: Actor, approval: Approval, decision: Decision) -> None:
    DecisionRecord.objects.create(
        approval=approval,
        by=actor.user,
        decision=decision.decision,
        reason=str(sanitise(decision.reason)[0]).strip(),
        payload=decision.payload,
        payload_hash=approval.payload_hash,
    )


def _audit_decision(actor: Actor, approval: Approval, decision: Decision) -> None:
    data = {
        "run": str(approval.run_id),
        "path": approval.path,
        "kind": approval.kind,
        "decision": decision.decision,
        "payload_hash": approval.payload_hash,
        "edited": approval.asked is not None,
        "state": approval.state,
    }
    audit.record(actor.workspace, actor.user, _ACT.get(decision.decision, "approval.answered"), str(approval.id), data)


def _approvals(approval: Approval) -> int:
    return approval.decisions.filter(decision=Choice.APPROVE).count()


def _missing(approval: Approval) -> int:
    return max(0, approval.min_approvals - _approvals(approval))


def _settle(actor: Actor, approval: Approval, decision: Decision) -> None:
    approval.state = _FINAL_STATE.get(Choice(decision.decision), Approval.State.ANSWERED)
    moved = Approval.objects.filter(STILL_OPEN, pk=approval.pk, payload_hash=approval.payload_hash).update(
        state=approval.state, decided_at=ClockTimestamp()
    )
    if moved != 1:
        # The lock is ours, so only the clock can have moved: the question fell due between the two looks.
        raise Gone(f"The answer was due at {_at(approval.expires_at)}; it is too late.", code="expired")
    approval.refresh_from_db(fields=["decided_at"])
    answer = Answered(
        request=approval.request,
        approval=str(approval.id),
        decision=decision.decision,
        payload=_reported_payload(approval, decision),
        payload_hash=approval.payload_hash,
        by=actor.user.email,
        reason=decision.reason.strip(),
    )
    if not dispatch.report(approval.run_id, answer, key=f"approval:{approval.id}"):
        raise Conflict("The run has had its answer to this already.", code="already_decided")


def _reported_payload(approval: Approval, decision: Decision) -> Json:
    """Return what the run goes on with: the approved call, the money added, the answer, or the output to use."""
    if decision.decision != Choice.APPROVE:
        return decision.payload
    if approval.kind in policy.BOUND_KINDS:
        return approval.payload
    return approval.payload if decision.payload is None else decision.payload


def _member(approval: Approval, email: str) -> Membership | None:
    members = Membership.objects.filter(workspace_id=approval.workspace_id, user__is_active=True)
    return members.select_related("user").filter(user__email=email.strip().lower()).first()


def _move(actor: Actor, approval: Approval, act: str, **columns: User | None) -> None:
    """Change who holds the question. The row is locked, so what was read is still true."""
    for name, value in columns.items():
        setattr(approval, name, value)
    approval.save(update_fields=list(columns))
    data = {name: person.email if person else None for name, person in columns.items()}
    audit.record(actor.workspace, actor.user, f"approval.{act}", str(approval.id), data)


def _at(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "an unknown time"
