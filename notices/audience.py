"""Who is told of what: only members who may see it now, and of a question only those who may answer it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from accounts.access import Actor, Capability, acting, is_kept
from accounts.models import Membership, User, Workspace
from approvals import policy
from approvals.clock import STILL_OPEN
from approvals.models import Approval, Comment, DecisionRecord
from approvals.needs import Person
from approvals.questions import members as people_of
from approvals.questions import person_of, question_of, reads, standing
from notices.models import Event, Kind

Members = Mapping[UUID, Actor]


def of(event: Event) -> list[User]:
    """Return whom an event is told, by name. A question that is closed by now asks nobody."""
    members = members_of(event.workspace)
    chosen = _CHOICE[Kind(event.kind)](event, members)
    told = (members[pk] for pk in chosen if pk in members and pk != event.by_id)
    return sorted({actor.user for actor in told if may_read(event.approval, actor)}, key=str)


def may_read(approval: Approval | None, actor: Actor) -> bool:
    """Say whether the person may be told of a question, or of nothing: some see none but those about money, or none of
    a pipeline that is kept from them."""
    return approval is None or reads(actor, approval)


def is_for_everybody(event: Event) -> bool:
    """Say whether an event may be told where anybody may read it: no question of a pipeline that is kept for some."""
    return event.approval is None or not is_kept(event.workspace, event.approval.run)


def members_of(workspace: Workspace) -> dict[UUID, Actor]:
    """Return the active members who may read, by id. One query."""
    rows = Membership.objects.active().filter(workspace=workspace).select_related("user")
    people = (acting(row.user, workspace, row.roles) for row in rows)
    return {actor.user.pk: actor for actor in people if actor.can(Capability.READ)}


def may_still_answer(approval: Approval | None, actor: Actor) -> bool:
    """Say whether the question is open and this person could settle something by answering it now."""
    if approval is None or not _waits(approval.pk):
        return False
    if standing(approval).filter(by=actor.user).exists():
        return False
    return policy.may_answer(question_of(approval), person_of(actor)) is None


def is_open(approval_id: UUID | None) -> bool:
    """Say whether a question can still be answered, by the database's clock."""
    return approval_id is not None and Approval.objects.filter(STILL_OPEN, pk=approval_id).exists()


def _waits(approval_id: UUID) -> bool:
    """Say whether it still needs answers: what is approved and held for a moment does not."""
    return Approval.objects.filter(STILL_OPEN, pk=approval_id, held_until=None).exists()


def manages(actor: Actor) -> bool:
    """Say whether this person looks after budgets."""
    return actor.can(Capability.MANAGE)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The open question of an event, and who of the members may answer it, with those they stand for."""

    approval: Approval
    able: Mapping[UUID, Person]


def _asked(event: Event, members: Members) -> _Asked | None:
    if event.approval is None or not _waits(event.approval.pk):
        return None
    approval = event.approval
    question = question_of(approval)
    done = set(standing(approval).values_list("by_id", flat=True))
    people = {user.pk: person for user, person in people_of(event.workspace) if user.pk in members}
    able = (pk for pk, person in people.items() if pk not in done and not policy.may_answer(question, person))
    return _Asked(approval, {pk: people[pk] for pk in able})


def _answerers(event: Event, members: Members) -> Iterable[UUID]:
    asked = _asked(event, members)
    return asked.able if asked else ()


def _assigned(event: Event, members: Members) -> Iterable[UUID]:
    asked = _asked(event, members)
    return [pk for pk in asked.able if pk == asked.approval.assigned_to_id] if asked else ()


def _named(event: Event, members: Members) -> Iterable[UUID]:
    """Those whom the act names by role or address, as far as they may answer; all who may where it names none."""
    asked, names = _asked(event, members), frozenset(event.data.get("to") or ())
    if asked is None:
        return ()
    if not names:
        return asked.able
    return [pk for pk, person in asked.able.items() if names & _names(person)]


def _names(person: Person) -> frozenset[str]:
    """Return the roles and addresses under which a person is asked, as themselves or for somebody who is away."""
    both = (person, *person.stands_for)
    return frozenset(name for one in both for name in (one.email, *one.roles))


def _involved(event: Event, members: Members) -> Iterable[UUID]:
    """The starter of the run, and whoever wrote beside the question, holds it or has answered."""
    approval = event.approval
    if approval is None:
        return ()
    wrote = Comment.objects.filter(approval=approval).values_list("by_id", flat=True)
    answered = DecisionRecord.objects.filter(approval=approval).values_list("by_id", flat=True)
    held = (approval.claimed_by_id, approval.assigned_to_id, approval.run.started_by_id)
    return {pk for pk in (*wrote, *answered, *held) if pk}


def _informed(event: Event, members: Members) -> Iterable[UUID]:
    """Whoever was asked for information, while their answer is waited for."""
    asked = Comment.objects.filter(pk=event.data.get("comment"), approval=event.approval, answered_at=None)
    return asked.values_list("asked_of_id", flat=True) if event.approval and is_open(event.approval.pk) else ()


def _payers(event: Event, members: Members) -> Iterable[UUID]:
    """A day's or month's budget, and a price above what was reserved, concern the managers; a run's cap its starter."""
    if event.data.get("scope") or event.data.get("above_reservation"):
        return [pk for pk, actor in members.items() if manages(actor)]
    return [event.run.started_by_id] if event.run and event.run.started_by_id else ()


def _wanted(event: Event, members: Members) -> Iterable[UUID]:
    """Whom an alert rule names, by role or address."""
    names = frozenset(event.data.get("to") or ())
    return [pk for pk, actor in members.items() if names & {actor.user.email, *actor.roles}]


_CHOICE: Mapping[Kind, Callable[[Event, Members], Iterable[UUID]]] = {
    Kind.ASKED: _answerers,
    Kind.ASSIGNED: _assigned,
    Kind.REMINDER: _named,
    Kind.ESCALATED: _named,
    Kind.INFORMATION: _informed,
    Kind.COMMENTED: _involved,
    Kind.DECIDED: _involved,
    Kind.BUDGET: _payers,
    Kind.ALERT: _wanted,
}
