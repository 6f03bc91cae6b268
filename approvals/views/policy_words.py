"""What a rule says in plain words, for lists and for the question that it is about."""

from collections.abc import Sequence
from dataclasses import dataclass

from approvals import needs, questions
from approvals.models import Approval, Rule
from approvals.needs import Need
from approvals.policy import missing

_EFFECTS = {"irreversible": "what cannot be undone", "reversible": "what acts on the world", "": "every approval"}


@dataclass(frozen=True, slots=True)
class NeedRow:
    """A need of a question: `whom` in words, `given` of `least` approvals; `name` is its rule's; "": the pipeline's."""

    name: str
    whom: str
    given: int
    least: int

    @property
    def is_met(self) -> bool:
        return self.given >= self.least


def about(rule: Rule) -> str:
    """Return in words what a rule is about."""
    what = rule.tool or _EFFECTS[rule.effect]
    if rule.tool and rule.effect:
        what += f", {_EFFECTS[rule.effect]}"
    if rule.amount_least is not None:
        what += f", from {rule.amount_least.normalize():,f} in {rule.amount_at}"
    return f"{what}, in {rule.pipeline.name}" if rule.pipeline else what


def asked(rule: Rule) -> list[str]:
    """Return in words what a rule asks, a line per level."""
    lines = []
    for index, level in enumerate(rule.levels):
        whom = needs.addressees([Need(frozenset(level["roles"]), frozenset(level["people"]))])
        approvals = "1 approval" if rule.least == 1 else f"{rule.least} approvals"
        more = f"then also {whom}" if index else f"{approvals} by {whom}"
        lines.append(more + (f", within {hours(level['within'])}" if level["within"] is not None else ""))
    if rule.hold:
        lines.append(f"it can be taken back for {hours(rule.hold)}")
    return lines


def hours(seconds: int) -> str:
    """Return a length in the largest unit that fits it."""
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds % size == 0:
            count = seconds // size
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{seconds} seconds"


def need_rows(approval: Approval) -> Sequence[NeedRow]:
    """Return the needs of a question where it has more than one approval by one person; two queries."""
    question = questions.question_of(approval)
    if len(question.needs) == 1 and approval.min_approvals == 1:
        return ()
    lacking = dict(missing(question, questions.approvers(approval)))
    return [
        NeedRow(need.name, needs.addressees([need]), need.least - lacking.get(need, 0), need.least)
        for need in question.needs
    ]
