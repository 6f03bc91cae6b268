"""How a step ends: its record, its events, its out-edges, and everything it still held."""

from collections.abc import Callable, Mapping
from datetime import datetime

from pipelines.graph.model import Json, Node
from runs.engine import budget, doubts, lives, worktime
from runs.engine.decision import StepRecord
from runs.engine.facts import CancelRequested, StepError
from runs.engine.move import Move
from runs.engine.scope import EdgeState, Scope, Step
from runs.engine.status import StepState

CONTAINED = "contained"
# In the memo of a step whose output waits for its judges: the ports to take, and what the judges are asked.
TO_JUDGE = "judged"
# In the memo of a step: the wait it is in, the lock it asked for.
WAIT, LOCK = "wait", "lock"
# In the memo of a request to the run above: "asked", or "waits" for the answer to another step's question.
ABOVE = "above"
DEGRADED = "degraded"
# Why a step was cancelled: the container around it has what it needs.
CONTAINER_ENDED = "container_ended"
# On a result that was kept: it was judged when it was new. In its meta: whose it was.
CACHED = "cached"


def record_of(move: Move, scope: Scope, node: Node) -> Step:
    """Return the step of a node, made known if nothing has reached it before."""
    step = scope.steps.get(node.id)
    if step is None:
        record = StepRecord(
            path=scope.prefix + node.id,
            node=node.id,
            kind=node.kind,
            title=node.title,
            position=move.run.next_position(),
        )
        lives.take_up(scope, record)
        step = Step(scope, node, record)
        move.run.add(step)
    return step


def adopt(move: Move, scope: Scope, record: StepRecord) -> None:
    """Make a step known whose record is there before anything has reached it, and have it written."""
    lives.take_up(scope, record)
    step = Step(scope, scope.graph.nodes[record.node], record)
    move.run.add(step)
    move.touch(step)


def succeed(move: Move, step: Step, output: Json, meta: Mapping[str, Json], ports: tuple[str, ...]) -> None:
    """End a step well: the edges on `ports` are taken, the others skipped."""
    record = step.record
    record.output, record.meta, record.ports, record.error = output, dict(meta) or None, ports, None
    move.log("step_succeeded", record.path, attempt=record.attempt, ports=list(ports), flags=list(record.flags))
    _end(move, step, StepState.SUCCEEDED, lambda port: EdgeState.TAKEN if port in ports else EdgeState.SKIPPED)


def fail_contained(move: Move, step: Step, error: StepError) -> None:
    """End a step badly without stopping the run: its out-edges fail."""
    flag(step, CONTAINED)
    _fail(move, step, error, lambda _: EdgeState.FAILED)


def fail_routed(move: Move, step: Step, error: StepError) -> None:
    """End a step badly and go on through its `error` port."""
    step.record.ports = ("error",)
    _fail(move, step, error, lambda port: EdgeState.TAKEN if port == "error" else EdgeState.SKIPPED)


def fail_stopping(move: Move, step: Step, error: StepError) -> None:
    """End a step whose failure stops its scope; the caller stops it."""
    _fail(move, step, error, lambda _: EdgeState.FAILED)


def skip(move: Move, step: Step, *, failed: bool) -> None:
    """End a step that will never run, because of routing or (`failed`) because of a failure before it."""
    if failed:
        step.record.memo["failed_input"] = True
    move.log("step_skipped", step.path, because="failure" if failed else "routing")
    edge = EdgeState.FAILED if failed else EdgeState.SKIPPED
    _end(move, step, StepState.SKIPPED, lambda _: edge)


def bypass(move: Move, step: Step, ports: tuple[str, ...]) -> None:
    """End a disabled step: it does nothing and lets what comes after it run."""
    step.record.ports = ports
    move.log("step_skipped", step.path, because="disabled")
    _end(move, step, StepState.SKIPPED, lambda port: EdgeState.TAKEN if port in ports else EdgeState.SKIPPED)


def cancel(move: Move, step: Step, code: str, message: str) -> None:
    """End a step that is no longer wanted; if it runs, the executor is told to stop and what it brings is not used."""
    if step.record.state.is_terminal:
        return
    if step.record.state is StepState.RUNNING and step.path in move.run.running and move.stop(step):
        _call_off(move, step)
    doubts.note_stopped(move, step)
    step.record.meta = {"cancelled": code, "message": message}
    move.log("step_cancelled", step.path, code=code)
    _end(move, step, StepState.CANCELLED, lambda _: EdgeState.SKIPPED)


def _call_off(move: Move, step: Step) -> None:
    """Remember of an action what it may still do, or has done where only its judges are cancelled."""
    if doubts.is_action(move.run, step):
        lives.call_off(step.record)
        if TO_JUDGE in step.record.memo:
            lives.is_done_late(step.record, step.record.attempt)


def cancel_scope(move: Move, scope: Scope, code: str, message: str) -> None:
    """Cancel every unfinished node of a scope, whether something had reached it or not."""
    for name, node in scope.graph.nodes.items():
        if name not in scope.steps or not scope.steps[name].record.state.is_terminal:
            cancel(move, record_of(move, scope, node), code, message)


def cancel_inside(move: Move, step: Step, why: str) -> None:
    """Cancel what is unfinished in a container; the container itself goes on."""
    container = move.run.containers.get(step.path)
    for inner in list(container.scopes.values()) if container else ():
        cancel_scope(move, inner, CONTAINER_ENDED, why)


def start_time(step: Step, now: datetime) -> None:
    if step.record.started_at is None:
        step.record.started_at = now


def flag(step: Step, name: str) -> None:
    if name not in step.record.flags:
        step.record.flags.append(name)


def unflag(step: Step, name: str) -> None:
    if name in step.record.flags:
        step.record.flags.remove(name)


def take_back(step: Step) -> None:
    """Forget an output that waits for its judges."""
    if step.record.memo.pop(TO_JUDGE, None) is not None:
        step.record.output = step.record.meta = None


def withdraw(move: Move, step: Step) -> None:
    """Take back what the step was waiting for, if it was: a person's answer, an event."""
    request = step.record.memo.pop("request", None)
    if request:
        move.log("approval_decided", step.path, request=request["id"], kind=request["kind"], decision="cancelled")
        if request.get(ABOVE) == "asked":
            _hand_over(move, step, request)
        move.unserved = True  # runs below may have waited for the same answer
    wait = step.record.memo.pop(WAIT, None)
    if wait and wait["events"]:
        move.log("wait_ended", step.path, request=wait["id"], event=wait.get("taken"))


def _hand_over(move: Move, step: Step, request: Json) -> None:
    """Let the next step that waits for the run above have the answer to this one's question: it has asked nothing."""
    for path in sorted(move.run.waiting - {step.path}):
        other = move.run.live[path]
        if other.record.memo.get("request", {}).get(ABOVE) == "waits":
            other.record.memo["request"] = request
            move.touch(other)
            return


def unlock(move: Move, step: Step) -> None:
    """Give back the step's lock, or its place in line for it."""
    lock = step.record.memo.pop(LOCK, None)
    if lock:
        move.log("lock_released", step.path, request=lock["id"], lock=lock["name"])


def leave(move: Move, step: Step) -> None:
    """Take a step out of whatever it was in: running, ready, waiting, retrying."""
    run, path = move.run, step.path
    run.running.discard(path)
    run.waiting.discard(path)
    run.retrying.discard(path)
    waited = worktime.circuit_waited(step.record.memo, move.now)
    if waited:
        budget.spend_time(run, path, waited)
    step.record.wait_reason = None
    step.record.memo.pop("due", None)


def _fail(move: Move, step: Step, error: StepError, choose: Callable[[str], EdgeState]) -> None:
    record = step.record
    record.error = error.as_json()
    take_back(step)
    move.log(
        "step_failed", record.path, attempt=record.attempt, error=record.error, contained=CONTAINED in record.flags
    )
    _end(move, step, StepState.FAILED, choose)


def _end(move: Move, step: Step, state: StepState, choose: Callable[[str], EdgeState]) -> None:
    scope, record = step.scope, step.record
    withdraw(move, step)
    unlock(move, step)
    leave(move, step)
    record.state = state
    record.finished_at = move.now
    if state in (StepState.SUCCEEDED, StepState.FAILED):
        start_time(step, move.now)
    for name in ("repair", "wanted", "answers", TO_JUDGE):
        record.memo.pop(name, None)
    if "child" in record.memo:
        del record.memo["child"]
        move.tell_children(record, CancelRequested(reason=f"The step {record.path} that started it has ended."))
    container = move.run.containers.get(record.path)
    if container:
        for inner in container.scopes.values():
            cancel_scope(move, inner, CONTAINER_ENDED, f"{record.path} ended.")
        move.run.forget(container)
    move.dirty.extend((scope, name) for name in scope.settle(step.node.id, choose))
    scope.open -= 1
    if scope.open == 0:
        move.closed.append(scope)
    move.touch(step)
