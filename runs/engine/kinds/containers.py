"""What every container does alike: it begins instances of its graph, notes how they end, and may be run again."""

from collections.abc import Mapping
from typing import Protocol

from pipelines.graph.model import Kind
from runs.engine import instances
from runs.engine.kinds import each, repeat, supervisor, team
from runs.engine.move import Move
from runs.engine.scope import Container, Scope, Step
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
    """Take note of an instance that ended just now, and let its container go on."""
    step = scope.container
    if step and step.path in move.run.containers and not step.record.state.is_terminal:
        take_note(move.run, step, scope)
        move.hungry.append(step)


def feed(move: Move, step: Step) -> None:
    """End the container when what has run allows a verdict, else begin what may begin."""
    if step.path in move.run.containers and step.record.state is StepState.RUNNING:
        _KINDS[step.node.kind].feed(move, step)


def retry(move: Move, step: Step) -> None:
    """Run once more what failed in a container, because a person ordered it."""
    step.record.state = StepState.RUNNING
    move.touch(step)
    _KINDS[step.node.kind].retry(move, step)
    move.hungry.append(step)
