"""The rows of the desk as the rules see them: a question, the people who may answer it, and who has approved it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from uuid import UUID

from django.db.models import Prefetch, Q, QuerySet

from accounts.access import Actor, acting, scoped, sees_run
from accounts.models import Membership, User, Workspace
from approvals import ruling
from approvals.clock import ClockTimestamp
from approvals.models import Absence, Approval, Comment, DecisionRecord
from approvals.needs import Person
from approvals.policy import Choice, Question
from approvals.ruling import Call
from pipelines.graph.model import Json
from pipelines.graph.tools import ToolSpec

AWAY_NOW = Q(starts_at__lte=ClockTimestamp(), ends_at__gt=ClockTimestamp())


def question_of(approval: Approval, *, for_edit: bool = False) -> Question:
    """Return the approval as the rules see it; only `for_edit`, or an edit, reads the run's lock (one query)."""
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
        min_approvals=approval.min_approvals,
        held=approval.held_until is not None,
        rules=tuple(ruling.read(rule) for rule in approval.rules),
        levels={rule: int(turn["level"]) for rule, turn in approval.turns.items()},
        call=_call(approval, tool),
    )


def silence_of(approval: Approval) -> str:
    """Return what follows when nobody answers: "reject", "default" or "escalate".

    A rule's approval is not replaced by a default that the pipeline names for silence.
    """
    rejects = approval.on_expire == "default" and bool(question_of(approval).applied)
    return "reject" if rejects else approval.on_expire


def readable(actor: Actor) -> QuerySet[Approval]:
    """Return the questions of the workspace that this person may read: who sees no content, those about money."""
    rows = scoped(Approval, actor)
    return rows if actor.sees_content else rows.filter(kind=Approval.Kind.BUDGET)


def with_people(rows: QuerySet[Approval]) -> QuerySet[Approval]:
    """Return these questions with what people decided and wrote, in the order in which they did."""
    records = DecisionRecord.objects.select_related("by", "stands_for").order_by("id")
    comments = Comment.objects.select_related("by", "asked_of").order_by("id")
    return rows.prefetch_related(Prefetch("decisions", records), Prefetch("comments", comments))


def reads(actor: Actor, approval: Approval) -> bool:
    """Tell whether one question is among those that the person may read."""
    return sees_run(actor, approval.run) and (actor.sees_content or approval.kind == Approval.Kind.BUDGET)


def readers(approval: Approval) -> list[tuple[User, Person]]:
    """Return the active members who may read the question, as `members` does."""
    workspace = approval.workspace
    found = members(workspace)
    return [(user, person) for user, person in found if reads(acting(user, workspace, person.roles), approval)]


def tool_of(approval: Approval) -> str | None:
    """Return the id of the tool the payload would call, or None when it calls none."""
    for source in (approval.payload, approval.action):
        if isinstance(source, dict) and isinstance(source.get("tool"), str) and (approval.action or "args" in source):
            return str(source["tool"])
    return None


def person_of(actor: Actor) -> Person:
    """Return the actor as the rules see them, with those they stand for now. One query."""
    own = Person(str(actor.user.pk), actor.user.email.lower(), frozenset(str(role) for role in actor.roles))
    away = Absence.objects.filter(AWAY_NOW, workspace=actor.workspace, delegate=actor.user)
    if not (ids := list(away.order_by("starts_at", "id").values_list("person_id", flat=True))):
        return own
    known = _people(actor.workspace.pk, ids)
    return replace(own, stands_for=tuple(known[pk] for pk in dict.fromkeys(ids) if pk in known))


def members(workspace: Workspace) -> list[tuple[User, Person]]:
    """Return the active members with those each stands for now. Two queries."""
    rows = list(_memberships(workspace.pk).select_related("user"))
    people = {row.user_id: _person(row) for row in rows}
    absences: dict[UUID, list[Person]] = {}
    for one in Absence.objects.filter(AWAY_NOW, workspace=workspace).order_by("starts_at", "id"):
        if one.person_id in people:
            absences.setdefault(one.delegate_id, []).append(people[one.person_id])
    return [(row.user, replace(people[row.user_id], stands_for=tuple(absences.get(row.user_id, ())))) for row in rows]


def approvers(approval: Approval) -> list[Person]:
    """Return who has approved and is still an active member, with their roles of now. Two queries.

    Whoever answered in the place of an absent colleague still does, if that colleague is still a member.
    """
    records = list(standing(approval).filter(decision=Choice.APPROVE))
    known = _people(approval.workspace_id, [one.by_id for one in records] + [one.stands_for_id for one in records])
    return [
        replace(known[one.by_id], stands_for=tuple(known[pk] for pk in (one.stands_for_id,) if pk in known))
        for one in records
        if one.by_id in known
    ]


def standing(approval: Approval) -> QuerySet[DecisionRecord]:
    """Return the answers that count: those nobody took back."""
    return DecisionRecord.objects.filter(approval=approval, withdrawn_at=None)


def _people(workspace_id: UUID, ids: Iterable[UUID | None]) -> Mapping[UUID | None, Person]:
    return {row.user_id: _person(row) for row in _memberships(workspace_id).filter(user__in=set(ids) - {None})}


def _memberships(workspace_id: UUID) -> QuerySet[Membership]:
    return Membership.objects.active().filter(workspace_id=workspace_id).select_related("user")


def _person(row: Membership) -> Person:
    return Person(str(row.user_id), row.user.email.lower(), frozenset(row.roles))


def _call(approval: Approval, tool: str | None) -> Call:
    """Return what would be done now. The effect is the worse of what was asked and, after an edit, of what runs."""
    payload = approval.payload
    args = payload.get("args") if tool and isinstance(payload, dict) else None
    if tool is None:
        return Call()
    effect = str((approval.action or {}).get("effect", "irreversible"))
    if approval.asked is not None and (locked := _locked(approval, tool)) and isinstance(args, dict):
        effect = max(effect, str(ToolSpec.from_json(locked).effect_of(args)), key=ruling.rank)
    return Call(tool, effect, args)


def _approvals(approval: Approval) -> int:
    return standing(approval).filter(decision=Choice.APPROVE).count()


def _args_schema(approval: Approval, tool: str) -> Json:
    locked = _locked(approval, tool)
    return locked["args_schema"] if locked else None


def _locked(approval: Approval, tool: str) -> Mapping[str, Json] | None:
    found: Mapping[str, Json] | None = approval.run.version.lock.get("tools", {}).get(tool)
    return found
