"""One instance of a container (item, round, turn, delegation): begun, ended, and made as if nothing had run in it."""

from collections.abc import Collection
from functools import partial

from pipelines.graph.model import Graph, Json, Kind
from runs.engine import lives, paths, settling, spread, values
from runs.engine.facts import ErrorClass, StepError
from runs.engine.move import Move
from runs.engine.scope import Container, EdgeState, Life, Outcome, Scope, Step
from runs.engine.state import Execution
from runs.engine.status import StepState

MAX_STEPS = 10_000
_PREFIXES = {Kind.REPEAT: paths.of_round, Kind.TEAM: paths.of_turn, Kind.SUPERVISOR: paths.of_delegation}


def graph_of(step: Step) -> Graph:
    return spread.graph_in(step.node) or Graph({}, ())


def prefix_of(step: Step, index: int) -> str:
    """Return the prefix of the paths in one instance of a container."""
    return _PREFIXES.get(step.node.kind, paths.of_item)(step.path, index)


def too_many_steps(run: Execution, step: Step, instances: int) -> StepError | None:
    """Return a `limit` error when this many more instances would make the run larger than a run may be.

    Of a container without a graph it is so many more steps. What open containers, and the pipeline's own graph, are
    still to bring counts as if it was there.
    """
    if run.step_count + run.promised + instances * (len(graph_of(step).nodes) or 1) <= MAX_STEPS:
        return None
    message = f"{step.path} would bring the run to more than {MAX_STEPS:,} steps."
    return StepError(ErrorClass.LIMIT, "too_many_steps", message)


def begin(run: Execution, container: Container, prefix: str = "") -> Scope:
    """Return the fresh scope of the container's next instance, made known to the run.

    Without `prefix` its paths begin as those of the container's kind do.
    """
    step, index = container.step, container.next
    scope = Scope.of(graph_of(step), step, prefix or prefix_of(step, index), index)
    container.scopes[index] = scope
    container.next += 1
    container.active += 1
    if step.node.kind is not Kind.EACH:  # its items were promised together
        run.promise(container, len(scope.graph.nodes))
    run.scopes[scope.prefix] = scope
    return scope


def outcome_of(run: Execution, container: Step, scope: Scope) -> Outcome:
    """Return how an instance ended, from its steps alone; the same after a restart as before."""
    if spread.is_spread(container.node):
        return spread.outcome_of(scope)
    return graph_ended(run, scope, container.node.config.get("result"))


def graph_ended(run: Execution, scope: Scope, template: Json) -> Outcome:
    """Return how the steps of an instance's graph ended; `template` is its value, None for that of its last steps."""
    stopped = [step.record.error for step in scope.steps.values() if _stopped_it(step)]
    if stopped:
        return Outcome("failed", error=stopped[0])
    by_hand = next((step for step in scope.steps.values() if _was_stopped_by_hand(step)), None)
    if by_hand:
        return Outcome("failed", error=spread.stopped(by_hand.record))
    contained = next(
        (step.record.error for step in scope.steps.values() if step.record.state is StepState.FAILED), None
    )
    try:
        if template is not None:
            return Outcome("succeeded", values.rendered_inside(run, scope, template))
        return Outcome("succeeded", _last_outputs(scope))
    except values.Unusable as unusable:
        if contained is None and _nothing_ran_last(scope):
            return Outcome("skipped")
        return Outcome("failed", error=contained or unusable.error.as_json())


def reset(move: Move, scope: Scope, kept: Collection[str] = ()) -> None:
    """Make an instance as if nothing had run in it but the steps `kept`, which had ended well.

    Attempts count on, so that no call is mistaken for an earlier one.
    """
    fresh = Scope.of(scope.graph, scope.container, scope.prefix, scope.index)
    scope.edges, scope.counts, scope.open = fresh.edges, fresh.counts, fresh.open
    for step in scope.steps.values():
        record = step.record
        if step.node.id in kept:
            scope.settle(step.node.id, partial(_after_kept, record.ports))
            scope.open -= 1
            continue
        record.memo = lives.carried(Life.of(record))
        if step.node.iterates:
            record.memo["since"] = move.run.next_position()  # rows in it from before are not its own any more
        record.state, record.flags, record.ports = StepState.PENDING, [], ()
        if not step.is_made or step.node.iterates:
            record.input = None  # a made step was given its input once and for all
        record.output = record.meta = record.error = None
        record.started_at = record.finished_at = None
        move.touch(step)
    move.enter(scope)


def _after_kept(taken: tuple[str, ...], port: str) -> EdgeState:
    return EdgeState.TAKEN if port in taken else EdgeState.SKIPPED


def _stopped_it(step: Step) -> bool:
    record = step.record
    return record.state is StepState.FAILED and settling.CONTAINED not in record.flags and not record.ports


def _was_stopped_by_hand(step: Step) -> bool:
    meta = step.record.meta
    return (
        step.record.state is StepState.CANCELLED
        and isinstance(meta, dict)
        and meta.get("cancelled") == spread.STOPPED_WITH_ALL
    )


def was_cut_off(scope: Scope) -> bool:
    """Tell whether an instance was still under way when its container had what it needed."""
    return any(
        isinstance(meta := step.record.meta, dict) and meta.get("cancelled") == settling.CONTAINER_ENDED
        for step in scope.steps.values()
        if step.record.state is StepState.CANCELLED
    )


def _last_outputs(scope: Scope) -> Json:
    """Return the outputs of the last steps by id: what an instance comes to when no `result` says it."""
    last = [name for name in scope.graph.nodes if not scope.graph.outs[name]]
    return {
        name: scope.steps[name].record.output for name in last if scope.steps[name].record.state is StepState.SUCCEEDED
    }


def _nothing_ran_last(scope: Scope) -> bool:
    """Tell whether routing alone kept every last step from running."""
    last = [scope.steps[name].record for name in scope.graph.nodes if not scope.graph.outs[name]]
    return all(record.state is StepState.SKIPPED for record in last)
