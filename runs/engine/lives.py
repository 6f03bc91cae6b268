"""What a step takes along when its item, round or turn begins anew, whether its record is still in memory or not.

The steps of a container that ended within an item, round or turn are forgotten with it. If that is run once more, so is
the container, and steps stand at the same paths again: none of them may be taken for the earlier one.
"""

from pipelines.graph.canonical import digest
from pipelines.graph.model import Json
from runs.engine import worktime
from runs.engine.board import CHANGES
from runs.engine.decision import StepRecord
from runs.engine.doubts import MAYBE_DONE
from runs.engine.scope import MADE, Life, Scope, Step

# In the memo of an action: the calls that its earlier lives have made (see `done_before`), and the digest of the
# arguments that were asked for where a person approved others.
DONE, ASKED = "done", "asked"
# In the memo of an action: the call that was under way when its step was cancelled: attempt, asked, args as in DONE.
CALLED_OFF = "called_off"
_KEPT = (CALLED_OFF, "requests", "raised", "used", "alerted", "children", worktime.WORKED, MADE, CHANGES, MAYBE_DONE)


def carried(life: Life) -> dict[str, Json]:
    """Return what a step remembers of the life before; its generation rises, so that the journal's answers are old."""
    memo = dict(life.memo)
    worktime.forget(memo)
    found = {name: memo[name] for name in _KEPT if name in memo}
    if done := _done_in(life):
        found[DONE] = done
    return {**found, "generation": memo.get("generation", 0) + 1}


def done_before(scope: Scope, node: str, args: Json) -> Json:
    """Return the arguments with which an action of the scope has answered these, asked for, in an earlier life.

    None where it has not.
    """
    path = scope.prefix + node
    if node in scope.steps:
        memo = scope.steps[node].record.memo
    else:
        around = _around(scope, path)
        memo = carried(around.before[path]) if around else {}
    approved = memo.get(DONE, {}).get(digest(args), {})
    return None if approved == {} else (approved["args"] or args)


def call_off(record: StepRecord) -> None:
    """Remember the call of an action that is cancelled while it is under way: it may still be done."""
    asked, args = record.memo.get(ASKED), record.input["args"]
    off = {"attempt": record.attempt, "asked": asked or digest(args), "args": args if asked else None}
    record.memo[CALLED_OFF] = off


def is_done_late(record: StepRecord, attempt: int) -> bool:
    """Take note that an action has done what it was cancelled in; return False where it had nothing under way."""
    off = record.memo.get(CALLED_OFF)
    if off is None or off["attempt"] != attempt:
        return False
    del record.memo[CALLED_OFF]
    record.memo[DONE] = {**record.memo.get(DONE, {}), off["asked"]: {"args": off["args"]}}
    return True


def take_up(scope: Scope, record: StepRecord) -> None:
    """Let a new step go on counting where an earlier one at its path had come to."""
    if around := _around(scope, record.path):
        before = around.before.pop(record.path)
        record.attempt = before.attempt
        record.memo = {**carried(before), **record.memo}


def _around(scope: Scope, path: str) -> Step | None:
    """Return the nearest container that remembers a forgotten step at a path in this scope."""
    around = scope.container
    while around and path not in around.before:
        around = around.scope.container
    return around


def _done_in(life: Life) -> dict[str, Json]:
    """Return the calls that an action has made by the end of a life, by the digest of the arguments asked for."""
    done: dict[str, Json] = dict(life.memo.get(DONE, {}))
    if life.args is not None:
        asked = life.memo.get(ASKED)
        done[asked or digest(life.args)] = {"args": life.args if asked else None}
    return done
