"""The decision page: what exactly will happen, why it is asked, how the run got here, and who may answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from accounts.access import Actor, Capability, get
from accounts.models import User
from approvals import inbox, policy, precedents, services
from approvals.models import Approval, DecisionRecord
from approvals.policy import Choice
from approvals.questions import person_of, question_of, readable, readers, silence_of, tool_of, with_people
from approvals.views import policy_words
from approvals.views.items import Item, item
from approvals.views.policy_words import NeedRow, need_rows
from approvals.views.standing import signature
from approvals.views.words import ASKS, said
from pipelines import schema_form
from pipelines.canvas import spoken
from pipelines.graph.model import Json
from pipelines.graph.problems import pointer
from pipelines.schema_form import Field
from runs import family
from runs.delegations import plan_in
from runs.engine.status import StepState
from runs.inspection import StepRow, step_rows
from runs.models import Step
from runs.tallies import HEAVY

HISTORY = 14
WORST_FIRST = ("tool", "model", "user")


@dataclass(frozen=True, slots=True)
class Detail:
    """Everything of the decision page. `fields` are the values that will be used, editable where `editable`.

    `refusal` says why this person cannot answer; empty when they can. `holds_it`: they said that they are on it.
    `colleagues` are those it can be handed to, `knowing` those who can be asked for information. `edits` is what a
    person changed, `precedent` the last approved call like it. `trusts` says whose words the fields hold, by pointer.
    `may_take_back`: their own approval still stands.
    """

    item: Item
    action: str
    refusal: str
    fields: Sequence[Field]
    editable: bool
    trusts: Mapping[str, Sequence[str]]
    shown: Sequence[tuple[str, Json, Sequence[str]]]
    history: Sequence[StepRow]
    place: inbox.Place
    may_comment: bool
    holds_it: bool
    colleagues: Sequence[User]
    knowing: Sequence[User]
    edits: Sequence[precedents.Change]
    precedent: precedents.Precedent | None
    may_take_back: bool

    @property
    def approval(self) -> Approval:
        return self.item.approval

    @property
    def stands(self) -> str:
        """What the page compares to learn that somebody else has done something."""
        return signature(self.approval)

    @property
    def is_open(self) -> bool:
        return self.approval.state == Approval.State.OPEN

    @property
    def then(self) -> str:
        """What follows when nobody answers in time, in words."""
        words = {"reject": "rejected", "default": "the default is used"}
        return words.get(silence_of(self.approval), "escalated")

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
    def waits_for_information(self) -> bool:
        """Whether somebody was asked what they know, and has not said it yet."""
        return self.is_open and any(one.asked_of_id and not one.answered_at for one in self.approval.comments.all())

    @property
    def hold(self) -> str:
        """For how long an approval can be taken back, in words; "" where it happens at once."""
        seconds = question_of(self.approval).hold if self.is_open else 0
        return policy_words.hours(seconds) if seconds else ""

    @property
    def asked_usd(self) -> str:
        """The money a budget question proposes; "" when it is about tokens, calls or seconds instead."""
        payload = self.approval.payload
        return str(payload.get("add_usd", "")) if isinstance(payload, dict) else "2.00"

    @property
    def decisions(self) -> list[tuple[DecisionRecord, str]]:
        """Who said what, in words."""
        return [(one, said(one)) for one in self.approval.decisions.all()]

    @property
    def needs(self) -> Sequence[NeedRow]:
        """Whose approvals it takes and how many are there; empty where one person's is all."""
        return need_rows(self.approval)

    @property
    def next(self) -> UUID | None:
        """Where to go after this one: the next of mine, else the one before."""
        return self.place.next or self.place.previous


def detail(actor: Actor, approval_id: UUID | str) -> Detail:
    """Return one question with all that a decision needs; raise NotFound where it is not this workspace's."""
    rows = readable(actor).select_related(
        "workspace", "pipeline", "run__version", "run__parent", "run__started_by", "claimed_by", "assigned_to"
    )
    approval = get(with_people(rows), actor, pk=approval_id)
    family.add_up([approval.run])
    tool = tool_of(approval)
    schema, values, base = _form_of(approval, tool)
    refusal = _refusal(actor, approval)
    is_open = approval.state == Approval.State.OPEN
    may_act = is_open and not refusal
    fields = schema_form.fields(schema, values, base=base) if schema or values else []
    return Detail(
        item=item(approval),
        action=_action(approval, tool),
        refusal=refusal,
        fields=fields,
        editable=approval.kind in policy.BOUND_KINDS and schema is not None,
        trusts={field.pointer: _trusts(approval, field.pointer) for field in fields},
        shown=_shown(approval),
        history=_history(approval) if actor.sees_content else (),
        place=inbox.neighbours(approval, actor),
        may_comment=services.may_comment(actor, approval),
        holds_it=approval.claimed_by_id == actor.user.pk,
        colleagues=_colleagues(actor, approval) if may_act else [],
        knowing=_knowing(actor, approval) if may_act else [],
        edits=precedents.edits(approval),
        precedent=precedents.precedent(actor, approval) if approval.kind in policy.BOUND_KINDS else None,
        may_take_back=is_open and any(one.decision == Choice.APPROVE for one in _given(actor, approval)),
    )


def _refusal(actor: Actor, approval: Approval) -> str:
    """Return why this person cannot answer, so that no button is offered in vain; the door checks again."""
    refusal = policy.may_answer(question_of(approval), person_of(actor))
    if refusal:
        return refusal.message
    if _given(actor, approval):
        return "You have answered." if approval.held_until else "You have answered; more people are needed."
    able = approval.kind == "answer" or actor.can(Capability.DECIDE) or actor.can(Capability.DECIDE_BUDGET)
    return "" if able else "Your roles do not answer approvals."


def _given(actor: Actor, approval: Approval) -> list[DecisionRecord]:
    """Return this person's answers that still count. Reads what is prefetched."""
    return [one for one in approval.decisions.all() if one.by_id == actor.user.pk and one.withdrawn_at is None]


def _knowing(actor: Actor, approval: Approval) -> list[User]:
    return sorted((user for user, _ in readers(approval) if user != actor.user), key=str)


def _colleagues(actor: Actor, approval: Approval) -> list[User]:
    """Return the other members who may answer this, by name."""
    question = question_of(approval)
    others = ((user, person) for user, person in readers(approval) if user != actor.user)
    found = [user for user, person in others if policy.may_answer(question, person) is None]
    return sorted(found, key=str)


def _form_of(approval: Approval, tool: str | None) -> tuple[Json, Mapping[str, Json] | None, str]:
    """Return (schema, values, pointer) of what is shown as fields: a call's arguments, or the asked form."""
    payload = approval.payload
    if tool is not None and isinstance(payload, dict):
        locked = approval.run.version.lock.get("tools", {}).get(tool)
        return (locked["args_schema"] if locked else None), payload.get("args") or {}, "/args"
    return approval.form, payload if isinstance(payload, dict) else None, ""


def _trusts(approval: Approval, at: str) -> list[str]:
    """Return whose words stand in a value or anywhere within it, the least trusted first."""
    known = (approval.trust or {}).items()
    found = {label for place, label in known if place == at or place.startswith(f"{at}/")}
    return [label for label in WORST_FIRST if label in found]


def _action(approval: Approval, tool: str | None) -> str:
    if tool is None:
        return ASKS[approval.kind]
    title = approval.run.version.lock.get("tools", {}).get(tool, {}).get("title")
    return f"{title} ({tool})" if title else tool


def _shown(approval: Approval) -> list[tuple[str, Json, list[str]]]:
    """Return what the author shows beside the question, each with whose words it holds.

    A budget's and a failure's figures stand in its first words.
    """
    if approval.kind == "budget":
        return []
    pairs = (approval.show or {}).items()
    return [
        (spoken(name), value, _trusts(approval, pointer("/show", name)))
        for name, value in pairs
        if name != "error" and value not in (None, [], {}, "")
    ]


def _history(approval: Approval) -> list[StepRow]:
    ran = Step.objects.filter(run=approval.run, started_at__isnull=False).exclude(path=approval.path)
    shown = ran.exclude(state=StepState.SKIPPED).defer(*HEAVY).order_by("position", "id")[:HISTORY]
    return step_rows(list(shown))
