"""What an output passes before it counts: the checks, and the judges of those that a model must look at.

A judge is asked when the output is there, in an attempt of its own, except for an agent's answer, which is judged
within the attempt that made it. Until then the step is under way, and its output waits in its record.
"""

from collections.abc import Mapping

from pipelines.graph.model import Json, Kind
from runs.engine import checks, failing, settling, starting, values
from runs.engine.facts import ErrorClass, StepError, StepSucceeded
from runs.engine.move import Ending, Move
from runs.engine.scope import Step
from runs.engine.settling import CACHED, TO_JUDGE
from runs.engine.status import RunState
from runs.engine.trust import EDITED

NO_META: Mapping[str, Json] = {}


def complete(
    move: Move, step: Step, output: Json, meta: Mapping[str, Json] = NO_META, ports: tuple[str, ...] = ("done",)
) -> None:
    """End a step that the engine itself carried out, unless its output does not fit."""
    error = checks.wrong_with(move.run, step, output)
    if error:
        failing.come_to_nothing(move, step, error)
    else:
        go_on(move, step, output, meta, ports)


def bring(move: Move, step: Step, brought: StepSucceeded) -> None:
    """End a step that the executor carried out, or react to what is wrong with its output as to a failed attempt."""
    error = checks.wrong_with(move.run, step, brought.output)
    if error and error.cls is ErrorClass.INVALID_OUTPUT:
        failing.attempt_failed(move, step, error, 0.0)
    elif error:
        failing.give_up(move, step, error)
    else:
        for name in brought.flags:
            settling.flag(step, name)
        go_on(move, step, brought.output, brought.meta, brought.ports)


def go_on(move: Move, step: Step, output: Json, meta: Mapping[str, Json], ports: tuple[str, ...]) -> None:
    """End a step whose output fits, or have its judges asked first. A person's word stands above a judge's."""
    if not step.node.output_rubrics or {CACHED, EDITED} & set(step.record.flags):
        _end(move, step, output, meta, ports)
        return
    error = starting.missing_from_lock(move.run, step)
    try:
        rubrics = checks.rubrics_of(move.run, step, step.node.output_rubrics)
    except values.Unusable as unusable:
        error = unusable.error
    if error:
        failing.give_up(move, step, error)
        return
    record = step.record
    record.output, record.meta = output, dict(meta) or None
    record.memo[TO_JUDGE] = {"ports": list(ports), "rubrics": rubrics}
    settling.cancel_inside(move, step, f"{step.path} has what it needs.")
    starting.launch(move, step, starting.SAME if record.attempt else starting.NEW)


def judged(move: Move, step: Step, fact: StepSucceeded) -> None:
    """Take what the judges said of the output: `fact.output` has {score, reason, finding} for each in `verdicts`."""
    record, verdicts = step.record, fact.output["verdicts"]
    findings = tuple(verdict["finding"] for verdict in verdicts if verdict["finding"])
    output, meta, ports = record.output, record.meta or {}, tuple(record.memo[TO_JUDGE]["ports"])
    if not findings:
        scores = [{"score": verdict["score"], "reason": verdict["reason"]} for verdict in verdicts]
        _end(move, step, output, {**meta, "scores": scores}, ports)
        return
    settling.take_back(step)
    message = f"The output of {step.path} was judged too low: {findings[0]}"
    error = StepError(ErrorClass.INVALID_OUTPUT, "judged_too_low", message, findings=findings, output=output)
    if step.node.kind is Kind.CHECK:  # its judges have no part in the value: to ask them again would not change it
        failing.give_up(move, step, error)
    else:
        failing.attempt_failed(move, step, error, 0.0)


def _end(move: Move, step: Step, output: Json, meta: Mapping[str, Json], ports: tuple[str, ...]) -> None:
    settling.succeed(move, step, output, meta, ports)
    if step.node.config.get("ends_run") and not step.scope.container:
        move.ending = move.ending or Ending(RunState.SUCCEEDED, path=step.path)
