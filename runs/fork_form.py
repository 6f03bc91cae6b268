"""The forms that fork a run: where to begin again, and an output or input to begin from."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from accounts.access import Actor
from accounts.errors import Invalid
from pipelines import schema_form
from pipelines.graph.model import Json, Kind
from pipelines.schema_form import Field
from runs import artifacts, drawer, forks, inspection, removal
from runs.forks import Fork, Savings
from runs.inspection import StepRow
from runs.models import Run, Step
from runs.tallies import HEAVY

MOST_STEPS = 200


@dataclass(frozen=True, slots=True)
class ForkForm:
    """`row` is the step whose output is edited; without one, `rows` are the steps to choose from. `fields` are the
    inputs of the pipeline's start form where `row` is its start, else `text` is the output as it is edited."""

    run: Run
    row: StepRow | None = None
    rows: Sequence[StepRow] = ()
    savings: Savings | None = None
    fields: Sequence[Field] = ()
    text: str = ""
    is_text: bool = False


def choice(actor: Actor, run_id: UUID) -> ForkForm:
    """Return the form that asks from which step the new run begins; raise Gone where its content was removed."""
    run = inspection.run_of(actor, run_id)
    removal.refuse(run)
    steps = Step.objects.filter(run=run).exclude(kind__in=[Kind.INPUT, Kind.OUTPUT]).defer(*HEAVY)
    offered = [step for step in steps.order_by("position", "id")[:MOST_STEPS] if forks.can_begin_at(step.path)]
    return ForkForm(run, rows=inspection.step_rows(offered))


def edit(actor: Actor, run_id: UUID, path: str, posted: Mapping[str, str] | None = None) -> ForkForm:
    """Return the form that asks for another output of a step; `posted` keeps what was typed into a refused one.

    Raises NotFound for a step that the run does not have.
    """
    view = drawer.step_view(actor, run_id, path)
    step, run = view.row.step, view.run
    removal.refuse(run)
    fields = _start_fields(run) if step.kind == Kind.INPUT else []
    is_text = isinstance(step.output, str) or (step.output is None and step.kind == Kind.AGENT)
    text = step.output if isinstance(step.output, str) else json.dumps(step.output, indent=2, ensure_ascii=False)
    if step.output is None:
        text = ""
    if posted:
        fields, text = [field.typed(posted) for field in fields], posted.get("value", "")
    return ForkForm(run, view.row, (), view.savings, fields, text, is_text)


def start(actor: Actor, run_id: UUID, posted: Mapping[str, str]) -> Run:
    """Fork the run as a posted form says and return the new run; raises as `forks.fork`, and for what is no JSON."""
    run = inspection.run_of(actor, run_id)
    edited = posted.get("edited_path")
    if not edited:
        return forks.fork(actor, run, Fork(posted.get("from_path") or None))
    return forks.fork(actor, run, Fork(overrides={edited: _value(run, posted)}))


def _value(run: Run, posted: Mapping[str, str]) -> Json:
    match posted.get("form"):
        case "fields":
            found = schema_form.read(_start_fields(run), posted)
            if found.errors:
                name, sentence = next(iter(found.errors.items()))
                raise Invalid(sentence, code="invalid_input", where=f"/overrides/input/{name}")
            return found.value
        case "text":
            return posted.get("value", "").replace("\r\n", "\n")
    try:
        return json.loads(posted.get("value", ""))
    except (ValueError, RecursionError) as error:
        raise Invalid(f"This is not JSON ({error}).", code="invalid_override") from None


def _start_fields(run: Run) -> list[Field]:
    return schema_form.fields(run.version.document.get("inputs"), artifacts.input_of(run))
