"""Board: reads, writes or appends to an entry of the run's board, or publishes an event for whoever waits for it."""

from typing import Any

from pipelines.graph.model import Json
from runs.engine import failing, requests, settling, values
from runs.engine.board import APPEND, CHANGES, LONGEST_KEY, MAX_BYTES, Change, size_of
from runs.engine.completing import complete
from runs.engine.facts import ErrorClass, StepError
from runs.engine.move import Move
from runs.engine.scope import Step


def use(move: Move, step: Step) -> None:
    """Do what the step says, in this decision; a conflict is a failed attempt, which is tried again."""
    step.record.attempt += 1
    settling.start_time(step, move.now)
    try:
        key = _key(move, step)
        if step.node.config["op"] == "read":
            version = move.run.board.version_of(key)
            complete(move, step, move.run.board.values.get(key), {"version": version})
            return
        value = values.rendered(move.run, step, step.node.config.get("value"))
        step.record.input = {"key": key, "value": value}
        if step.node.config["op"] == "publish":
            _publish(move, step, key, value)
        else:
            _change(move, step, key, value)
    except values.Unusable as unusable:
        failing.give_up(move, step, unusable.error)


def _change(move: Move, step: Step, key: str, value: Json) -> None:
    op = step.node.config["op"]
    found = move.run.board.change(key, op, value, _expected(move, step))
    if isinstance(found, StepError):
        failing.attempt_failed(move, step, found, 1.0)
        return
    _note(move, step, found)
    meta: dict[str, Json] = {"version": found.version}
    if op == APPEND:
        meta["size"] = len(move.run.board.values[key])
    complete(move, step, value, meta)


def _note(move: Move, step: Step, change: Change) -> None:
    memo = step.record.memo
    memo[CHANGES] = [*memo.get(CHANGES, ()), list(change)]
    move.log("board_changed", step.path, **change._asdict())


def _publish(move: Move, step: Step, topic: str, payload: Json) -> None:
    if size_of(payload) > MAX_BYTES:
        message = f"{step.path} would publish more than {MAX_BYTES:,} bytes."
        raise values.Unusable(StepError(ErrorClass.LIMIT, "board_full", message))
    move.log("event_sent", step.path, request=requests.next_id(step), topic=topic, payload=payload)
    complete(move, step, payload, {"topic": topic})


def _key(move: Move, step: Step) -> str:
    key: Any = values.rendered(move.run, step, step.node.config["key"])
    if isinstance(key, int | float) and not isinstance(key, bool):
        key = str(key)
    if not isinstance(key, str) or not 0 < len(key) <= LONGEST_KEY:
        message = f"{step.path} needs a key of 1 to {LONGEST_KEY} characters."
        raise values.Unusable(StepError(ErrorClass.CONFIG, "bad_key", message))
    return key


def _expected(move: Move, step: Step) -> int | None:
    """Return the version that must still stand, None when any may."""
    found = values.rendered(move.run, step, step.node.config.get("if_version"))
    if found is None:
        return None
    if isinstance(found, str) and found.isdecimal():
        return int(found)
    if isinstance(found, int | float) and not isinstance(found, bool) and found == int(found):
        return int(found)
    message = f"The if_version of {step.path} is no version, which is a whole number."
    raise values.Unusable(StepError(ErrorClass.CONFIG, "not_a_number", message))
