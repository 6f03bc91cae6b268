"""Turns facts into a decision. Pure towards the outside: the clock, ids and randomness come with the facts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from pipelines.graph.model import Kind
from runs.engine import (
    answers,
    budget,
    children,
    completing,
    control,
    doubts,
    failing,
    flow,
    growing,
    lives,
    locking,
    settling,
    standing_in,
    stopping,
)
from runs.engine.decision import Decision
from runs.engine.facts import (
    Answered,
    BoardSeen,
    CancelForced,
    CancelRequested,
    ChildEnded,
    EventArrived,
    Fact,
    LimitReached,
    LockGranted,
    MoreWanted,
    PauseRequested,
    PipelineWanted,
    Recovered,
    ResumeRequested,
    RunRequested,
    StepBlocked,
    StepError,
    StepFailed,
    StepSucceeded,
    StopRequested,
    Tick,
)
from runs.engine.kinds import board, check, combine, human, route, wait
from runs.engine.move import Move
from runs.engine.scope import Step
from runs.engine.state import Execution
from runs.engine.status import RunState


def decide(execution: Execution, facts: Sequence[Fact], now: datetime) -> Decision:
    """Return what follows from these facts and from the timers due at `now`; changes nothing but `execution`.

    A fact that is late, repeated or about nothing known changes nothing. Write the decision before acting on it, and
    before the next call: its records are the live ones.
    """
    move = Move(execution, now)
    _tell(move)
    for fact in facts:
        if not execution.state.is_terminal:
            _apply(move, fact)
            _tell(move)
            flow.drain(move)
            standing_in.answer(move)
    flow.fire_timers(move)
    standing_in.answer(move)
    return _concluded(move)


def _tell(move: Move) -> None:
    """Log which shares of caps are used up by now, before what follows from it."""
    move.decision.events.extend(move.run.alerts)
    move.run.alerts.clear()


def _apply(move: Move, fact: Fact) -> None:
    match fact:
        case StepSucceeded() | StepFailed() | StepBlocked() | PipelineWanted():
            _apply_result(move, fact)
        case _:
            _HANDLERS[type(fact)](move, fact)


def _apply_result(move: Move, fact: StepSucceeded | StepFailed | StepBlocked | PipelineWanted) -> None:
    """Take what an attempt came to, if it is the one that runs."""
    step = move.run.find(fact.path)
    if step is None or fact.path not in move.run.running or step.record.attempt != fact.attempt:
        _take_late(move, step, fact)
        return
    memo = step.record.memo
    if fact.machine_ms:
        memo["machine_ms"] = memo.get("machine_ms", 0) + fact.machine_ms
        budget.spend_time(move.run, fact.path, fact.machine_ms)
    if move.run.state is RunState.CANCELLING:
        late = fact.output if isinstance(fact, StepSucceeded) else None
        control.end_cancelled(move, step, step.record.output if settling.TO_JUDGE in memo else late)
        return
    settling.leave(move, step)
    move.touch(step)
    doubts.note_result(move, step, fact)
    match fact:
        case StepSucceeded():
            _succeeded(move, step, fact)
        case StepFailed():
            failing.attempt_failed(move, step, fact.error, fact.jitter)
        case StepBlocked():
            answers.block(move, step, fact)
        case PipelineWanted():
            children.want(move, step, fact)


def _take_late(move: Move, step: Step | None, fact: StepSucceeded | StepFailed | StepBlocked | PipelineWanted) -> None:
    """Of what comes of a cancelled attempt only this is used: an action that was done is not asked about again."""
    if step is None or move.run.state is RunState.CANCELLING or not isinstance(fact, StepSucceeded):
        return
    if lives.is_done_late(step.record, fact.attempt):
        move.touch(step)
        human.done_meanwhile(move, step)


def _succeeded(move: Move, step: Step, fact: StepSucceeded) -> None:
    if settling.TO_JUDGE in step.record.memo:
        completing.judged(move, step, fact)
        return
    if step.node.kind is Kind.CHECK:
        check.judged(move, step, fact)
        return
    if step.node.kind is Kind.COMBINE:
        combine.merged(move, step, fact)
        return
    if step.node.kind is Kind.BOARD:
        board.written(move, step, fact)
        return
    ports, output = fact.ports or step.node.own_ports[:1], fact.output
    if step.node.kind is Kind.DECIDE:
        chosen = route.chosen_by_model(step, fact)
        if isinstance(chosen, StepError):
            failing.attempt_failed(move, step, chosen, 0.0)
            return
        ports, output = chosen
    completing.bring(move, step, replace(fact, output=output, ports=ports))


def _concluded(move: Move) -> Decision:
    """Complete the decision with the run's state and with what it waits for."""
    run, decision = move.run, move.decision
    busy = bool(run.running or run.retrying or run.ready)
    if run.state is RunState.RUNNING and run.waiting and not busy:
        run.state = RunState.WAITING
        move.log("run_waiting", reasons=sorted({str(run.steps[path].wait_reason) for path in run.waiting}))
    elif run.state is RunState.WAITING and busy:
        run.state = RunState.RUNNING
        move.log("run_resumed")
    timer = None if run.state.is_terminal else run.next_timer()
    decision.run = run.state
    decision.wake_at = timer[0] if timer else None
    decision.idle = not run.running
    return decision


_HANDLERS: Mapping[type[Fact], Callable[[Move, Any], None]] = {
    Answered: answers.answer,
    ChildEnded: children.ended,
    MoreWanted: growing.wanted,
    RunRequested: lambda move, _: control.start(move),
    Recovered: control.recover,
    CancelRequested: control.cancel,
    CancelForced: control.end_now,
    LimitReached: control.end_now,
    PauseRequested: control.pause,
    ResumeRequested: control.resume,
    EventArrived: wait.arrive,
    LockGranted: locking.grant,
    StopRequested: stopping.stop,
    Tick: lambda move, _: None,
    BoardSeen: board.see,
}
