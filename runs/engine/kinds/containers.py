"""What every container does alike: it begins instances of its graph, notes how they end, and may be run again."""

from collections.abc import Mapping
from typing import Protocol

from pipelines.graph.model import Kind
from runs.engine import instances, verdicts
from runs.engine.kinds import each, repeat, supervisor, team
from runs.engine.move import Move
from runs.engine.scope import Container, Scope, Step
from runs.engine.settling import TO_JUDGE
from runs.engine.state import Execution
from runs.engine.status import StepState


class Iterates(Protocol):
    """What a kind with instances answers for. `feed` begins what may begin, or ends the container."""

    def reopen(self, run: Execution, step: Step) -> None: ...

    def begin_next(self, run: Execution, step: Step) -> Scope: ...

    def take_note(self, run: Execution, step: Step, scope: Scope) -> None: ...

    def feed(self, move: Move, step: Step) -> None: ...

    def retry(self, move: Move, step: Step) -> None: ...


_KINDS: Mapping[Kind, Iterates] = {Kind.EACH: each, Kind.REPEAT: repeat, Kind.TEAM: team, Kind.SUPERVISOR: supervisor}
# In the memo of a container whose newest instance is to be run again as soon as it has ended.
AGAIN = "again"
_ONE_AT_A_TIME = frozenset({Kind.REPEAT, Kind.TEAM})


def reopen(run: Execution, step: Step) -> Container:
    """Return the empty bookkeeping of a container that had begun before a restart."""
    _KINDS[step.node.kind].reopen(run, step)
    return run.containers[step.path]


def next_prefix(run: Execution, step: Step) -> str:
    """Return with what the paths in the container's next instance begin."""
    if step.node.kind is Kind.SUPERVISOR:
        return supervisor.next_prefix(run, step)
    return instances.prefix_of(step, run.containers[step.path].next)


def begin_next(run: Execution, step: Step) -> Scope:
    """Return the fresh scope of the container's next instance."""
    return _KINDS[step.node.kind].begin_next(run, step)


def take_note(run: Execution, step: Step, scope: Scope) -> None:
    """Take note of an instance whose steps have all ended."""
    _KINDS[step.node.kind].take_note(run, step, scope)
    run.containers[step.path].active -= 1


def instance_ended(move: Move, scope: Scope) -> None:
    """Take note of an instance that ended just now, and let its container go on.

    Also while the container's output waits for its judges, as a restart would: they may refuse it.
    """
    step = scope.container
    if step and step.path in move.run.containers and not step.record.state.is_terminal:
        verdicts.forget(scope)
        take_note(move.run, step, scope)
        keeper = verdicts.keeper_of(scope)
        if keeper and verdicts.noted(scope):
            move.touch(keeper)
        move.hungry.append(step)


def feed(move: Move, step: Step) -> None:
    """End the container when what has run allows a verdict, else begin what may begin."""
    container = move.run.containers.get(step.path)
    if container is None or step.record.state is not StepState.RUNNING or TO_JUDGE in step.record.memo:
        return
    if AGAIN in step.record.memo and not container.active:
        del step.record.memo[AGAIN]
        move.touch(step)
        _KINDS[step.node.kind].retry(move, step)
    _KINDS[step.node.kind].feed(move, step)


def retry(move: Move, step: Step) -> None:
    """Run once more what failed in a container, because a person ordered it.

    A round or turn of which something still runs is run once more when that has ended.
    """
    step.record.state = StepState.RUNNING
    move.touch(step)
    if step.node.kind in _ONE_AT_A_TIME and move.run.containers[step.path].active:
        step.record.memo[AGAIN] = True
    else:
        _KINDS[step.node.kind].retry(move, step)
    move.hungry.append(step)
