"""The log of a run as sentences: who or what did what, and why."""

import re
from collections.abc import Callable, Mapping

from pipelines.graph.model import Json
from pipelines.graph.money import dollars

Payload = Mapping[str, Json]

WAITS = {
    "approval": "an approval",
    "answer": "an answer",
    "failure": "somebody to say how to go on after a failure",
    "budget": "somebody to add money or end it",
    "outcome_unknown": "somebody to say whether it happened",
    "event": "an event",
    "timer": "its time",
    "circuit": "a service that keeps failing to come back",
    "children": "what it started",
    "lock": "its turn at a lock",
    "parent": "more money from the run that started it",
}
FAILED = {
    "transient": "A service could not be reached.",
    "timeout": "It took too long.",
    "invalid_output": "What came back did not fit.",
    "config": "Something in the pipeline is not set up right.",
    "refused": "The model refused.",
    "denied": "It was not allowed.",
    "budget": "A cap was reached.",
    "limit": "A limit was reached.",
    "tool_error": "The action failed.",
    "internal": "Something went wrong in Baton.",
}
_ENDS = {"succeeded": "finished", "failed": "failed", "cancelled": "was stopped"}
_CANCELS = {
    "run_ended": "the run ended",
    "lost_race": "another branch was first",
    "item_stopped": "its item was stopped",
    "round_stopped": "its round was stopped",
    "turn_stopped": "its turn was stopped",
    "delegation_stopped": "its delegation was stopped",
    "container_ended": "what holds it ended",
    "stopped": "somebody stopped it",
    "stopped_with_all": "somebody stopped what it stands in",
    "cancelled": "the run was stopped",
}
_SKIPS = {"failure": "what it needs failed", "routing": "the run took another way", "disabled": "it is switched off"}
_DECISIONS = {
    "approve": "approved “{step}”",
    "reject": "rejected “{step}”",
    "answer": "answered “{step}”",
    "retry": "had “{step}” tried again",
    "use": "gave the output of “{step}” by hand",
    "skip": "skipped “{step}”",
    "stop": "stopped the run at “{step}”",
}
_NOBODY = {
    "expire": "Nobody answered “{step}” in time",
    "cancelled": "The question of “{step}” was taken back",
    "again": "“{step}” tries again: what another run asked about the same budget is settled",
}


_INSTANCES = {"#": "round", "~": "turn", ">": "delegation"}


def instance_of(path: str) -> str:
    """Return which instances of its containers a step's path names: "item 3, round 2", or nothing."""
    found = re.findall(r"\[(\d+)\]|([#~>])(\d+)", path)
    named = (f"{_INSTANCES[mark]} {number}" if mark else f"item {int(item) + 1}" for item, mark, number in found)
    return ", ".join(named)


def sentence(type: str, step: str, payload: Payload) -> str:
    """Return one event in words; `step` is the title of the step it is about."""
    said = _SAID.get(type)
    return f"{said(step, payload)}." if said else f"{type.replace('_', ' ').capitalize()}."


def _why(payload: Payload) -> str:
    error = payload.get("error")
    message = error.get("message") if isinstance(error, dict) else None
    return f": {str(message).rstrip('.')}" if message else ""


def _who(payload: Payload, otherwise: str) -> str:
    return str(payload.get("by") or otherwise)


def _waiting(reasons: Json) -> str:
    found = reasons if isinstance(reasons, list) else [reasons]
    return " and ".join(WAITS.get(str(reason), str(reason).replace("_", " ")) for reason in found)


def _waits(step: str, payload: Payload) -> str:
    if payload.get("because") == "budget":
        return f"“{step}” waits for a run that was started: the money left is kept for it"
    if payload.get("pipeline"):
        return f"“{step}” started {str(payload['pipeline']).partition('@')[0]} and waits for it"
    return f"“{step}” waits for {waits_for(payload)}{_why(payload)}"


def _paused(step: str, payload: Payload) -> str:
    before = payload.get("before")
    who = _who(payload, "Somebody")
    return f"The run paused before “{before}”, as its author wanted" if before else f"{who} paused the run"


def _started(step: str, payload: Payload) -> str:
    if payload.get("child"):
        what = str(payload.get("pipeline") or "a run of its item").partition("@")[0]
        return f"“{step}” started {what}"
    attempt, items = payload.get("attempt"), payload.get("items")
    tasks = payload.get("tasks")
    if isinstance(tasks, int):
        return f"“{step}” began, with at most {tasks} task{'' if tasks == 1 else 's'} to give out"
    rounds = payload.get("rounds")
    if isinstance(rounds, int):
        return f"“{step}” began, with at most {rounds} round{'' if rounds == 1 else 's'}"
    members = payload.get("members")
    if isinstance(members, int):
        return f"“{step}” began with {members} member{'' if members == 1 else 's'}"
    if isinstance(items, int):
        return f"“{step}” began with {items} item{'' if items == 1 else 's'}"
    return f"“{step}” began its attempt {attempt}" if isinstance(attempt, int) and attempt > 1 else f"“{step}” began"


def _turn(step: str, payload: Payload) -> str:
    who = payload.get("who")
    speakers = ", ".join(str(name) for name in who) if isinstance(who, list) else ""
    return f"Turn {payload.get('turn')} of “{step}” began{': ' if speakers else ''}{speakers}"


def _succeeded(step: str, payload: Payload) -> str:
    ports = payload.get("ports")
    taken = [str(port).replace("_", " ") for port in ports if port != "done"] if isinstance(ports, list) else []
    flags = payload.get("flags")
    marks = flags if isinstance(flags, list) else []
    fallback = " with its fallback" if "degraded" in marks else " with an output by hand" if "edited" in marks else ""
    kept = " with a result kept from before" if "cached" in marks else ""
    return f"“{step}” is done{fallback}{kept}{': ' if taken else ''}{', '.join(taken)}"


def _retrying(step: str, payload: Payload) -> str:
    delay = payload.get("delay")
    pause = f" in {delay:.1f} s" if isinstance(delay, int | float) else ""
    return f"“{step}” is tried again{pause}{_why(payload)}"


def _call_started(step: str, payload: Payload) -> str:
    reserved = payload.get("reserved_usd")
    return f"“{step}” calls {payload.get('name')}{f', with ${reserved} reserved' if reserved else ''}"


def _call_finished(step: str, payload: Payload) -> str:
    if _why(payload):
        return f"{payload.get('name')} did not answer “{step}”{_why(payload)}"
    cost = payload.get("cost_usd")
    return f"{payload.get('name')} answered “{step}”{f' for ${cost}' if cost else ''}"


def _decided(step: str, payload: Payload) -> str:
    decision = str(payload.get("decision"))
    if decision in _NOBODY:
        return _NOBODY[decision].format(step=step)
    reason = str(payload.get("reason") or "").rstrip(".")
    said = _DECISIONS.get(decision, "answered “{step}”").format(step=step)
    return f"{_who(payload, 'Somebody')} {said}{': ' if reason else ''}{reason}"


_CAPPED = {"calls": "model calls", "seconds": "seconds of machine time"}


def _alert(step: str, payload: Payload) -> str:
    if payload.get("above_reservation"):
        cost, reserved = payload.get("cost_usd"), payload.get("reserved_usd")
        return f"A call of “{step}” cost ${cost}, more than the ${reserved} reserved"
    share = payload.get("at")
    part = f"{share:.0%}" if isinstance(share, int | float) else "A part"
    if what := payload.get("what"):
        return f"{part} of the cap of {payload.get('cap')} {_CAPPED.get(str(what), what)} is used"
    return f"{part} of the cap of ${payload.get('cap_usd')} is spent"


def _skipped(step: str, payload: Payload) -> str:
    return f"“{step}” was skipped: {_SKIPS.get(str(payload.get('because')), 'it was not needed')}"


def _cancelled(step: str, payload: Payload) -> str:
    return f"“{step}” was cancelled: {_CANCELS.get(str(payload.get('code')), 'it was not needed any more')}"


def waits_for(payload: Payload) -> str:
    """Return what a step waits for: the topics of its events, its time, the name of its lock."""
    topics = [str(event["topic"]) for event in payload.get("events") or ()]
    if topics:
        return f"an event at {' or '.join(dict.fromkeys(topics))}"
    lock = payload.get("lock")
    return f"its turn at the lock {lock}" if lock else _waiting(payload.get("reason"))


def _wait_ended(step: str, payload: Payload) -> str:
    return f"“{step}” took event {payload['event']}" if payload.get("event") else f"“{step}” waits no more"


def _board_changed(step: str, payload: Payload) -> str:
    what = "appended to" if payload.get("op") == "append" else "wrote"
    return f"“{step}” {what} {payload.get('key')} on the board (version {payload.get('version')})"


def _reason(payload: Payload) -> str:
    reason = str(payload.get("reason") or "").rstrip(".")
    return f": {reason}" if reason else ""


def _created(step: str, payload: Payload) -> str:
    if payload.get("parent_number"):
        return f"Run #{payload['parent_number']} started this one at its step “{payload.get('parent_path')}”"
    who, other = _who(payload, "Somebody"), payload.get("forked_number")
    if not other:
        return f"{who} started the run"
    start = payload.get("from_path")
    where = f" from “{start}”" if start else ""
    edited = payload.get("edited")
    by_hand = (
        f", with {len(edited)} output{'' if len(edited) == 1 else 's'} by hand"
        if isinstance(edited, list) and edited
        else ""
    )
    return f"{who} forked run #{other}{where}{by_hand}, which saves ${payload.get('saved_usd')}"


def _asked(step: str, payload: Payload) -> str:
    return f"“{step}” asks a person: {str(payload.get('why') or payload.get('title')).rstrip('.')}"


def _lead_asked(step: str, payload: Payload) -> str:
    match payload.get("stage"), payload.get("mode"):
        case "review", _:
            return f"A person is to look at the plan of “{step}”"
        case "final", _:
            return f"The leader of “{step}” is told to finish"
        case _, "plan":
            return f"The leader of “{step}” is asked for a plan"
        case _, "route_only":
            return f"The leader of “{step}” is asked who does it"
        case _:
            return f"The leader of “{step}” is asked what comes next"


def _task_refused(step: str, payload: Payload) -> str:
    return f"“{step}” did not do what its leader wanted: {str(payload.get('message')).rstrip('.')}"


_SAID: Mapping[str, Callable[[str, Payload], str]] = {
    "run_created": _created,
    "run_started": lambda step, payload: "The run began",
    "run_waiting": lambda step, payload: f"The run waits for {_waiting(payload.get('reasons'))}",
    "run_paused": _paused,
    "run_resumed": lambda step, payload: f"{payload['by']} resumed the run" if payload.get("by") else "The run goes on",
    "run_cancelling": lambda step, payload: f"{_who(payload, 'Somebody')} told the run to stop",
    "run_finished": lambda step, payload: f"The run {_ENDS.get(str(payload.get('state')), 'ended')}{_why(payload)}",
    "step_ready": lambda step, payload: f"“{step}” is ready",
    "step_started": _started,
    "turn_started": _turn,
    "round_started": lambda step, payload: f"Round {payload.get('round')} of “{step}” began",
    "lead_asked": _lead_asked,
    "task_given": lambda step, payload: f"“{step}” gave task {payload.get('number')} to {payload.get('worker')}",
    "task_refused": _task_refused,
    "step_stopped": lambda step, payload: f"{_who(payload, 'Somebody')} stopped “{step}”{_reason(payload)}",
    "wait_ended": _wait_ended,
    "event_sent": lambda step, payload: f"“{step}” published to {payload.get('topic')}",
    "lock_released": lambda step, payload: f"“{step}” gave the lock {payload.get('lock')} back",
    "board_changed": _board_changed,
    "budget_raised": lambda step, payload: f"The budget has ${dollars(payload['amount_micros'])} more in this period",
    "step_waiting": _waits,
    "step_retrying": _retrying,
    "step_succeeded": _succeeded,
    "step_failed": lambda step, payload: f"“{step}” failed{_why(payload)}",
    "step_skipped": _skipped,
    "step_cancelled": _cancelled,
    "call_started": _call_started,
    "call_finished": _call_finished,
    "approval_requested": _asked,
    "approval_decided": _decided,
    "budget_alert": _alert,
}
