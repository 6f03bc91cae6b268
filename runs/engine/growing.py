"""Child runs that need more than was kept for them: they ask their parent, which gives of what is left.

A question is a request of a step in the child, a fact in the parent's inbox, and an answer in the child's. What cannot
be given now waits for another child to end; when all wait, the first of them is refused, so that the others go on.
"""

from typing import NamedTuple

from pipelines.graph.model import Json
from runs.engine import allotting, budget, held, starting
from runs.engine.budget import RUN, Refusal
from runs.engine.decision import AskAbove, StepRecord, Tell
from runs.engine.facts import Answered, MoreWanted
from runs.engine.move import Move
from runs.engine.origin import child_id
from runs.engine.scope import Step
from runs.engine.settling import ABOVE, leave
from runs.engine.status import StepState, WaitReason

THE_RUN_ABOVE = "The run above"
_FOR_CHILD = "!child"


def may_ask(move: Move, refusal: Refusal) -> bool:
    """Tell whether the run above may give what the run's own cap lacks."""
    return refusal.cap == RUN and refusal.what in move.run.origin.grows


def ask(move: Move, step: Step, refusal: Refusal) -> None:
    """Let a step wait for what the run above gives. One question at a time is enough for the whole run: when the step
    that asked ends before, the next one that waits has its answer (`settling.withdraw`)."""
    run, record = move.run, step.record
    leave(move, step)
    is_first = not any(run.live[path].record.memo.get("request", {}).get(ABOVE) for path in run.waiting)
    number = record.memo.get("requests", 0) + 1
    record.memo["requests"] = number
    record.memo["request"] = {
        "id": f"{step.path}!{number}",
        "kind": "budget",
        ABOVE: "asked" if is_first else "waits",
        "cap": refusal.cap,
        "what": refusal.what,
        "amount": refusal.short,
        "code": refusal.code,
        "message": refusal.message,
        "refusal": {**refusal.as_json(), "path": step.path},
    }
    record.state, record.wait_reason = StepState.WAITING, WaitReason.PARENT
    run.waiting.add(step.path)
    move.log("step_waiting", step.path, reason=WaitReason.PARENT)
    move.touch(step)
    if is_first:
        move.decision.asks.append(AskAbove(f"{step.path}!{number}", refusal.what, refusal.short))


def wanted(move: Move, fact: MoreWanted) -> None:
    """Take note of what a child needs, and give it if it can be given."""
    record = move.run.children.get((fact.path, fact.child))
    if record is None:
        return
    child = record.memo["children"]["live"][str(fact.child)]
    heard = child.setdefault("heard", [])
    if fact.request not in heard:
        heard.append(fact.request)
        child.setdefault("wants", {})[fact.request] = {"what": fact.what, "short": fact.short}
        move.decision.changed[record.path] = record
        serve(move)


def use_room(move: Move) -> None:
    """Let those go on who waited for what has become free of a cap: children that asked for more, and steps."""
    serve(move)
    for path in sorted(move.run.waiting):
        step = move.run.live[path]
        if held.is_held_up(step):
            starting.launch(move, step, step.record.memo.get("prepared", starting.SAME))


def serve(move: Move) -> None:
    """Give the children that asked what they asked for, in the order in which they were started."""
    for one in _asking(move):
        _give(move, one)
    left = _asking(move)
    stuck = {(one.path, one.number) for one in left} == move.run.children.keys()
    if left and stuck and not any(one.want.get("asked") for one in left):
        for one in left:
            if (one.path, one.number) == (left[0].path, left[0].number):
                _answer(move, one, "reject", None)


def answered(move: Move, fact: Answered) -> bool:
    """Take what the run above says to a question on behalf of a child; return whether it was one."""
    if _FOR_CHILD not in fact.request:
        return False
    for one in _asking(move):
        if one.want.get("asked") != fact.request:
            continue
        if fact.decision == "approve":
            amount = budget.in_units(one.want["what"], fact.payload, one.want["short"])
            budget.raise_cap(move.run, RUN, one.want["what"], amount)
            one.record.memo["raised"] = [*one.record.memo.get("raised", ()), [RUN, one.want["what"], amount]]
            del one.want["asked"]
            move.decision.changed[one.path] = one.record
            use_room(move)
        else:
            _answer(move, one, "reject", None)
        break
    return True


class _Asking(NamedTuple):
    """A child that waits for more: `want` is {"what", "short"}, and "asked" once the run above was asked for it."""

    path: str
    number: int
    record: StepRecord
    child: dict[str, Json]
    request: str
    want: dict[str, Json]


def _asking(move: Move) -> list[_Asking]:
    found = []
    for (path, number), record in move.run.children.items():
        child = record.memo["children"]["live"][str(number)]
        wants = child.get("wants", {})
        found += [_Asking(path, number, record, child, request, want) for request, want in wants.items()]
    return found


def _give(move: Move, one: _Asking) -> None:
    what, hold = one.want["what"], one.child["hold"]
    amount = allotting.more(move.run, one.path, what, one.want["short"])
    if amount:
        allotting.keep(move.run, one.path, {what: amount})
        one.child["hold"] = {**hold, what: hold.get(what, 0) + amount}
        _answer(move, one, "approve", budget.proposal(what, amount))
    elif what in move.run.origin.grows and not one.want.get("asked"):
        asked = one.record.memo.get("requests", 0) + 1
        one.record.memo["requests"] = asked
        one.want["asked"] = f"{one.path}{_FOR_CHILD}{asked}"
        move.decision.asks.append(AskAbove(one.want["asked"], what, one.want["short"]))
        move.decision.changed[one.path] = one.record


def _answer(move: Move, one: _Asking, decision: str, payload: Json) -> None:
    del one.child["wants"][one.request]
    answer = Answered(one.request, "", decision, payload, by=THE_RUN_ABOVE)
    move.decision.tells.append(Tell(child_id(move.run.origin.run, one.path, one.number), answer))
    move.decision.changed[one.path] = one.record
