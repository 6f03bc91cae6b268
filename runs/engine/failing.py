"""Carries out the failure policy: asks again, waits and retries, falls back, and at last does what `then` says."""

from dataclasses import replace
from datetime import timedelta

from pipelines.graph.model import Kind
from pipelines.graph.tools import Delivery, Effect
from runs.engine import (
    allowing,
    budget,
    doubts,
    fallbacks,
    growing,
    held,
    requests,
    settling,
    spread,
    starting,
    worktime,
)
from runs.engine.budget import Refusal
from runs.engine.facts import ErrorClass, StepError
from runs.engine.failure import GiveUp, Repair, Retry, Tries, UseFallback, is_final, react
from runs.engine.move import Ending, Move
from runs.engine.requests import Question, Who
from runs.engine.scope import Step
from runs.engine.state import Execution
from runs.engine.status import RunState, StepState, WaitReason
from runs.engine.trust import EDITED

_AFTER_THE_CALL = frozenset({ErrorClass.INVALID_OUTPUT, ErrorClass.INTERNAL})
_STOPPED = {Kind.REPEAT: "round_stopped", Kind.TEAM: "turn_stopped", Kind.SUPERVISOR: "delegation_stopped"}


def attempt_failed(move: Move, step: Step, error: StepError, jitter: float) -> None:
    """React to a failed attempt."""
    if error.lost or error.maybe_done or error.cls in _AFTER_THE_CALL:
        doubts.note_loss(move, step, error)
    if error.cls is ErrorClass.BUDGET:
        over_budget(move, step, error)
        return
    is_judged = settling.TO_JUDGE in step.record.memo  # its judges have failed: nobody can stand in for what is there
    tries = Tries.of(
        step.record.memo,
        fallbacks=0 if is_judged else doubts.fallbacks_left(move.run, step),
        may_repeat=is_judged or may_repeat(move.run, step),
        may_repair=is_judged or may_repair(move.run, step),
        seconds_left=starting.seconds_left(step),
    )
    match react(step.node.on_error, error, tries, jitter):
        case Repair():
            _repair(move, step, error)
        case Retry(delay, circuit=True):
            _wait_for_circuit(move, step, error, delay)
        case Retry(delay):
            _retry(move, step, error, delay)
        case UseFallback(index):
            _fall_back(move, step, error, index)
        case GiveUp():
            give_up(move, step, error)


def come_to_nothing(move: Move, step: Step, error: StepError) -> None:
    """React to the failure of what the engine itself carries out: a pipeline stands in, else `then` decides.

    Nothing of it is tried again here; what is under way in it goes on until the step has ended, or a pipeline begins.
    """
    tried = step.record.memo.get("fallback", 0)
    can_hand_on = step.record.input is not None and step.node.iterates and not is_final(error)
    if can_hand_on and tried < doubts.fallbacks_left(move.run, step):
        settling.cancel_inside(move, step, f"A pipeline stands in for {step.path}.")
        _fall_back(move, step, error, tried + 1)
    else:
        give_up(move, step, error)


def give_up(move: Move, step: Step, error: StepError) -> None:
    """Do what the step's `then` says about an error that nothing more is tried against."""
    then = _then(move.run, step)
    match then:
        case "use_default":
            settling.flag(step, settling.DEGRADED)
            settling.unflag(step, EDITED)  # what a person gave did not do
            settling.succeed(move, step, step.node.on_error.default, {"error": error.as_json()}, _default_ports(step))
        case "skip":
            settling.fail_contained(move, step, error)
        case "route" if step.scope.is_wired(step.node.id, "error"):
            settling.fail_routed(move, step, error)
        case "route":
            settling.fail_contained(move, step, error)
        case "ask_human":
            ask_about(move, step, error)
        case _:
            stop(move, step, error)


def stop(move: Move, step: Step, error: StepError, *, run: bool = False) -> None:
    """End the step and what it stops: its instance where `then` was left to the engine, else the run.

    With `run` it is the run in any case.
    """
    settling.fail_stopping(move, step, error)
    container = step.scope.container
    if container and step.node.on_error.then == "auto" and not run:
        code = _STOPPED.get(container.node.kind, "item_stopped")
        settling.cancel_scope(move, step.scope, code, f"{step.path} failed.")
        return
    if move.run.origin.is_item and (run or step.node.on_error.then != "auto"):
        reason = spread.STOPS_RUN  # the run whose item this is ends too
    else:
        reason = "budget" if error.cls is ErrorClass.BUDGET else "step_failed"
    move.ending = move.ending or Ending(RunState.FAILED, reason, error, step.path)


def may_repeat(run: Execution, step: Step) -> bool:
    """Tell whether sending the step's call again cannot do something twice that cannot be undone."""
    if step.node.kind is Kind.PIPELINE or fallbacks.pipeline_of(run, step):
        return False  # what failed in it was tried again there; another run would do all of it once more
    if step.node.kind is not Kind.TOOL or not isinstance(step.record.input, dict):
        return True
    tool, args = run.lock.tool(step.node.config["tool"]), step.record.input["args"]
    return tool.effect_of(args) is not Effect.IRREVERSIBLE or tool.delivery_of(args) is not Delivery.NEITHER


def may_repair(run: Execution, step: Step) -> bool:
    """Tell whether a model made the output, so that it can be told what is wrong; a pipeline that stands in is not."""
    return fallbacks.uses_model(step) and not fallbacks.pipeline_of(run, step)


def over_budget(move: Move, step: Step, error: StepError) -> None:
    """React to a call that a cap refused: a cheaper model, a question to a manager, or the end."""
    run, path = move.run, step.path
    refusal = run.refusals.pop(path, None) or Refusal(error.code, error.message, budget.RUN, "unknown")
    if refusal.is_held:
        if run.children:
            held.hold_up(move, step)
        else:  # they have ended since the call was refused
            starting.launch(move, step, step.record.memo.get("prepared", starting.SAME))
        return
    if growing.may_ask(move, refusal):
        growing.ask(move, step, refusal)
        return
    error = replace(error, cap={**refusal.as_json(), "path": path})
    allowing.tell_full(move, step, refusal)
    on_exceed = refusal.on_exceed or budget.budget_of(run, refusal.cap).on_exceed
    may_fall_back = on_exceed == "cheaper_model" and settling.TO_JUDGE not in step.record.memo
    cheaper = fallbacks.cheaper(run, step) if may_fall_back else None
    if cheaper is not None:
        _fall_back(move, step, error, cheaper)
    elif on_exceed == "ask_human" and error.code in budget.CAPS:
        allowing.ask(move, step, refusal)
    else:
        end_at_cap(move, step, error, refusal.cap)


def end_at_cap(move: Move, step: Step, error: StepError, cap: str) -> None:
    """End what the exceeded cap covers: the run, a container around the step, or the step alone."""
    capped = move.run.live.get(cap)
    if cap == budget.RUN or capped is None:
        stop(move, step, error, run=True)
    elif capped is step:
        give_up(move, step, error)
    else:
        settling.fail_contained(move, step, error)
        give_up(move, capped, error)


def _repair(move: Move, step: Step, error: StepError) -> None:
    memo = step.record.memo
    memo["repairs"] = memo.get("repairs", 0) + 1
    memo["generation"] = memo.get("generation", 0) + 1
    memo["repair"] = {
        "output": error.output,
        "findings": list(error.findings) or [error.message],
        "instruction": step.node.on_error.repair.instruction,
    }
    _log_retrying(move, step, error, why="repair", delay=0.0)
    again(move, step)


def _retry(move: Move, step: Step, error: StepError, delay: float) -> None:
    memo = step.record.memo
    settling.leave(move, step)
    worktime.pause(memo, delay)
    memo["retries"] = memo.get("retries", 0) + 1
    _pause(move, step, error, delay)
    step.record.state = StepState.RETRYING
    _log_retrying(move, step, error, why="retry", delay=delay)


def _wait_for_circuit(move: Move, step: Step, error: StepError, delay: float) -> None:
    """Wait until the circuit lets somebody try, unless no machine time would be left by then to go on with."""
    refusal = budget.out_of_time(move.run, step.path, after=delay)
    if refusal:
        over_budget(move, step, StepError(ErrorClass.BUDGET, refusal.code, refusal.message))
        return
    record = step.record
    settling.leave(move, step)
    worktime.wait_for_circuit(record.memo, delay)
    record.memo["unsent"] = True
    _pause(move, step, error, delay)
    record.state, record.wait_reason = StepState.WAITING, WaitReason.CIRCUIT
    move.log("step_waiting", record.path, reason=WaitReason.CIRCUIT, delay=round(delay, 3), error=record.error)


def _pause(move: Move, step: Step, error: StepError, delay: float) -> None:
    """Begin again after so many seconds."""
    step.record.error = error.as_json()
    move.run.retrying.add(step.path)
    move.run.set_timer(step, move.now + timedelta(seconds=delay))
    move.touch(step)


def _fall_back(move: Move, step: Step, error: StepError, index: int) -> None:
    memo = step.record.memo
    memo.update(fallback=index, retries=0, repairs=0)
    memo.pop("repair", None)
    budget.renew(move.run, step)
    settling.flag(step, settling.DEGRADED)
    _log_retrying(move, step, error, why="fallback", delay=0.0)
    missing = starting.missing_from_lock(move.run, step)
    if missing:
        give_up(move, step, missing)
    else:
        again(move, step)


def again(move: Move, step: Step) -> None:
    """Start another attempt."""
    starting.fresh_attempt(step.record.memo, keep_grants=_keeps_grants(move.run, step))
    starting.launch(move, step)


def _keeps_grants(run: Execution, step: Step) -> bool:
    """An action's approval covers its call sent again under the same key, or not sent before because its circuit was
    open; an agent may only ask anew."""
    unsent = step.record.memo.pop("unsent", False)
    return step.node.kind is Kind.TOOL and (unsent or may_repeat(run, step))


def _log_retrying(move: Move, step: Step, error: StepError, *, why: str, delay: float) -> None:
    move.log(
        "step_retrying",
        step.path,
        attempt=step.record.attempt,
        why=why,
        delay=round(delay, 3),
        error=error.as_json(),
    )


def _then(run: Execution, step: Step) -> str:
    then = step.node.on_error.then
    return run.lock.then.get(step.place, "stop_run") if then == "auto" else then


def _default_ports(step: Step) -> tuple[str, ...]:
    match step.node.kind:
        case Kind.DECIDE:
            return (str(step.node.config["otherwise"]),)
        case Kind.HUMAN:
            return ("rejected",)
        case _:
            return step.node.own_ports[:1]


def ask_about(move: Move, step: Step, error: StepError) -> None:
    policy = requests.who_by_policy(move.run, step)
    step.record.error = error.as_json()
    title = step.node.title or step.node.id
    question = Question(
        kind="failure",
        wait=WaitReason.FAILURE,
        title=f"“{title}” failed: what now?",
        why=error.message,
        show={"error": error.as_json(), "output": error.output, "findings": list(error.findings)},
        form=step.node.output_schema,
    )
    requests.ask(move, step, question, Who(policy.roles, policy.people, expires=policy.expires))
