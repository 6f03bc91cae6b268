"""Repeat: one scope per round, each after the other, until a round is good, none gets better, or all are used."""

from dataclasses import asdict, replace
from typing import cast

from pipelines.graph.model import Json
from runs.engine import instances, settling, values, verdicts
from runs.engine.completing import complete
from runs.engine.facts import ErrorClass, StepError
from runs.engine.failing import give_up
from runs.engine.move import Move
from runs.engine.scope import Outcome, Round, Rounds, Scope, Standing, Step
from runs.engine.state import Execution
from runs.engine.status import StepState

GOOD, FAILED, NO_PROGRESS, ALL_USED = "until", "failed", "no_progress", "max_rounds"


def open_container(move: Move, step: Step) -> None:
    record = step.record
    record.input = {"max_rounds": step.node.config["max_rounds"]}
    record.state = StepState.RUNNING
    record.attempt = 1
    settling.start_time(step, move.now)
    move.log("step_started", record.path, attempt=1, rounds=record.input["max_rounds"])
    reopen(move.run, step)
    move.touch(step)
    feed(move, step)


def reopen(run: Execution, step: Step) -> None:
    """Begin the bookkeeping of a container."""
    run.open(Rounds(step=step))


def feed(move: Move, step: Step) -> None:
    """End the container when its newest round allows it, else begin the next round."""
    rounds = _rounds(move.run, step)
    if rounds.active:
        return
    why = _why_it_ends(rounds)
    if why:
        _conclude(move, rounds, why)
    elif not move.run.is_held:
        _open_next(move, rounds)


def begin_next(run: Execution, step: Step) -> Scope:
    """Return the scope of the next round. Of those before it only the newest is kept, for `round.previous`."""
    rounds = _rounds(run, step)
    old = rounds.scopes.pop(rounds.next - 2, None)
    if old:
        run.forget_scope(old)
    return instances.begin(run, rounds)


def take_note(run: Execution, step: Step, scope: Scope) -> None:
    """Take note of a round whose steps have all ended."""
    rounds, ended = _rounds(run, step), _judged(run, step, scope)
    rounds.before, rounds.standing = rounds.standing, _after(rounds.standing, ended)
    rounds.log.append(
        {
            "round": ended.number,
            "status": ended.outcome.status,
            "metric": ended.metric,
            "score": ended.score,
            "error": ended.outcome.error,
        }
    )


def retry(move: Move, step: Step) -> None:
    """Run the newest round once more, as if it had not been run."""
    rounds = _rounds(move.run, step)
    if not rounds.log:
        return  # not even the first round could begin: try that again
    rounds.standing = rounds.before
    rounds.log.pop()
    rounds.active += 1
    instances.reset(move, rounds.scopes[rounds.next - 1])


def _rounds(run: Execution, step: Step) -> Rounds:
    return cast(Rounds, run.containers[step.path])


def _open_next(move: Move, rounds: Rounds) -> None:
    step = rounds.step
    error = instances.too_many_steps(move.run, step, 1)
    if error:
        give_up(move, step, error)
        return
    scope = begin_next(move.run, step)
    move.log("round_started", step.path, round=scope.index, of=step.node.config["max_rounds"])
    move.enter(scope)


def _judged(run: Execution, step: Step, scope: Scope) -> Round:
    """Return how a round ended; the same after a restart as before."""
    found = verdicts.noted(scope)
    if found:
        return replace(Round(**found), outcome=Outcome(**found["outcome"]))
    ended = _judge(run, step, scope)
    if verdicts.reads_board(step.node):
        verdicts.note(scope, asdict(ended))
    return ended


def _judge(run: Execution, step: Step, scope: Scope) -> Round:
    """Return how a round ended, from its steps, those of the round before and what stands on the board."""
    outcome, config = instances.outcome_of(run, step, scope), step.node.config
    ended = Round(scope.index, outcome)
    if outcome.status == "failed":
        return ended
    metric = (config.get("no_progress") or {}).get("metric")
    try:
        height = _number(run, scope, metric)
        return replace(
            ended,
            is_good=_is_good(run, scope),
            metric=height,
            score=_number(run, scope, config["best_by"]) if config.get("best_by") else height,
        )
    except values.Unusable as unusable:
        return Round(scope.index, Outcome("failed", error=unusable.error.as_json()))


def _is_good(run: Execution, scope: Scope) -> bool:
    found = _seen(run, scope, _config(scope, "until"))
    if found is None or isinstance(found, bool):
        return bool(found)
    raise _not_a("not_a_condition", scope, "until", found, "true or false")


def _number(run: Execution, scope: Scope, expression: str | None) -> float | None:
    found = _seen(run, scope, expression)
    if found is None or (isinstance(found, int | float) and not isinstance(found, bool)):
        return found
    raise _not_a("not_a_number", scope, expression, found, "a number")


def _seen(run: Execution, scope: Scope, expression: str | None) -> Json:
    """Return what an expression says of a round; None without one, or where it reads a step that did not succeed."""
    if expression is None:
        return None
    try:
        return values.evaluated_inside(run, scope, expression)
    except values.Unusable as unusable:
        complete = all(step.record.state is StepState.SUCCEEDED for step in scope.steps.values())
        if complete or unusable.error.code != "missing_value":
            raise
        return None


def _config(scope: Scope, name: str) -> Json:
    return scope.container.node.config.get(name) if scope.container else None


def _not_a(code: str, scope: Scope, what: Json, found: Json, wanted: str) -> values.Unusable:
    path = scope.container.path if scope.container else ""
    message = f"{what!r} of {path} gives {type(found).__name__} in round {scope.index}, not {wanted}."
    return values.Unusable(StepError(ErrorClass.CONFIG, code, message))


def _after(standing: Standing, ended: Round) -> Standing:
    """Return the standing with one more round counted. Of equally good rounds the first is the best."""
    has_value = ended.outcome.status == "succeeded"
    rises = ended.metric is not None and (standing.peak is None or ended.metric > standing.peak)
    return Standing(
        last=ended,
        kept=ended if has_value else standing.kept,
        best=ended if has_value and _is_better(ended, standing.best) else standing.best,
        peak=ended.metric if rises else standing.peak,
        stale=0 if rises else standing.stale + 1,
    )


def _is_better(ended: Round, best: Round | None) -> bool:
    if best is None or best.score is None:
        return best is None or ended.score is not None
    return ended.score is not None and ended.score > best.score


def _why_it_ends(rounds: Rounds) -> str | None:
    """Return why no further round follows the newest, None when one does."""
    config, standing = rounds.step.node.config, rounds.standing
    last = standing.last
    if last is None:
        return None
    if last.outcome.status == "failed":
        return FAILED
    if last.is_good:
        return GOOD
    if config.get("no_progress") and standing.stale >= config["no_progress"]["rounds"]:
        return NO_PROGRESS
    return ALL_USED if last.number >= config["max_rounds"] else None


def _conclude(move: Move, rounds: Rounds, why: str) -> None:
    """End the container. One without `until` has done all it should when its rounds are over."""
    step, standing = rounds.step, rounds.standing
    config = step.node.config
    is_exhausted = why in (NO_PROGRESS, ALL_USED) and config.get("until") is not None
    is_wired = step.scope.is_wired(step.node.id, "exhausted")
    if why == FAILED:
        give_up(move, step, _round_failed(rounds))
    elif is_exhausted and config["on_exhausted"] == "fail" and not is_wired:
        give_up(move, step, _exhausted(rounds, why))
    else:
        wants_best = why != GOOD and config["on_exhausted"] == "best"
        chosen = standing.best if wants_best else standing.kept
        meta = {"rounds": rounds.log, "ended": why, "round": chosen.number if chosen else None}
        port = "exhausted" if is_exhausted and is_wired else "done"
        complete(move, step, chosen.outcome.value if chosen else None, meta, ports=(port,))


def _round_failed(rounds: Rounds) -> StepError:
    last = rounds.standing.last
    error = last.outcome.error if last else {}
    message = f"Round {last.number if last else 0} of {rounds.step.path} failed: {error['message']}"
    return StepError(ErrorClass(error["class"]), "round_failed", message)


def _exhausted(rounds: Rounds, why: str) -> StepError:
    count, path = len(rounds.log), rounds.step.path
    how = "it did not get better" if why == NO_PROGRESS else "that is all it may run"
    message = f"{path} ran {count} round{'' if count == 1 else 's'} without a good one, and {how}."
    return StepError(ErrorClass.LIMIT, "rounds_exhausted", message)
