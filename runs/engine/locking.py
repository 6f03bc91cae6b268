"""Steps with the same lock run one at a time, in all runs of the workspace: asked for, granted, given back.

The engine only asks: who comes first is decided where all runs meet (`runs.locks`). A step holds its lock from its
grant until it ends, through retries and questions, and never asks for another while it does.
"""

from runs.engine import requests, settling, starting, values
from runs.engine.facts import ErrorClass, LockGranted, StepError
from runs.engine.move import Move
from runs.engine.scope import Step
from runs.engine.settling import LOCK
from runs.engine.state import Execution
from runs.engine.status import StepState, WaitReason

LONGEST_NAME = 200


def must_wait(move: Move, step: Step) -> bool:
    """Ask for the step's lock and return True, or return False when it has none or holds it. Raises Unusable."""
    if step.node.lock is None or LOCK in step.record.memo:
        return False
    name = values.rendered(move.run, step, step.node.lock)
    if isinstance(name, int | float) and not isinstance(name, bool):
        name = str(name)
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        message = f"The lock of {step.path} must be a text of 1 to {LONGEST_NAME} characters."
        raise values.Unusable(StepError(ErrorClass.CONFIG, "bad_lock", message))
    if move.run.origin.lock:
        message = (
            f"{step.path} would wait for the lock {name!r} while the lock {move.run.origin.lock!r} is held above this "
            "run until it ends. Keep one of them."
        )
        raise values.Unusable(StepError(ErrorClass.CONFIG, "nested_lock", message))
    record = step.record
    request = requests.next_id(step)
    record.memo[LOCK] = {"id": request, "name": name, "held": False}
    record.state, record.wait_reason = StepState.WAITING, WaitReason.LOCK
    move.run.waiting.add(record.path)
    move.log("step_waiting", record.path, reason=WaitReason.LOCK, request=request, lock=name)
    move.touch(step)
    return True


def held_at(run: Execution, step: Step) -> str:
    """Return the lock that a step or one around it holds, or that is held above the run; "" where there is none."""
    around: Step | None = step
    while around:
        if LOCK in around.record.memo:
            return str(around.record.memo[LOCK]["name"])
        around = around.scope.container
    return run.origin.lock


def grant(move: Move, fact: LockGranted) -> None:
    """Let a step begin whose turn has come, if it still waits for it."""
    step = move.run.find(fact.request.rpartition("!")[0])
    lock = step.record.memo.get(LOCK) if step else None
    if step is None or not lock or lock["id"] != fact.request or lock["held"]:
        return
    lock["held"] = True
    settling.leave(move, step)
    starting.queue(move, step)
