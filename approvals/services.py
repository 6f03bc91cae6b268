"""The one door into an approval: decide or take back, and beside it claim, release, hand over, ask and comment.

An answer counts only if, under the row's lock and on the database's clock, the question is still open, still says what
the person saw, and the rules let this person give this answer. Whatever cannot be established is refused.
"""

from typing import NoReturn
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from accounts import access, audit
from accounts.access import Actor, Capability, require
from accounts.errors import Conflict, Forbidden, Invalid, Refused
from accounts.models import User, Workspace
from accounts.roles import Scope
from approvals import attention, bell, policy, questions, settling, telling
from approvals.clock import STILL_OPEN, ClockTimestamp
from approvals.models import Approval, Comment, DecisionRecord
from approvals.needs import Need, Person
from approvals.policy import Choice, Decision, Refusal
from approvals.questions import person_of, question_of
from approvals.settling import at
from approvals.telling import Act
from pipelines.graph.canonical import digest, sanitise
from pipelines.graph.model import Json

MAX_COMMENT = 4_000

_ACT = {"approve": "approval.approved", "reject": "approval.rejected"}
STATUS: dict[str, type[Refused]] = {
    "own_request": Forbidden,
    "not_a_reviewer": Forbidden,
    "payload_changed": Conflict,
    "edit_too_late": Conflict,
    "already_decided": Conflict,
}


def decide(actor: Actor, approval_id: UUID | str, decision: Decision) -> Approval:
    """Record one person's answer; when it settles the question, report it to the run in the same transaction.

    Returns the approval as it stands then: still open while more approvals are needed, and while a rule leaves time to
    take the last one back (`held_until`). Raises NotFound, Forbidden
    (`own_request`, `not_a_reviewer`), Conflict (`payload_changed`, `already_decided`, `edit_too_late`), Gone
    (`expired`), Invalid for an answer that does not fit. Locks the approval's row until the transaction ends.
    """
    with transaction.atomic():
        approval = _visible(actor, approval_id)
        person = _require_answerer(actor, approval)
        approval = _locked_open(approval)
        _refuse_second_answer(actor, approval)
        question = question_of(approval, for_edit=decision.payload is not None)
        _raise(policy.may_decide(question, person, decision))
        _refuse_broken_seal(approval, decision)
        if policy.is_edit(question, decision):
            _replace_payload(approval, decision.payload)
        absent = policy.absent_one(question_of(approval), person)
        _record(actor, approval, decision, absent)
        if decision.decision != Choice.APPROVE:
            settling.settle(approval, actor.user, decision)
        elif not still_missing(approval):
            settling.approve(approval, actor.user, decision)
        _audit_decision(actor, approval, decision, absent)
        bell.look_again(approval)
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


def release_all(workspace: Workspace, person: User) -> list[tuple[str, str]]:
    """Give back what a person who leaves has claimed or was handed; return it for the audit log. In a transaction."""
    held = Approval.objects.select_for_update().filter(workspace=workspace, state=Approval.State.OPEN)
    released = list(held.filter(Q(claimed_by=person) | Q(assigned_to=person)).order_by("id"))
    for approval in released:
        if approval.claimed_by_id == person.pk:
            approval.claimed_by = None
        if approval.assigned_to_id == person.pk:
            approval.assigned_to = None
        approval.save(update_fields=["claimed_by", "assigned_to"])
        bell.look_again(approval)
    return [("approval.released", str(approval.id)) for approval in released]


def assign(actor: Actor, approval_id: UUID | str, email: str) -> Approval:
    """Hand the question to a colleague who may answer it; a claim ends with it.

    Raises Invalid `cannot_be_assigned` for somebody who may not answer, with the reason.
    """
    with transaction.atomic():
        approval = _locked_open(_visible(actor, approval_id))
        _require_answerer(actor, approval)
        user, person = _member(approval, email)
        refusal = policy.may_answer(question_of(approval), person)
        if refusal:
            why = "started the run or edited its pipeline" if refusal.code == "own_request" else "may not answer it"
            raise Invalid(f"{user} {why}. Choose somebody else.", code="cannot_be_assigned", where="/user")
        telling.tell(Act("assigned", approval, actor.user))
        _move(actor, approval, "assigned", assigned_to=user, claimed_by=None)
        return approval


def comment(actor: Actor, approval_id: UUID | str, text: str) -> Comment:
    """Add a comment to a question, open or not. The one who asked may comment; that decides nothing."""
    approval = _visible(actor, approval_id)
    if not may_comment(actor, approval):
        require(actor, Capability.DECIDE)
    with transaction.atomic():
        written = _write(actor, approval, text)
        Comment.objects.filter(approval=approval, asked_of=actor.user, answered_at=None).update(answered_at=written.at)
        telling.tell(Act("commented", approval, actor.user, mark=str(written.pk), data={"comment": written.pk}))
        audit.record(actor.workspace, actor.user, "approval.commented", str(approval.id), {"comment": written.id})
    return written


def may_comment(actor: Actor, approval: Approval) -> bool:
    """Tell whether this person may write beside the question: who runs, who decides it, and who was asked about it."""
    if actor.can(Capability.RUN) or actor.can(Capability.DECIDE):
        return True
    if actor.can(Capability.DECIDE_BUDGET) and policy.may_answer(question_of(approval), person_of(actor)) is None:
        return True
    is_asked = any(one.asked_of_id == actor.user.pk and one.answered_at is None for one in approval.comments.all())
    return is_asked and _has_decide_scope(actor)


def ask(actor: Actor, approval_id: UUID | str, text: str, email: str = "") -> Comment:
    """Ask a member for information about an open question: by address, or whoever started the run.

    It stays open until they comment. Raises Invalid `cannot_be_asked` for nobody, oneself, and who is no member.
    """
    with transaction.atomic():
        approval = _locked_open(_visible(actor, approval_id))
        _require_answerer(actor, approval)
        starter = approval.run.started_by
        address = email.strip() or (starter.email if starter else "")
        asked = _member(approval, address, "cannot_be_asked")[0] if address else None
        if asked is None or asked == actor.user:
            raise Invalid("Choose a colleague who may know.", code="cannot_be_asked", where="/user")
        written = _write(actor, approval, text, asked)
        telling.tell(Act("information", approval, actor.user, mark=str(written.pk), data={"comment": written.pk}))
        audit.record(
            *(actor.workspace, actor.user, "approval.asked", str(approval.id)),
            {"comment": written.pk, "asked_of": asked.email},
        )
    return written


def take_back(actor: Actor, approval_id: UUID | str) -> Approval:
    """Withdraw one's own approval while the run has not been told. The question waits again for what is then missing.

    What was edited stays edited. Whoever lost the role meanwhile may still withdraw. Raises Forbidden for a token
    without the scope decide, Conflict `not_yours` where this person has approved nothing, and `already_decided` once
    the run was told.
    """
    if not _has_decide_scope(actor):
        raise _lacks_scope()
    with transaction.atomic():
        approval = _locked_open(_visible(actor, approval_id))
        mine = questions.standing(approval).filter(by=actor.user, decision=Choice.APPROVE)
        if not mine.update(withdrawn_at=ClockTimestamp()):
            raise Conflict("You have approved nothing here that could be taken back.", code="not_yours")
        if still_missing(approval):
            approval.held_until = None
            approval.save(update_fields=["held_until"])
        audit.record(
            actor.workspace, actor.user, "approval.taken_back", str(approval.id), {"run": str(approval.run_id)}
        )
        bell.look_again(approval)
        return approval


def _visible(actor: Actor, approval_id: UUID | str) -> Approval:
    require(actor, Capability.READ)
    return access.get(questions.readable(actor), actor, pk=approval_id)


def _locked_open(approval: Approval) -> Approval:
    """Return the row locked, still open and up to the moment: its rules counted, its escalations made.

    The condition is checked again by the database after any wait.
    """
    rows = Approval.objects.select_for_update(of=("self",)).annotate(looked_at=ClockTimestamp())
    locked = rows.select_related("claimed_by", "run", "workspace").filter(STILL_OPEN, pk=approval.pk).first()
    if locked is None:
        _refuse_closed(approval)
    attention.look(locked, locked.looked_at)
    if locked.held_until is None and locked.expires_at is not None and locked.expires_at <= locked.looked_at:
        raise settling.too_late(locked)  # only now a rule's time was counted, and it is up
    return locked


def _write(actor: Actor, approval: Approval, text: str, asked_of: User | None = None) -> Comment:
    clean = str(sanitise(text)[0]).strip()
    if not clean or len(clean) > MAX_COMMENT:
        raise Invalid(f"A comment has 1 to {MAX_COMMENT:,} characters.", code="invalid_comment", where="/text")
    written = Comment.objects.create(approval=approval, by=actor.user, text=clean, asked_of=asked_of)
    written.refresh_from_db(fields=["at"])
    bell.look_again(approval)
    return written


def _refuse_closed(approval: Approval) -> NoReturn:
    """Say why the question is closed. One look at row and clock: two would see an expiry happen between them."""
    approval = Approval.objects.annotate(looked_at=ClockTimestamp()).get(pk=approval.pk)
    due = approval.expires_at is not None and approval.expires_at <= approval.looked_at
    if approval.state == Approval.State.EXPIRED or (approval.state == Approval.State.OPEN and due):
        raise settling.too_late(approval)
    if approval.state == Approval.State.CANCELLED:
        raise Conflict(
            f"The run withdrew this question at {at(approval.decided_at)}; there is nothing to decide any more.",
            code="already_decided",
            state=approval.state,
        )
    last = questions.standing(approval).select_related("by").order_by("-id").first()
    who = last.by.email if last else None
    raise Conflict(
        f"{last.by if last else 'Somebody'} already {approval.state} this at {at(approval.decided_at)}.",
        code="already_decided",
        state=approval.state,
        by=who,
        at=approval.decided_at,
    )


def _refuse_second_answer(actor: Actor, approval: Approval) -> None:
    mine = questions.standing(approval).filter(by=actor.user).first()
    if mine:
        more = sum(lack for _, lack in still_missing(approval))
        then = f"it waits for {more} more" if more else "take it back before you answer otherwise"
        raise Conflict(
            f"You already answered {mine.decision!r} at {at(mine.at)}; {then}.",
            code="already_decided",
            state=approval.state,
            by=actor.user.email,
            at=mine.at,
        )


def still_missing(approval: Approval) -> tuple[tuple[Need, int], ...]:
    """Return what is still to be approved, and how often: only approvals of those count who might give them now."""
    return policy.missing(question_of(approval), questions.approvers(approval))


def _require_answerer(actor: Actor, approval: Approval) -> Person:
    """Return the actor as a person. The policy knows the question, `access` the person and their token: both agree."""
    person = person_of(actor)
    _raise(policy.may_answer(question_of(approval), person))
    if approval.kind == Approval.Kind.ANSWER:
        if not _has_decide_scope(actor):
            raise _lacks_scope()
    else:
        require_decider(actor)
    return person


def _has_decide_scope(actor: Actor) -> bool:
    """A browser's session has every scope of its person."""
    return actor.scopes is None or Scope.DECIDE in actor.scopes


def _lacks_scope() -> Forbidden:
    return Forbidden("This token lacks the scope decide. Make a token with it.", code="not_a_reviewer")


def require_decider(actor: Actor) -> None:
    """Raise Forbidden for somebody who may answer no question that makes a run act, or whose token may not."""
    if not actor.can(Capability.DECIDE_BUDGET):
        require(actor, Capability.DECIDE)


def _raise(refusal: Refusal | None) -> None:
    if refusal:
        error = STATUS.get(refusal.code, Invalid)
        raise error(refusal.message, code=refusal.code, where=refusal.where)


def _refuse_broken_seal(approval: Approval, decision: Decision) -> None:
    if decision.decision == Choice.APPROVE:
        settling.refuse_broken_seal(approval)


def _replace_payload(approval: Approval, edited: Json) -> None:
    if approval.asked is None:
        approval.asked = approval.payload
    approval.payload = edited
    approval.payload_hash = digest(edited)
    # What runs is judged by the rules anew, which may now give it other deadlines and ask other people.
    approval.wakes_at = approval.created_at
    approval.save(update_fields=["asked", "payload", "payload_hash", "wakes_at"])


def _record(actor: Actor, approval: Approval, decision: Decision, absent: Person | None) -> None:
    DecisionRecord.objects.create(
        approval=approval,
        by=actor.user,
        stands_for_id=absent.id if absent else None,
        decision=decision.decision,
        reason=str(sanitise(decision.reason)[0]).strip(),
        payload=decision.payload,
        payload_hash=approval.payload_hash,
    )


def _audit_decision(actor: Actor, approval: Approval, decision: Decision, absent: Person | None) -> None:
    data = {
        "run": str(approval.run_id),
        "path": approval.path,
        "kind": approval.kind,
        "decision": decision.decision,
        "payload_hash": approval.payload_hash,
        "edited": approval.asked is not None,
        "state": approval.state,
        **({"held_until": approval.held_until.isoformat()} if approval.held_until else {}),
        **({"stands_for": absent.email} if absent else {}),
    }
    audit.record(actor.workspace, actor.user, _ACT.get(decision.decision, "approval.answered"), str(approval.id), data)


def _member(approval: Approval, email: str, code: str = "cannot_be_assigned") -> tuple[User, Person]:
    wanted = email.strip().lower()
    for user, person in questions.readers(approval):
        if person.email == wanted:
            return user, person
    raise Invalid("Nobody in this workspace who sees this question has that address.", code=code, where="/user")


def _move(actor: Actor, approval: Approval, act: str, **columns: User | None) -> None:
    """Change who holds the question. The row is locked, so what was read is still true."""
    for name, value in columns.items():
        setattr(approval, name, value)
    approval.save(update_fields=list(columns))
    data = {name: person.email if person else None for name, person in columns.items()}
    audit.record(actor.workspace, actor.user, f"approval.{act}", str(approval.id), data)
    bell.look_again(approval)
