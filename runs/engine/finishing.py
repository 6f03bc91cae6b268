"""How a run ends: its verdict, its reason and its output (engine.md §2.4)."""

from pipelines.graph.model import Json, Kind
from runs.engine import instances, origin, settling, spread
from runs.engine.facts import ErrorClass, StepError
from runs.engine.move import Ending, Move
from runs.engine.scope import Step
from runs.engine.state import Execution
from runs.engine.status import RunState, StepState

NO_RESULT = "no_result"


def verdict(move: Move) -> Ending:
    """Return how a run ends all of whose steps have ended."""
    run = move.run
    if run.state is RunState.CANCELLING:
        return Ending(RunState.CANCELLED)
    if run.origin.is_item:
        return _of_item(run)
    results = [step for step in run.root.steps.values() if step.node.kind is Kind.OUTPUT]
    if any(step.record.state is StepState.SUCCEEDED for step in results):
        return Ending(RunState.SUCCEEDED)
    failed = next((step for step in results if _is_lost_to_failure(step)), None)
    if failed is None:
        return Ending(RunState.SUCCEEDED, NO_RESULT)
    message = "A step failed, and no Result could be given without it."
    return Ending(RunState.FAILED, NO_RESULT, StepError(ErrorClass.INTERNAL, NO_RESULT, message), failed.path)


def _of_item(run: Execution) -> Ending:
    """Return how a run ends that is one item of a For each: with the item's value."""
    around = origin.node_at(run.document, run.origin.place)
    outcome = instances.graph_ended(run, run.root, around.config["result"])
    if outcome.status == "failed":
        error = outcome.error
        found = StepError(ErrorClass(error["class"]), error["code"], error["message"])
        return Ending(RunState.FAILED, "step_failed", found, error.get("path"))
    reason = spread.SKIPPED if outcome.status == "skipped" else None
    return Ending(RunState.SUCCEEDED, reason, output=outcome.value)


def end(move: Move, ending: Ending) -> None:
    """Carry the verdict out: nothing runs after it."""
    run = move.run
    run.state, run.reason = ending.state, ending.reason
    run.error = {**ending.error.as_json(), "path": ending.path} if ending.error else None
    if ending.state is RunState.SUCCEEDED:
        run.output = ending.output if run.origin.is_item else _output(move)
    code = "cancelled" if ending.state is RunState.CANCELLED else "run_ended"
    if run.root.open and run.step_count:
        settling.cancel_scope(move, run.root, code, f"The run {ending.state}.")
    run.ready.clear()
    move.log("run_finished", state=ending.state, reason=ending.reason, error=run.error)


def _output(move: Move) -> Json:
    """Return the value of the Result, or an object of them by id when the pipeline has several."""
    graph = move.run.root.graph
    names = [name for name, node in graph.nodes.items() if node.kind is Kind.OUTPUT]
    found = {
        name: step.record.output
        for name in names
        if (step := move.run.root.steps.get(name)) and step.record.state is StepState.SUCCEEDED
    }
    if len(names) == 1:
        return found.get(names[0])
    return found or None


def _is_lost_to_failure(step: Step) -> bool:
    record = step.record
    return record.state is StepState.FAILED or bool(record.memo.get("failed_input"))
