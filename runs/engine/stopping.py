"""Stopping a part of a run by hand: one step, or all of one item or round of a container. The rest goes on.

What comes after a stopped step is skipped, as after a route not taken. A stopped item or round counts as failed, so
that its container does what its author wanted of failures.
"""

from runs.engine import paths, settling, spread
from runs.engine.facts import StopRequested
from runs.engine.move import Move
from runs.engine.status import RunState

STOPPED = "stopped"


def stop(move: Move, fact: StopRequested) -> None:
    """Cancel what the path names, unless it or the run has ended."""
    run = move.run
    if run.state not in (RunState.RUNNING, RunState.WAITING, RunState.PAUSED):
        return
    message = f"{fact.by or 'Somebody'} stopped it{f': {fact.reason}' if fact.reason else '.'}"
    scope = run.scopes.get(f"{fact.path}.")
    if scope is not None and scope.container is not None:
        if scope.open:
            move.log("step_stopped", fact.path, by=fact.by, reason=fact.reason)
            settling.cancel_scope(move, scope, spread.STOPPED_WITH_ALL, message)
        return
    around = run.scope_at(fact.path)
    node = around.graph.nodes.get(paths.node_of(fact.path)) if around else None
    if around is None or node is None or _has_ended(move, fact.path):
        return
    move.log("step_stopped", fact.path, by=fact.by, reason=fact.reason)
    settling.cancel(move, settling.record_of(move, around, node), STOPPED, message)


def _has_ended(move: Move, path: str) -> bool:
    record = move.run.steps.get(path)
    return record is not None and record.state.is_terminal
