"""For each: one scope per item, a bounded number at a time, and a verdict over all of them."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import cast

from pipelines.graph.model import Json
from runs.engine import instances, settling, spread, values, verdicts
from runs.engine.completing import complete
from runs.engine.facts import ErrorClass, StepError
from runs.engine.failing import come_to_nothing, give_up
from runs.engine.move import Move
from runs.engine.scope import Items, Outcome, Scope, Step
from runs.engine.state import Execution
from runs.engine.status import StepState


def open_container(move: Move, step: Step) -> None:
    try:
        found = values.rendered(move.run, step, step.node.config["over"])
    except values.Unusable as unusable:
        give_up(move, step, unusable.error)
        return
    error = _unfit(move.run, step, found)
    if error:
        give_up(move, step, error)
        return
    step.record.input = {"over": found}
    step.record.state = StepState.RUNNING
    step.record.attempt = 1
    settling.start_time(step, move.now)
    move.log("step_started", step.path, attempt=1, items=len(found))
    reopen(move.run, step)
    _limit_time(move, step)
    move.touch(step)
    feed(move, step)


def _limit_time(move: Move, step: Step) -> None:
    limit = step.node.config.get("wait_timeout")
    if limit is not None:
        move.run.set_timer(step, move.now + timedelta(seconds=limit))


def reopen(run: Execution, step: Step) -> None:
    """Begin the bookkeeping of a container whose list is in its record."""
    found = step.record.input["over"]
    items = Items(step=step, values=found, needed=_needed(step.node.config, len(found)))
    run.open(items)
    run.promise(items, len(found) * len(instances.graph_of(step).nodes))


def feed(move: Move, step: Step) -> None:
    """End the container when its items allow a verdict, else begin as many items as may run at once."""
    items = _items(move.run, step)
    if len(items.outcomes) == len(items.values) or _is_settled_early(items):
        _conclude(move, items)
    elif not move.run.is_held and _has_more(items) and items.active < step.node.config["max_parallel"]:
        move.enter(_next_scope(move.run, items))
        move.hungry.append(step)


def begin_next(run: Execution, step: Step) -> Scope:
    """Return the scope of the next item."""
    items = _items(run, step)
    scope = instances.begin(run, items)
    scope.item = items.values[scope.index]
    return scope


def take_note(run: Execution, step: Step, scope: Scope) -> None:
    """Take note of an item whose steps have all ended."""
    items, outcome = _items(run, step), _outcome(run, step, scope)
    items.outcomes[scope.index] = outcome
    items.succeeded += outcome.status == "succeeded"
    items.failed += outcome.status == "failed"


def _outcome(run: Execution, step: Step, scope: Scope) -> Outcome:
    found = verdicts.noted(scope)
    if found:
        return Outcome(**found)
    if instances.was_cut_off(scope):
        return Outcome("cancelled")
    outcome = instances.outcome_of(run, step, scope)
    if not spread.is_spread(step.node) and verdicts.reads_board(step.node):
        verdicts.note(scope, asdict(outcome))
    return outcome


def out_of_time(move: Move, step: Step) -> None:
    """End a container at its time limit with the items that are there."""
    items = _items(move.run, step)
    if items.succeeded >= items.needed:
        _conclude(move, items)
    else:
        message = f"{step.path} had {items.succeeded} of the {items.needed} items it needs when its time was up."
        come_to_nothing(move, step, StepError(ErrorClass.TIMEOUT, "wait_timeout", message))


def retry(move: Move, step: Step) -> None:
    """Run the items once more that failed or were cut off, for as long as before; what succeeded stays.

    Where what succeeded decides, none is: the judges refused what it comes to, and are asked anew.
    """
    items = _items(move.run, step)
    if _is_won(items):
        return
    items.failed = 0
    _limit_time(move, step)
    for index in [index for index, outcome in items.outcomes.items() if outcome.status in ("failed", "cancelled")]:
        del items.outcomes[index]
        items.active += 1
        instances.reset(move, items.scopes[index])


def _items(run: Execution, step: Step) -> Items:
    return cast(Items, run.containers[step.path])


def _unfit(run: Execution, step: Step, found: Json) -> StepError | None:
    if not isinstance(found, list):
        message = f"{step.path} needs a list to go through, not {_named(found)}."
        return StepError(ErrorClass.CONFIG, "not_a_list", message)
    most = step.node.config["max_items"]
    if len(found) > most:
        message = f"{step.path} got {len(found)} items; at most {most} are allowed."
        return StepError(ErrorClass.LIMIT, "too_many_items", message)
    return instances.too_many_steps(run, step, len(found))


def _named(value: Json) -> str:
    names = {str: "text", dict: "an object", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "nothing")


def _needed(config: Mapping[str, Json], size: int) -> int:
    """Return how many items must succeed.

    With `require: all` that is every item when a failed one stops the container, and none when failed ones are to be
    left out or replaced: the author said what stands in their place.
    """
    match config["require"]:
        case "all":
            return size if config["on_item_error"] == "stop" else 0
        case "any":
            return 1
        case {"at_least": str() as share}:
            return math.ceil(size * int(share.rstrip("%")) / 100)
        case {"at_least": int() as least}:
            return least
        case other:
            raise ValueError(f"{other!r} is no requirement on items.")


def _has_more(items: Items) -> bool:
    return bool(items.left) or items.next < len(items.values)


def _next_scope(run: Execution, items: Items) -> Scope:
    """Return the scope of the item to go on with: one that a fork left unfinished, else the first not begun."""
    if not items.left:
        return begin_next(run, items.step)
    items.active += 1
    return items.scopes[items.left.popleft()]


def _is_settled_early(items: Items) -> bool:
    """Tell whether the items that are still open cannot change the verdict, or need not."""
    still_open = len(items.values) - len(items.outcomes)
    return _counted(items) + still_open < items.needed or _is_won(items)


def _is_won(items: Items) -> bool:
    return bool(items.step.node.config["stop_early"]) and 0 < items.needed <= items.succeeded


def _counted(items: Items) -> int:
    """Return the items that do not stand in the way: those that succeeded, and for `all` those routed away too."""
    if items.step.node.config["require"] == "all":
        return len(items.outcomes) - items.failed
    return items.succeeded


def _conclude(move: Move, items: Items) -> None:
    step = items.step
    if _counted(items) < items.needed:
        come_to_nothing(move, step, _not_enough(items))
        return
    config = step.node.config
    output, listed = [], []
    for index, value in enumerate(items.values):
        outcome = items.outcomes.get(index) or Outcome("cancelled")
        listed.append({"item": value, "status": outcome.status, "value": outcome.value, "error": outcome.error})
        if outcome.status == "succeeded":
            output.append(outcome.value)
        elif outcome.status == "failed" and config["on_item_error"] in ("null", "default"):
            output.append(config.get("default") if config["on_item_error"] == "default" else None)
    complete(move, step, output, {"items": listed})


def _not_enough(items: Items) -> StepError:
    failed = {index: outcome for index, outcome in items.outcomes.items() if outcome.status == "failed"}
    first = min(failed, default=None)
    why = f" Item {first}: {failed[first].error['message']}" if first is not None else ""
    message = f"{items.step.path} needs {items.needed} of {len(items.values)} items; {len(failed)} failed.{why}"
    return StepError(ErrorClass.TOOL_ERROR, "not_enough_items", message)
