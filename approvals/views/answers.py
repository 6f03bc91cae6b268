"""Reads a posted decision form: which answer, for which fingerprint, with which edited values."""

from collections.abc import Mapping, Sequence

from django.http import QueryDict

from accounts.errors import Invalid
from approvals.bulk import Item
from approvals.policy import BOUND_KINDS, Choice, Decision
from approvals.questions import tool_of
from approvals.views.question import Detail
from pipelines import schema_form
from pipelines.graph.model import Json
from pipelines.schema_form import Field


def decision_from(detail: Detail, posted: Mapping[str, str]) -> Decision:
    """Return the decision; raise Invalid where a field cannot be read. `services.decide` checks what it may contain."""
    choice = posted.get("decision", "")
    return Decision(
        decision=choice,
        payload_hash=posted.get("payload_hash", ""),
        payload=_payload(detail, choice, posted),
        reason=posted.get("reason", ""),
    )


def fields_after(detail: Detail, posted: Mapping[str, str]) -> Sequence[Field]:
    """Return the inputs of a form that was refused as they were typed; those of the other forms stay as they were."""
    is_answer = posted.get("decision") == Choice.ANSWER and detail.approval.kind == "answer"
    return [one.typed(posted) for one in detail.fields] if is_answer or posted.get("edited") else detail.fields


def picked(posted: QueryDict) -> list[Item]:
    """Return the questions that were ticked, each as "id fingerprint"."""
    pairs = (text.partition(" ") for text in posted.getlist("item"))
    return [Item(found, payload_hash) for found, _, payload_hash in pairs]


def _payload(detail: Detail, choice: str, posted: Mapping[str, str]) -> Json:
    approval = detail.approval
    if choice == Choice.APPROVE and approval.kind == "budget":
        amount = posted.get("add_usd", "").strip().removeprefix("$")
        return {"add_usd": amount} if amount else None
    if choice == Choice.APPROVE and approval.kind in BOUND_KINDS and posted.get("edited"):
        return _edited(detail, posted)
    if choice == Choice.ANSWER and detail.fields:
        return _filled(detail, posted)
    if choice in (Choice.ANSWER, Choice.USE):  # the fields of what failed or was lost say what was sent, not what came
        return schema_form.free_value(posted.get("value", ""))
    return None


def _edited(detail: Detail, posted: Mapping[str, str]) -> Json:
    """Return the payload with its arguments (or, without a tool, all of it) as edited."""
    payload = detail.approval.payload
    if tool_of(detail.approval) is None:
        return _filled(detail, posted)
    return {**payload, "args": _filled(detail, posted)} if isinstance(payload, dict) else None


def _filled(detail: Detail, posted: Mapping[str, str]) -> Json:
    found = schema_form.read(detail.fields, posted)
    if found.errors:
        name, sentence = next(iter(found.errors.items()))
        raise Invalid(sentence, code="invalid_payload", where=f"/payload/{name}")
    return found.value
