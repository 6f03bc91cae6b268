"""What stands on the desk: the open questions, whose they are, in the order they fall due."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet

from accounts.access import Actor
from approvals import needs, policy, words
from approvals.clock import STILL_OPEN, ClockTimestamp
from approvals.models import Approval, Comment, DecisionRecord
from approvals.needs import Person
from approvals.questions import person_of, readable
from approvals.words import Risk

MOST_NEIGHBOURS = 500


@dataclass(frozen=True, slots=True)
class Counts:
    """How many open questions: `mine` wait for this person, `team` they could answer, `all` stand in the workspace."""

    mine: int
    team: int
    all: int
    due_today: int
    cannot_be_undone: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where an approval stands among mine: `position` counts from 1, and is 0 when it is not there (any more)."""

    position: int
    total: int
    previous: UUID | None
    next: UUID | None


def everything(actor: Actor) -> QuerySet[Approval]:
    """Return every approval of the workspace, whatever its state, with what a list row shows."""
    asks = Comment.objects.filter(approval=OuterRef("pk"), asked_of__isnull=False, answered_at=None)
    rows = readable(actor).annotate(waits_for_information=Exists(asks))
    return rows.select_related("pipeline", "run__parent", "claimed_by", "assigned_to")


def open_for(actor: Actor) -> QuerySet[Approval]:
    """Return every open question of the workspace, the next due first, those without a deadline last."""
    return _by_due(everything(actor).filter(STILL_OPEN))


def team(actor: Actor) -> QuerySet[Approval]:
    """Return the open questions this person may answer, whoever is on them, the next due first."""
    return open_for(actor).filter(_is_team(actor))


def mine(actor: Actor) -> QuerySet[Approval]:
    """Return the open questions that wait for this person: theirs to answer, and not in a colleague's hands."""
    return open_for(actor).filter(_is_mine(actor))


def held(actor: Actor) -> QuerySet[Approval]:
    """Return what is approved and can still be taken back, the next to happen first."""
    return open_for(actor).filter(held_until__isnull=False).order_by("held_until", "id")


def asked_of(actor: Actor) -> QuerySet[Approval]:
    """Return the open questions about which somebody waits for this person's information."""
    asks = Comment.objects.filter(approval=OuterRef("pk"), asked_of=actor.user, answered_at=None)
    return open_for(actor).filter(Exists(asks))


def just_decided(actor: Actor, within: timedelta = timedelta(hours=8)) -> QuerySet[Approval]:
    """Return what left the desk lately, the newest first, with its decisions."""
    closed = everything(actor).exclude(state=Approval.State.OPEN)
    recent = closed.filter(decided_at__gt=ClockTimestamp() - within)
    return recent.prefetch_related("decisions__by").order_by("-decided_at", "-id")


def waiting(actor: Actor) -> int:
    """Return how many open questions wait for this person: what every page shows. Two queries.

    Not of `mine`, whose columns for a list cost more than the counting.
    """
    return readable(actor).filter(STILL_OPEN & _is_mine(actor)).count()


def counts(actor: Actor) -> Counts:
    """Return the figures of the inbox. Two queries."""
    is_team = _is_team(actor)
    is_mine = _is_mine(actor, is_team)
    found = (
        readable(actor)
        .filter(STILL_OPEN)
        .aggregate(
            mine=Count("pk", filter=is_mine),
            team=Count("pk", filter=is_team),
            all=Count("pk"),
            due_today=Count("pk", filter=is_mine & Q(expires_at__lt=ClockTimestamp() + timedelta(days=1))),
            cannot_be_undone=Count("pk", filter=is_mine & Q(action__effect="irreversible")),
        )
    )
    return Counts(**found)


def neighbours(approval: Approval, actor: Actor) -> Place:
    """Return what stands before and after it among mine. Two queries; looks no further than 500."""
    ids = list(mine(actor).values_list("pk", flat=True)[:MOST_NEIGHBOURS])
    if approval.pk not in ids:
        return Place(0, len(ids), None, ids[0] if ids else None)
    at = ids.index(approval.pk)
    return Place(at + 1, len(ids), _at(ids, at - 1), _at(ids, at + 1))


def sentence(approval: Approval) -> str:
    """Return in one plain sentence what happens if the answer is yes, or what is asked."""
    return words.sentence(approval.kind, approval.title, approval.payload)


def risk(approval: Approval) -> Risk | None:
    """Return the risk in words, or None when the question acts on nothing."""
    return words.risk(approval.action)


def _by_due(rows: QuerySet[Approval]) -> QuerySet[Approval]:
    return rows.order_by(F("expires_at").asc(nulls_last=True), "created_at", "id")


def _is_team(actor: Actor) -> Q:
    return _may_answer(actor) & Q(held_until=None)


def _is_mine(actor: Actor, is_team: Q | None = None) -> Q:
    return (is_team or _is_team(actor)) & _not_elsewhere(actor) & ~_answered_by(actor)


def _may_answer(actor: Actor) -> Q:
    """`policy.may_answer` as a condition; a test compares the two over every kind and person. One query."""
    person = person_of(actor)
    asked = _asks(person)
    for absent in person.stands_for:
        asked |= _asks(absent) & ~Q(barred__contains=[absent.id])
    allowed = Q(kind=Approval.Kind.ANSWER) & asked
    if policy.is_decider(person.roles):
        allowed |= asked & ~Q(kind=Approval.Kind.BUDGET)
    if "manager" in person.roles:
        allowed |= Q(kind=Approval.Kind.BUDGET)
    return allowed & ~Q(barred__contains=[actor.user.pk])


def _asks(person: Person) -> Q:
    asked = Q(people__contains=[person.email]) | Q(also_people__contains=[person.email])
    if named := sorted(needs.answering_roles(person.roles)):
        asked |= Q(roles__overlap=named) | Q(also_roles__overlap=named)
    return asked


def _not_elsewhere(actor: Actor) -> Q:
    mine_or_nobodys = Q(assigned_to=None) | Q(assigned_to=actor.user)
    return mine_or_nobodys & (Q(claimed_by=None) | Q(claimed_by=actor.user))


def _answered_by(actor: Actor) -> Q:
    return Q(Exists(DecisionRecord.objects.filter(approval=OuterRef("pk"), by=actor.user, withdrawn_at=None)))


def _at(ids: Sequence[UUID], index: int) -> UUID | None:
    return ids[index] if 0 <= index < len(ids) else None
