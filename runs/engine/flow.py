"""Follows every consequence of a change until nothing is left to decide: edges, joins, containers, room, timers."""

from pipelines.graph.model import Kind
from runs.engine import (
    budget,
    children,
    control,
    failing,
    finishing,
    given,
    growing,
    joins,
    locking,
    settling,
    starting,
    values,
)
from runs.engine.facts import ErrorClass, StepError
from runs.engine.joins import Verdict
from runs.engine.kinds import bypass_ports, carry_out, combine, containers, each, wait
from runs.engine.move import Move
from runs.engine.scope import EdgeState, Scope, Step
from runs.engine.status import RunState, StepState


def drain(move: Move) -> None:
    """Work off what has piled up. Each pass takes one thing, so that deep chains cost no stack."""
    while _take_one(move):
        pass


def fire_timers(move: Move) -> None:
    """Act on every timer that is due."""
    while not move.run.state.is_terminal:
        timer = move.run.next_timer()
        if timer is None or timer[0] > move.now:
            return
        _fire(move, timer[1])
        drain(move)


def _take_one(move: Move) -> bool:
    run = move.run
    if run.state.is_terminal:
        return False
    if move.ending:
        finishing.end(move, move.ending)
    elif move.dirty:
        _arrive(move, *move.dirty.popleft())
    elif move.closed:
        _close(move, move.closed.popleft())
    elif move.launches:
        _launch(move, move.launches.popleft())
    elif move.hungry:
        containers.feed(move, move.hungry.popleft())
    elif run.ready and run.has_room:
        _next_ready(move)
    elif move.unserved:
        move.unserved = False
        growing.serve(move)
    else:
        return False
    return True


def _arrive(move: Move, scope: Scope, name: str) -> None:
    """Look at a node one of whose in-edges has settled."""
    known = scope.steps.get(name)
    if known and known.record.state is not StepState.PENDING:
        return
    node = scope.graph.nodes[name]
    match joins.verdict(node, scope.counts[name]):
        case Verdict.WAIT:
            if node.config.get("wait_timeout") is not None and scope.counts[name][EdgeState.TAKEN]:
                combine.start_waiting(move, scope, settling.record_of(move, scope, node))
        case Verdict.RUN:
            _activate(move, settling.record_of(move, scope, node))
        case Verdict.SKIP:
            settling.skip(move, settling.record_of(move, scope, node), failed=False)
        case Verdict.SKIP_FAILED:
            settling.skip(move, settling.record_of(move, scope, node), failed=True)
        case Verdict.NOT_ENOUGH:
            _not_enough(move, settling.record_of(move, scope, node))


def _activate(move: Move, step: Step) -> None:
    """Let a step whose inputs are there begin, unless the run is held."""
    if control.stops_before(move, step) and not move.run.is_held:
        control.pause_before(move, step)
    elif move.run.is_held:
        starting.queue(move, step)
    else:
        _carry_out(move, step)


def _carry_out(move: Move, step: Step) -> None:
    settling.leave(move, step)
    step.record.memo.pop("queued", None)
    early = joins.early_count(step.node) is not None or step.record.memo.pop("out_of_time", False)
    if early and "winners" not in step.record.memo:
        _cancel_rest(move, step)
    if given.GIVEN in step.record.memo:
        given.give(move, step)
    elif step.node.disabled:
        settling.bypass(move, step, bypass_ports(step))
    else:
        _take_turn(move, step)


def _take_turn(move: Move, step: Step) -> None:
    """Carry a step out, or let it wait for the lock that it shares with others."""
    try:
        if locking.must_wait(move, step):
            return
    except values.Unusable as unusable:
        failing.give_up(move, step, unusable.error)
        return
    carry_out(move, step)


def _cancel_rest(move: Move, step: Step) -> None:
    """Log who won, and cancel the unfinished steps that feed only this join."""
    winners = [source.node.id for source in step.scope.arrived(step.node.id)]
    step.record.memo["winners"] = winners
    move.log("step_ready", step.path, winners=winners)
    if not joins.cancels_rest(step.node):
        return
    scope = step.scope
    losers = joins.feeding_only(scope.graph, step.node.id)
    for name, node in scope.graph.nodes.items():
        if name in losers:
            loser = scope.steps.get(name) or settling.record_of(move, scope, node)
            settling.cancel(move, loser, "lost_race", f"{step.path} went on without it.")


def _not_enough(move: Move, step: Step) -> None:
    counts = step.scope.counts[step.node.id]
    message = f"{step.path} got {counts[EdgeState.TAKEN]} of its {sum(counts)} inputs, which is not enough."
    failing.give_up(move, step, StepError(ErrorClass.TOOL_ERROR, "not_enough_inputs", message))


def _close(move: Move, scope: Scope) -> None:
    if scope.container is None:
        move.ending = move.ending or finishing.verdict(move)
    elif move.run.state is RunState.CANCELLING:
        control.wound_down(move, scope)
    else:
        containers.instance_ended(move, scope)


def _launch(move: Move, step: Step) -> None:
    """Give a prepared step to the executor, or let it wait for room."""
    if step.record.state.is_terminal:
        return
    if not move.run.has_room or (move.run.ready and "queued" not in step.record.memo):
        starting.queue(move, step)
        return
    refusal = budget.out_of_time(move.run, step.path)
    if refusal:
        failing.over_budget(move, step, StepError(ErrorClass.BUDGET, refusal.code, refusal.message))
    elif children.is_due(move.run, step):
        children.begin(move, step)
    else:
        starting.begin(move, step)


def _next_ready(move: Move) -> None:
    step = move.run.live.get(move.run.ready.popleft())
    if step is None or step.record.state is not StepState.READY:
        return
    if "prepared" in step.record.memo:
        _launch(move, step)
    elif control.stops_before(move, step):
        control.pause_before(move, step)
    else:
        _carry_out(move, step)


def _fire(move: Move, step: Step) -> None:
    """Act on one timer: a retry, a circuit, a wait, a join or a container."""
    record = step.record
    if record.state in (StepState.RETRYING, StepState.WAITING) and step.path in move.run.retrying:
        _again(move, step)
        return
    record.memo.pop("due", None)
    if record.state is StepState.WAITING and settling.WAIT in record.memo:
        wait.time_is_up(move, step)
        return
    if step.path in move.run.containers and record.state is StepState.RUNNING:
        each.out_of_time(move, step)
    elif record.state is StepState.PENDING and step.node.kind is Kind.COMBINE:
        _join_out_of_time(move, step)


def _again(move: Move, step: Step) -> None:
    """Begin another attempt: the executor's, or the engine's own at the board."""
    if step.node.kind is Kind.BOARD and settling.TO_JUDGE not in step.record.memo:
        settling.leave(move, step)
        _activate(move, step)
    else:
        failing.again(move, step)


def _join_out_of_time(move: Move, step: Step) -> None:
    if step.node.config["on_timeout"] == "fail":
        seconds = step.node.config["wait_timeout"]
        message = f"{step.path} waited {seconds:g} s for its inputs, and some have not come."
        failing.give_up(move, step, StepError(ErrorClass.TIMEOUT, "wait_timeout", message))
    elif combine.is_enough(step):
        step.record.memo["out_of_time"] = True
        _activate(move, step)
    else:
        _not_enough(move, step)
