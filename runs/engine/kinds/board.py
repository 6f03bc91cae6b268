"""Board: reads, writes or appends to an entry of the run's board, or publishes an event for whoever waits for it."""

from typing import Any

from pipelines.graph.model import Json
from runs.engine import failing, requests, settling, starting, values
from runs.engine.board import APPEND, CHANGES, LONGEST_KEY, MAX_BYTES, WRITE, Change, size_of
from runs.engine.completing import complete
from runs.engine.facts import BoardSeen, ErrorClass, StepError, StepSucceeded
from runs.engine.move import Move
from runs.engine.scope import Step


def use(move: Move, step: Step) -> None:
    """Do what the step says, in this decision; a conflict is a failed attempt, which is tried again.

    A change of a board that other runs share is the executor's: where they meet, there is one after the other.
    """
    settling.start_time(step, move.now)
    try:
        key = _key(move, step)
        if move.run.shares_board and step.node.config["op"] in (WRITE, APPEND):
            _have_changed(move, step, key)
            return
        step.record.attempt += 1
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


def written(move: Move, step: Step, fact: StepSucceeded) -> None:
    """Take note of a change that was made of a shared board."""
    change = Change(fact.meta["key"], fact.meta["version"], fact.meta["op"], fact.output)
    move.log("board_changed", step.path, **change._asdict())
    complete(move, step, fact.output, {name: fact.meta[name] for name in ("version", "size") if name in fact.meta})


def see(move: Move, fact: BoardSeen) -> None:
    """Know what other runs, and this one, have done to the board that they share."""
    move.run.board.see(Change(*entry) for entry in fact.changes)


def _have_changed(move: Move, step: Step, key: str) -> None:
    value = values.rendered(move.run, step, step.node.config.get("value"))
    step.record.input = {"key": key, "value": value, "if_version": _expected(move, step)}
    starting.launch(move, step)


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
