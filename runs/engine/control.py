"""Cancel, pause, resume and recovery: what happens to a run as a whole."""

from runs.engine import doubts, settling, starting
from runs.engine.facts import (
    CancelForced,
    CancelRequested,
    ErrorClass,
    LimitReached,
    PauseRequested,
    Recovered,
    ResumeRequested,
    StepError,
)
from runs.engine.failing import give_up
from runs.engine.move import Ending, Move
from runs.engine.scope import Container, Scope, Step
from runs.engine.status import RunState

MAX_CRASHES = 5
_CANCELLED = ("cancelled", "The run was cancelled.")


def start(move: Move) -> None:
    """Begin a queued run."""
    if move.run.state is RunState.QUEUED:
        move.run.state = RunState.RUNNING
        move.log("run_started")
        move.enter(move.run.root)


def cancel(move: Move, fact: CancelRequested) -> None:
    """Cancel what does not run, and tell what does to stop."""
    run = move.run
    if run.state.is_terminal or run.state is RunState.CANCELLING:
        return
    move.log("run_cancelling", by=fact.by, reason=fact.reason)
    if run.state is RunState.QUEUED:
        move.ending = Ending(RunState.CANCELLED)
        return
    run.state = RunState.CANCELLING
    _wind_down(move, run.root)


def force(move: Move) -> None:
    """Give up the steps that did not stop."""
    if move.run.state is RunState.CANCELLING:
        move.ending = Ending(RunState.CANCELLED)


def end_now(move: Move, fact: CancelForced | LimitReached) -> None:
    """Give up what does not stop when it is told to, or fail a run that has grown too large."""
    if isinstance(fact, CancelForced) or move.run.state is RunState.CANCELLING:
        force(move)
    else:
        move.ending = move.ending or Ending(RunState.FAILED, fact.error.code, fact.error)


def wound_down(move: Move, scope: Scope) -> None:
    """While the run is being cancelled: end a container when nothing runs in it any more."""
    step = scope.container
    container = move.run.containers.get(step.path) if step else None
    if step and container and _is_quiet(container):
        settling.cancel(move, step, *_CANCELLED)


def end_cancelled(move: Move, step: Step, late: object = None) -> None:
    """End a step that was told to stop and did; keep what it brought, unused."""
    settling.leave(move, step)
    step.record.output = late
    settling.cancel(move, step, *_CANCELLED)


def pause(move: Move, fact: PauseRequested) -> None:
    """Start nothing new; what runs goes on to its end."""
    if move.run.state in (RunState.RUNNING, RunState.WAITING):
        move.run.state = RunState.PAUSED
        move.log("run_paused", by=fact.by)
        _tell_children(move, fact)


def pause_before(move: Move, step: Step) -> None:
    """Pause because the document says to stop before this step."""
    move.run.state = RunState.PAUSED
    move.log("run_paused", before=step.path)
    _tell_children(move, PauseRequested())
    starting.queue(move, step)


def resume(move: Move, fact: ResumeRequested) -> None:
    run = move.run
    if run.state is not RunState.PAUSED:
        return
    run.state = RunState.RUNNING
    move.log("run_resumed", by=fact.by)
    _tell_children(move, fact)
    for path in run.ready:
        step = run.live.get(path)
        if step and stops_before(move, step):
            step.record.memo["passed"] = True
    move.hungry.extend(container.step for container in run.containers.values())


def _tell_children(move: Move, fact: PauseRequested | ResumeRequested) -> None:
    for record in {id(record): record for record in move.run.children.values()}.values():
        move.tell_children(record, fact)


def stops_before(move: Move, step: Step) -> bool:
    """Tell whether the document asks to stop before this step and nobody has let it pass yet."""
    return step.place in move.run.document.pause_before and not step.record.memo.get("passed")


def recover(move: Move, fact: Recovered) -> None:
    """Start again what was running: the same attempts, whose journal knows what is done."""
    run = move.run
    if run.state is RunState.CANCELLING:
        force(move)
        return
    if run.state is RunState.QUEUED or run.state.is_terminal:
        return
    for step in sorted((run.live[path] for path in run.running), key=lambda step: step.record.position):
        memo = step.record.memo
        doubts.note_loss(move, step)
        if fact.crashed:
            memo["crashes"] = memo.get("crashes", 0) + 1
            move.touch(step)
        if memo.get("crashes", 0) >= MAX_CRASHES:
            doubts.note_stopped(move, step)  # nobody reads any more in its journal what it has done
            settling.leave(move, step)
            message = f"{step.path} was running when its worker died, {memo['crashes']} times."
            give_up(move, step, StepError(ErrorClass.INTERNAL, "dead_letter", message))
        else:
            move.decision.starts.append(starting.start_of(run, step))
    move.hungry.extend(container.step for container in run.containers.values())


def _wind_down(move: Move, scope: Scope) -> None:
    for name, node in scope.graph.nodes.items():
        step = scope.steps.get(name)
        if step is None:
            settling.cancel(move, settling.record_of(move, scope, node), *_CANCELLED)
        elif step.path in move.run.running and move.stop(step):
            continue
        elif not step.record.state.is_terminal:
            _wind_down_step(move, step)


def _wind_down_step(move: Move, step: Step) -> None:
    container = move.run.containers.get(step.path)
    for inner in list(container.scopes.values()) if container else ():
        _wind_down(move, inner)
    if not container or _is_quiet(container):
        settling.cancel(move, step, *_CANCELLED)


def _is_quiet(container: Container) -> bool:
    """Tell whether nothing in a container is unfinished."""
    return all(inner.open == 0 for inner in container.scopes.values())
