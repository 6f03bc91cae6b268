"""What the inbox and the decision page show: whose turn it is, how risky, what exactly will happen, and why."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from django.utils import timezone

from accounts.access import Actor, Capability, get
from accounts.models import Membership, User
from accounts.roles import Role
from approvals import inbox, policy
from approvals.models import Approval, DecisionRecord
from approvals.services import person_of, question_of, tool_of
from approvals.views.words import ASKS, ICONS, MAIL_ICON, SAID
from approvals.words import Risk
from pipelines import schema_form
from pipelines.canvas import spoken
from pipelines.graph.model import Json
from pipelines.schema_form import Field
from runs import family
from runs.canvas import HEAVY
from runs.delegations import plan_in
from runs.engine.status import StepState
from runs.inspection import StepRow, step_rows
from runs.models import Run, Step

MOST = 200
HISTORY = 14
SOON, MIDDLE, TODAY = dt.timedelta(hours=1), dt.timedelta(hours=8), dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the inbox. `due` is the class of its clock: soon, mid or none; `mine`: this person may answer."""

    approval: Approval
    sentence: str
    risk: Risk | None
    icon: str
    asks: str
    due: str
    mine: bool = True


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    items: Sequence[Item]


@dataclass(frozen=True, slots=True)
class Desk:
    groups: Sequence[Group]
    decided: Sequence[Approval]
    counts: inbox.Counts
    view: str

    @property
    def first(self) -> Approval | None:
        return self.groups[0].items[0].approval if self.groups else None


@dataclass(frozen=True, slots=True)
class Detail:
    """Everything of the decision page. `fields` are the values that will be used, editable where `editable`.

    `refusal` says why this person cannot answer; empty when they can. `holds_it`: they said that they are on it.
    `colleagues` are those it can be handed to.
    """

    item: Item
    action: str
    refusal: str
    fields: Sequence[Field]
    editable: bool
    trusts: Mapping[str, str]
    shown: Sequence[tuple[str, Json]]
    history: Sequence[StepRow]
    place: inbox.Place
    may_comment: bool
    holds_it: bool
    colleagues: Sequence[User]

    @property
    def approval(self) -> Approval:
        return self.item.approval

    @property
    def is_open(self) -> bool:
        return self.approval.state == Approval.State.OPEN

    @property
    def is_bound(self) -> bool:
        """Whether the answer is bound to the fingerprint of exactly this payload."""
        return self.approval.kind in policy.BOUND_KINDS

    @property
    def plan(self) -> Sequence[Mapping[str, Json]]:
        """The tasks of the plan that is to be approved; nothing where it is about anything else."""
        payload = self.approval.payload
        return plan_in(payload) if self.approval.kind == "edit" and "reason" not in (payload or {}) else ()

    @property
    def asked_usd(self) -> str:
        """The money a budget question proposes; "" when it is about tokens, calls or seconds instead."""
        payload = self.approval.payload
        return str(payload.get("add_usd", "")) if isinstance(payload, dict) else "2.00"

    @property
    def decisions(self) -> list[tuple[DecisionRecord, str]]:
        """Who said what, in words."""
        return [(one, SAID.get(one.decision, one.decision)) for one in self.approval.decisions.all()]

    @property
    def next(self) -> UUID | None:
        """Where to go after this one: the next of mine, else the one before."""
        return self.place.next or self.place.previous


def waiting_for(actor: Actor) -> list[Item]:
    """Return the open questions that wait for this person, the next due first."""
    return _items(inbox.mine(actor)[:MOST])


def desk(actor: Actor, view: str) -> Desk:
    """Return the inbox: what waits for me, for my team, or everything, by when it is due."""
    rows = {"mine": inbox.mine, "team": inbox.team, "all": inbox.open_for}[view](actor)
    items = _items(rows[:MOST])
    limit = timezone.now() + TODAY
    today = [item for item in items if item.approval.expires_at and item.approval.expires_at < limit]
    later = [item for item in items if item not in today]
    groups = [group for group in (Group("Due within a day", today), Group("Later", later)) if group.items]
    return Desk(groups, list(inbox.just_decided(actor)[:8]), inbox.counts(actor), view)


def detail(actor: Actor, approval_id: UUID | str) -> Detail:
    """Return one question with all that a decision needs; raise NotFound where it is not this workspace's."""
    rows = Approval.objects.select_related(
        "pipeline", "run__version", "run__parent", "run__started_by", "claimed_by", "assigned_to"
    )
    approval = get(rows.prefetch_related("decisions__by", "comments__by"), actor, pk=approval_id)
    family.add_up([approval.run])
    tool = tool_of(approval)
    schema, values, base = _form_of(approval, tool)
    refusal = _refusal(actor, approval)
    return Detail(
        item=_item(approval),
        action=_action(approval, tool),
        refusal=refusal,
        fields=schema_form.fields(schema, values, base=base) if schema or values else [],
        editable=approval.kind in policy.BOUND_KINDS and schema is not None,
        trusts=approval.trust or {},
        shown=_shown(approval),
        history=_history(approval),
        place=inbox.neighbours(approval, actor),
        may_comment=actor.can(Capability.RUN) or actor.can(Capability.DECIDE),
        holds_it=approval.claimed_by_id == actor.user.pk,
        colleagues=[] if refusal or approval.state != Approval.State.OPEN else _colleagues(actor, approval),
    )


def of_run(actor: Actor, run_id: UUID | str) -> list[Item]:
    """Return the open questions of one run and of those that its steps started; NotFound outside of the workspace."""
    runs = family.ids_from(get(Run, actor, pk=run_id))
    mine = set(inbox.team(actor).filter(run__in=runs).values_list("pk", flat=True))
    found = inbox.open_for(actor).filter(run__in=runs)
    return [replace(_item(approval), mine=approval.pk in mine) for approval in found]


def _items(approvals: Iterable[Approval]) -> list[Item]:
    return [_item(approval) for approval in approvals]


def _item(approval: Approval) -> Item:
    return Item(
        approval=approval,
        sentence=inbox.sentence(approval),
        risk=inbox.risk(approval),
        icon=_icon(approval),
        asks=ASKS[approval.kind],
        due=_due(approval),
    )


def _icon(approval: Approval) -> str:
    tool = str((approval.action or {}).get("tool", ""))
    return MAIL_ICON if tool.startswith("email.") and approval.kind in policy.BOUND_KINDS else ICONS[approval.kind]


def _due(approval: Approval) -> str:
    if approval.expires_at is None:
        return ""
    left = approval.expires_at - timezone.now()
    return "soon" if left < SOON else "mid" if left < MIDDLE else ""


def _refusal(actor: Actor, approval: Approval) -> str:
    """Return why this person cannot answer, so that no button is offered in vain; the door checks again."""
    refusal = policy.may_answer(question_of(approval), person_of(actor))
    if refusal:
        return refusal.message
    if any(decision.by_id == actor.user.pk for decision in approval.decisions.all()):
        return "You have answered; more people are needed."
    able = approval.kind == "answer" or actor.can(Capability.DECIDE)
    able = able or (approval.kind == "budget" and actor.can(Capability.DECIDE_BUDGET))
    return "" if able else "Your roles do not answer approvals."


def _colleagues(actor: Actor, approval: Approval) -> list[User]:
    """Return the other members who may answer this, by name."""
    members = Membership.objects.filter(workspace=actor.workspace, user__is_active=True).exclude(user=actor.user)
    question = question_of(approval)
    found = [
        member.user
        for member in members.select_related("user")
        if not policy.may_answer(
            question, person_of(Actor(member.user, actor.workspace, frozenset(map(Role, member.roles))))
        )
    ]
    return sorted(found, key=str)


def _form_of(approval: Approval, tool: str | None) -> tuple[Json, Mapping[str, Json] | None, str]:
    """Return (schema, values, pointer) of what is shown as fields: a call's arguments, or the asked form."""
    payload = approval.payload
    if tool is not None and isinstance(payload, dict):
        locked = approval.run.version.lock.get("tools", {}).get(tool)
        return (locked["args_schema"] if locked else None), payload.get("args") or {}, "/args"
    return approval.form, payload if isinstance(payload, dict) else None, ""


def _action(approval: Approval, tool: str | None) -> str:
    if tool is None:
        return ASKS[approval.kind]
    title = approval.run.version.lock.get("tools", {}).get(tool, {}).get("title")
    return f"{title} ({tool})" if title else tool


def _shown(approval: Approval) -> list[tuple[str, Json]]:
    """Return what the author shows beside the question; a budget's and a failure's figures stand in its first words."""
    if approval.kind == "budget":
        return []
    pairs = (approval.show or {}).items()
    return [(spoken(name), value) for name, value in pairs if name != "error" and value not in (None, [], {}, "")]


def _history(approval: Approval) -> list[StepRow]:
    ran = Step.objects.filter(run=approval.run, started_at__isnull=False).exclude(path=approval.path)
    shown = ran.exclude(state=StepState.SKIPPED).defer(*HEAVY).order_by("position", "id")[:HISTORY]
    return step_rows(list(shown))
