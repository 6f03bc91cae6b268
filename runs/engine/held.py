"""Steps whose money is kept for other steps' children: they wait until one of those ends, and then try again."""

from runs.engine import settling
from runs.engine.move import Move
from runs.engine.scope import Step
from runs.engine.status import StepState, WaitReason


def hold_up(move: Move, step: Step) -> None:
    """Let a step whose money is kept for children wait until one of them ends."""
    settling.leave(move, step)
    step.record.state, step.record.wait_reason = StepState.WAITING, WaitReason.CHILDREN
    move.run.waiting.add(step.path)
    move.log("step_waiting", step.path, reason=WaitReason.CHILDREN, because="budget")
    move.touch(step)


def is_held_up(step: Step) -> bool:
    """Tell whether a step waits for what other steps' children have kept of a cap."""
    return step.record.wait_reason == WaitReason.CHILDREN and "child" not in step.record.memo
