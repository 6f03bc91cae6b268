"""What the test of one step came to, and what a step came to in an earlier run."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from accounts.access import Actor, get
from accounts.errors import NotFound
from pipelines import homes
from pipelines.editor import view
from pipelines.graph.model import Json
from pipelines.models import Pipeline
from runs import drawer, family, step_alone, step_data
from runs.agent_bench import ToolCall, parts_of, tool_calls
from runs.drawer import StepView
from runs.engine.status import RunState, StepState
from runs.models import Call, Run, Step
from runs.step_tests import place_of
from runs.words import Badge, badge_of, run_badge


@dataclass(frozen=True, slots=True)
class Result:
    """One test as far as it has come. `step` is None until the step has begun; `port` is where it went on, if that
    says something. `fields` is an object's output, part by part; else `output` is shown whole."""

    run: Run
    step: Step | None
    badge: Badge
    ended: bool
    output: Json
    fields: Sequence[tuple[str, Json]]
    prompt: str
    problem: str
    findings: Sequence[str]
    seconds: float | None
    cost_micros: int | None
    calls: Sequence[ToolCall]

    @property
    def would_have(self) -> str:
        """What an action would have done, "" where the step is none."""
        is_simulated = isinstance(self.output, dict) and self.output.get("simulated") is True
        return str(self.output.get("would_have", "")) if is_simulated else ""

    @property
    def port(self) -> str:
        port = (self.step.port or "") if self.step else ""
        return "" if port in ("", "done") else port.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a step came to in a run; `view` is None where the run never came to it."""

    run: Run
    path: str
    view: StepView | None


def result(actor: Actor, slug: str, run_id: UUID) -> Result:
    """Return the test of a step of this pipeline; NotFound for other runs and other people's."""
    pipeline = get(Pipeline, actor, slug=slug)
    run = get(Run.objects.select_related("pipeline", "version"), actor, pk=run_id)
    if "test" not in run.tags or run.pipeline.slug != homes.slug_of(homes.STEPS, pipeline.slug):
        raise NotFound
    step = Step.objects.filter(run=run, path=step_alone.tested(run.version.document)).first()
    family.add_up([run])
    totals = run.totals
    unpriced = totals.unpriced_calls if totals else 0
    last = Call.objects.filter(run=run, kind="model").order_by("id").last()
    ended = RunState(run.state).is_terminal
    output = step.output if step and step.state == StepState.SUCCEEDED else None
    error = (step.error if step and step.error else run.error) if ended else None
    return Result(
        run=run,
        step=step,
        badge=badge_of(step) if step else run_badge(run.state, run.reason),
        ended=ended,
        output=output,
        fields=parts_of(output, None),
        prompt=_prompt(step),
        problem=str(error.get("message", "")) if isinstance(error, dict) else "",
        findings=_findings(error),
        seconds=(run.finished_at - run.started_at).total_seconds() if run.finished_at and run.started_at else None,
        cost_micros=None if unpriced and not run.total_micros else run.total_micros,
        calls=list(tool_calls(last)) if last else (),
    )


def seen(actor: Actor, slug: str, where: str, run_id: UUID, path: str = "") -> Seen:
    """Return what a step of a draft came to in a run of that pipeline; NotFound for others."""
    editor = view.editor_of(actor, slug)
    place = place_of(editor, where)
    run = get(Run.objects.select_related("version"), actor, pk=run_id)
    if run.pipeline_id != editor.pipeline.pk:
        raise NotFound
    at = step_data.path_in(run, place, path)
    known = Step.objects.filter(run=run, path=at).exists()
    return Seen(run, at, drawer.step_view(actor, run.pk, at) if known else None)


def _prompt(step: Step | None) -> str:
    given = step.input if step else None
    return str(given.get("prompt", "")) if isinstance(given, dict) else ""


def _findings(error: Json) -> list[str]:
    found = error.get("findings") if isinstance(error, dict) else None
    return [str(one) for one in found] if isinstance(found, list) else []
