"""A rejection becomes a test case: what went in, and the reviewer's reason as what is asked of later answers."""

from uuid import UUID

from django.db import transaction

from accounts.access import Actor, Capability, get, require
from accounts.errors import Conflict
from approvals import inbox, questions
from approvals.models import Approval
from approvals.policy import BOUND_KINDS, Choice
from evals import cases, datasets
from evals.cases import CaseFields
from evals.models import DatasetVersion
from pipelines.graph.model import Json, Kind
from runs import artifacts, removal
from runs.models import Step

# The rubric's own words stand beside it; the whole reason is in the context.
_LONGEST = 3_500
# A step in a loop, a list or a talk may stand elsewhere in the next answer.
_INSTANCE = frozenset("[#~>/")
_ASKED = (
    "A person rejected an earlier answer to this input, which stands in the context, and said why: “{reason}” "
    "Score 1 where that cannot be said of the answer to judge, 0 where it can be said of it as well."
)


def rejected(actor: Actor, approval_id: UUID | str) -> Approval:
    """Return a rejected question that the actor may read; raise NotFound, Conflict `not_rejected`."""
    approval = get(questions.readable(actor).select_related("run__pipeline"), actor, pk=approval_id)
    if approval.state != Approval.State.REJECTED or approval.kind not in BOUND_KINDS:
        message = "Nobody has rejected this action, so there is no reason that later answers could be held against."
        raise Conflict(message, code="not_rejected")
    return approval


@transaction.atomic
def add(actor: Actor, approval_id: UUID | str, name: str, case_name: str = "") -> DatasetVersion:
    """Save a rejection as a case of a dataset; raise as `rejected` and as `datasets.add_case`.

    A judge looks at what a Person step would ask about now, else at the run's output, by the reason that was given.
    """
    require(actor, Capability.EDIT)
    approval = rejected(actor, approval_id)
    removal.refuse(approval.run)
    case = _case_of(approval, case_name.strip() or title(approval))
    return datasets.add_case(actor, name, case, approval.run, f"Rejected in run {approval.run.number}")


def title(approval: Approval) -> str:
    """Return what the case is called unless somebody says otherwise."""
    return f"Rejected: {inbox.sentence(approval)}"[:200]


def reason_of(approval: Approval) -> str:
    """Return why it was rejected: the reason of whoever did."""
    record = questions.standing(approval).filter(decision=Choice.REJECT).order_by("id").last()
    return record.reason if record else ""


def _case_of(approval: Approval, name: str) -> CaseFields:
    reason = reason_of(approval)
    assertion: dict[str, Json] = {
        "type": "rubric",
        "name": "not_rejected_again",
        "rubric": _ASKED.format(reason=reason[:_LONGEST]),
    }
    if _asks_again(approval):
        assertion["of"] = approval.path
    fields: dict[str, Json] = {
        "name": name[:200],
        "inputs": artifacts.input_of(approval.run),
        "context": {"rejected": approval.payload, "reason": reason},
        "asserts": [assertion],
        "metadata": {"approval": str(approval.pk)},
    }
    (case,) = cases.read([fields])
    return case


def _asks_again(approval: Approval) -> bool:
    """Whether a Person step of this path gives on what it asks about, and will be there in the next answer."""
    if _INSTANCE & set(approval.path):
        return False
    return Step.objects.filter(run=approval.run, path=approval.path, kind=Kind.HUMAN).exists()
