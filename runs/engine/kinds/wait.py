"""Wait: until a point in time, or for the first of some events; or until it has waited long enough (deferred choice).

The first that happens takes its port. Nothing is looked at early: a timer fires when the database's clock has reached
it, an event counts when it has come through the run's inbox.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from pipelines.graph.kinds import LONGEST_WAIT
from pipelines.graph.model import Json
from runs.engine import requests, settling, values
from runs.engine.completing import complete
from runs.engine.facts import ErrorClass, EventArrived, StepError
from runs.engine.failing import give_up
from runs.engine.move import Move
from runs.engine.scope import Step
from runs.engine.settling import WAIT
from runs.engine.status import StepState, WaitReason

LONGEST_TOPIC = 200
_FARTHEST = timedelta(seconds=LONGEST_WAIT)


def begin(move: Move, step: Step) -> None:
    """Begin to wait; a time that has passed already ends the wait in this decision."""
    try:
        awaited = [_awaited(move, step, entry) for entry in step.node.events]
        due, port = _due(move, step)
    except values.Unusable as unusable:
        give_up(move, step, unusable.error)
        return
    if not awaited and port in (None, "timeout"):
        message = f"{step.path} waits for nothing: neither for a time nor for an event."
        give_up(move, step, StepError(ErrorClass.CONFIG, "empty_wait", message))
        return
    record = step.record
    request = requests.next_id(step)
    until = due.isoformat() if due else None
    record.memo[WAIT] = {"id": request, "port": port, "events": awaited}
    record.input = {"events": [{name: entry[name] for name in ("name", "topic")} for entry in awaited], "until": until}
    record.state = StepState.WAITING
    record.wait_reason = WaitReason.EVENT if awaited else WaitReason.TIMER
    settling.start_time(step, move.now)
    move.run.waiting.add(record.path)
    move.log("step_waiting", record.path, reason=record.wait_reason, request=request, events=awaited, until=until)
    if due:
        move.run.set_timer(step, due)
    move.touch(step)


def arrive(move: Move, fact: EventArrived) -> None:
    """Let an event end the wait that it was delivered to, if it is one of those waited for."""
    step = move.run.find(fact.request.rpartition("!")[0])
    wait = step.record.memo.get(WAIT) if step else None
    if step is None or not wait or wait["id"] != fact.request or step.record.state is not StepState.WAITING:
        return
    event = dict(fact.event)
    for number, entry in enumerate(wait["events"]):
        if _is_meant(move, step, number, entry, event):
            wait["taken"] = event["id"]
            _end(move, step, event, f"event_{entry['name']}", {"event": entry["name"]})
            return


def time_is_up(move: Move, step: Step) -> None:
    """End a wait whose time has come."""
    port = str(step.record.memo[WAIT]["port"])
    _end(move, step, None, port, {"event": None})


def _end(move: Move, step: Step, output: Json, port: str, meta: Mapping[str, Json]) -> None:
    settling.withdraw(move, step)
    settling.leave(move, step)
    complete(move, step, output, meta, (port,))


def _awaited(move: Move, step: Step, entry: Mapping[str, Json]) -> dict[str, Json]:
    topic = values.rendered(move.run, step, entry["topic"])
    if isinstance(topic, int | float) and not isinstance(topic, bool):
        topic = str(topic)
    if not isinstance(topic, str) or not 0 < len(topic) <= LONGEST_TOPIC:
        message = f"The topic of {step.path} must be a text of 1 to {LONGEST_TOPIC} characters."
        raise values.Unusable(StepError(ErrorClass.CONFIG, "bad_topic", message))
    since = move.now - timedelta(seconds=entry["keep"])
    return {"name": entry["name"], "topic": topic, "since": since.isoformat()}


def _is_meant(move: Move, step: Step, number: int, entry: Mapping[str, Json], event: Mapping[str, Json]) -> bool:
    """Tell whether an event is one that this entry waits for; a `match` that cannot be answered of it is a no.

    It is delivered to all entries of its topic from the earliest moment that one of them looks back to.
    """
    if event["topic"] != entry["topic"] or event["name"] not in ("", entry["name"]):
        return False
    if datetime.fromisoformat(event["at"]) < datetime.fromisoformat(entry["since"]):
        return False
    match = step.node.events[number]["match"] if number < len(step.node.events) else None
    if match is None:
        return True
    try:
        return values.evaluated(move.run, step, match, {"event": event}) is True
    except values.Unusable:
        return False


def _due(move: Move, step: Step) -> tuple[datetime | None, str | None]:
    """Return the earliest time that ends the wait, and the port it takes; of equal ones `time` wins."""
    config = step.node.config
    found: list[tuple[datetime, str]] = []
    if config["for"] is not None:
        found.append((move.now + timedelta(seconds=config["for"]), "time"))
    if config["until"] is not None:
        found.append((_moment(move, step, values.rendered(move.run, step, config["until"])), "time"))
    if config["timeout"] is not None:
        found.append((move.now + timedelta(seconds=config["timeout"]), "timeout"))
    return min(found, key=lambda entry: entry[0], default=(None, None))


def _moment(move: Move, step: Step, said: Json) -> datetime:
    """Return the moment that a text names, in UTC; it must name its zone, and be no more than ten years ahead."""
    try:
        moment = datetime.fromisoformat(said) if isinstance(said, str) else None
        if moment is not None and moment.utcoffset() is not None:
            moment = moment.astimezone(UTC)
            if moment - move.now <= _FARTHEST:
                return moment
    except (ValueError, OverflowError):
        pass
    message = (
        f"{step.path} waits until {str(said)[:60]!r}, which is no moment of the next ten years such as "
        "2026-11-20T18:00:00+01:00."
    )
    raise values.Unusable(StepError(ErrorClass.CONFIG, "bad_time", message))
