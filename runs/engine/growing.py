"""Child runs that need more than was kept for them: they ask their parent, which gives of what is left.

A question is a request of a step in the child, a fact in the parent's inbox, and an answer in the child's. What cannot
be given now waits for another child to end; when all wait, a manager is asked where the cap says so, else the first of
them is refused, so that the others go on.
"""

from dataclasses import replace
from typing import NamedTuple

from pipelines.graph.model import Json
from runs.engine import allotting, allowing, budget, held, settling, starting
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
# In the memo of a question to a manager: the child on whose behalf the step asks, and what that asked.
FOR_CHILD = "for_child"


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
    """Give the children that asked what they asked for, in the order in which they were started.

    Where nothing is left, the run above or a manager is asked for more of the cap that stands in the way, once for all
    who wait at it; when all wait and nobody can be asked, the first is refused.
    """
    for one in _asking(move):
        _give(move, one)
    left = _asking(move)
    _take_back(move, left)
    if not left:
        return
    stuck = {(one.path, one.number) for one in left} == move.run.children.keys()
    for one in left:
        _ask_manager(move, one, left, stuck=stuck)
    asked = _asked_about(move)
    if stuck and not any(one.want.get("asked") or _is_asked_about(move, one, asked) for one in left):
        for one in left:
            if (one.path, one.number) == (left[0].path, left[0].number):
                _answer(move, one, "reject", None)


def wait_on(move: Move, step: Step) -> None:
    """Let a step wait for its child again, once what was asked on the child's behalf is settled."""
    leave(move, step)
    step.record.state, step.record.wait_reason = StepState.WAITING, WaitReason.CHILDREN
    move.run.waiting.add(step.path)
    move.log("step_waiting", step.path, reason=WaitReason.CHILDREN)
    move.touch(step)


def refused(move: Move, step: Step, request: Json) -> None:
    """Refuse a child what no manager allows. Others that waited for the answer have what it leaves, and nobody is asked
    for them again."""
    wait_on(move, step)
    for one in _asking(move):
        if _meets(move, one, request["cap"], request["what"]):
            one.want["refused"] = [*one.want.get("refused", ()), request["cap"]]
            move.decision.changed[one.path] = one.record
        if [one.path, one.number, one.request] == [step.path, *request[FOR_CHILD]]:
            _answer(move, one, "reject", None)
    serve(move)


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
    elif not one.want.get("asked") and (wall := _next_wall(move, one)) and may_ask(move, wall):
        asked = one.record.memo.get("requests", 0) + 1
        one.record.memo["requests"] = asked
        one.want["asked"] = f"{one.path}{_FOR_CHILD}{asked}"
        move.decision.asks.append(AskAbove(one.want["asked"], what, wall.short))
        move.decision.changed[one.path] = one.record


def _ask_manager(move: Move, one: _Asking, left: list[_Asking], *, stuck: bool) -> None:
    """Ask a manager for more of the cap that a child has reached, enough for all who wait at it.

    Not while children that still work may leave enough when they end, nor while the same is asked already.
    """
    wall, step = _next_wall(move, one), move.run.live.get(one.path)
    if wall is None or step is None or one.want.get("asked") or may_ask(move, wall):
        return
    if (wall.is_held and not stuck) or not _waits_for(step, one) or _is_asked_about(move, one, _asked_about(move)):
        return
    others = [other for other in left if other is not one and _meets(move, other, wall.cap, wall.what)]
    short = wall.short + sum(other.want["short"] for other in others)
    allowing.tell_full(move, step, wall)
    allowing.ask(move, step, replace(wall, short=short), {FOR_CHILD: [one.number, one.request]})


def _take_back(move: Move, left: list[_Asking]) -> None:
    """Take back what a manager was asked for children that have all they need by now."""
    for path in sorted(move.run.waiting):
        step = move.run.live[path]
        request = step.record.memo.get("request", {})
        if FOR_CHILD in request and not any(_meets(move, one, request["cap"], request["what"]) for one in left):
            settling.withdraw(move, step)
            wait_on(move, step)


def _walls(move: Move, one: _Asking) -> list[Refusal]:
    return allotting.in_the_way(move.run, one.path, one.want["what"], one.want["short"], one.child["hold"])


def _next_wall(move: Move, one: _Asking) -> Refusal | None:
    """Return the cap to be widened next for a child, that of the run above first; None where one cannot be."""
    walls = _walls(move, one)
    if not all(_may_be_widened(move, one, wall) for wall in walls):
        return None
    return next(iter(walls), None)


def _may_be_widened(move: Move, one: _Asking, wall: Refusal) -> bool:
    if may_ask(move, wall):
        return True
    is_asked_for = budget.budget_of(move.run, wall.cap).on_exceed == "ask_human"
    return is_asked_for and wall.cap not in one.want.get("refused", ())


def _meets(move: Move, one: _Asking, cap: str, what: str) -> bool:
    return any((wall.cap, wall.what) == (cap, what) for wall in _walls(move, one))


def _waits_for(step: Step, one: _Asking) -> bool:
    """Tell whether a step still waits for the child that asks, and for nobody's answer about it."""
    record = step.record
    is_its = record is one.record and record.memo.get("child") == one.number
    return is_its and record.wait_reason == WaitReason.CHILDREN


def _asked_about(move: Move) -> set[tuple[str, str]]:
    """Return the caps, and what of them, of which a manager has an open question."""
    requests = (move.run.live[path].record.memo.get("request", {}) for path in move.run.waiting)
    return {
        (request["cap"], request["what"])
        for request in requests
        if request.get("kind") == "budget" and ABOVE not in request
    }


def _is_asked_about(move: Move, one: _Asking, asked: set[tuple[str, str]]) -> bool:
    return any((wall.cap, wall.what) in asked for wall in _walls(move, one))


def _answer(move: Move, one: _Asking, decision: str, payload: Json) -> None:
    del one.child["wants"][one.request]
    answer = Answered(one.request, "", decision, payload, by=THE_RUN_ABOVE)
    move.decision.tells.append(Tell(child_id(move.run.origin.run, one.path, one.number), answer))
    move.decision.changed[one.path] = one.record
