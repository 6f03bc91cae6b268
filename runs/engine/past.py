"""A run as it stood after one of its events: a fold over the log alone, which reads no row and asks no clock."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipelines.graph.model import Json
from pipelines.graph.money import micros
from runs.engine.settling import CONTAINED, DEGRADED
from runs.engine.status import RunState, StepState, WaitReason

_UNSTARTED_WAITS = frozenset({WaitReason.LOCK, WaitReason.PARENT})
MODEL = "model"


@dataclass(frozen=True, slots=True)
class Logged:
    """One line of the log."""

    seq: int
    type: str
    path: str | None
    at: datetime
    payload: Mapping[str, Json]


@dataclass(slots=True)
class StepThen:
    """What the log has said of a step so far. `cost_micros` is that of its calls that had answered.

    `items` is how many a For each was given, None for any other step.
    """

    state: StepState = StepState.PENDING
    wait_reason: str | None = None
    attempt: int = 0
    flags: list[str] = field(default_factory=list)
    port: str | None = None
    error: Json = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cost_micros: int = 0
    unpriced_calls: int = 0
    items: int | None = None

    def enter(self, state: StepState, reason: str | None = None) -> None:
        self.state, self.wait_reason = state, reason

    def start(self, at: datetime) -> None:
        self.started_at = self.started_at or at

    def end(self, state: StepState, at: datetime) -> None:
        self.enter(state)
        self.finished_at = at

    def forget(self) -> None:
        """Stand as if nothing had run: its attempts count on, and what it has cost stays paid."""
        self.enter(StepState.PENDING)
        self.flags, self.port, self.error = [], None, None
        self.started_at = self.finished_at = None


@dataclass(slots=True)
class Open:
    """A call that has not answered yet."""

    kind: str
    reserved_micros: int


@dataclass(slots=True)
class Past:
    """The run after the event `seq`. `steps` are those that the log has named, and those it began with."""

    seq: int = 0
    at: datetime | None = None
    state: RunState = RunState.QUEUED
    reason: str | None = None
    error: Json = None
    steps: dict[str, StepThen] = field(default_factory=dict)
    calls: dict[str, Open] = field(default_factory=dict)
    unconfirmed_micros: int = 0

    @property
    def reserved_micros(self) -> int:
        return sum(call.reserved_micros for call in self.calls.values())

    def take(self, event: Logged) -> None:
        """Let one more event have happened; events of types that change nothing on the picture pass by."""
        self.seq, self.at = event.seq, event.at
        if event.path is None:
            if change := _OF_RUN.get(event.type):
                change(self, event.payload)
            return
        if act := _OF_STEP.get(event.type):
            act(self, self.steps.setdefault(event.path, StepThen()), event)


def fold(events: Iterable[Logged], begun: Mapping[str, StepThen] | None = None) -> Past:
    """Return the run after these events, oldest first; `begun` are the steps that a fork was given at its birth."""
    past = Past(steps=dict(begun or {}))
    for event in events:
        past.take(event)
    return past


def _ready(past: Past, step: StepThen, event: Logged) -> None:
    step.enter(StepState.READY)


def _started(past: Past, step: StepThen, event: Logged) -> None:
    said = event.payload
    step.attempt = int(said.get("attempt") or step.attempt)
    step.start(event.at)
    if said.get("items") is not None:
        step.items = int(said["items"])
    if said.get("child"):
        step.enter(StepState.WAITING, WaitReason.CHILDREN)
    else:
        step.enter(StepState.RUNNING)


def _waiting(past: Past, step: StepThen, event: Logged) -> None:
    reason = str(event.payload.get("reason"))
    step.enter(StepState.WAITING, reason)
    if reason not in _UNSTARTED_WAITS and event.payload.get("because") != "budget":
        step.start(event.at)
    if event.payload.get("error"):
        step.error = event.payload["error"]


def _retrying(past: Past, step: StepThen, event: Logged) -> None:
    """A retry waits for its time; a repair and a fallback follow at once, and their own event says so."""
    why = event.payload.get("why")
    step.enter(StepState.RETRYING if why == "retry" else StepState.READY)
    if why == "retry":
        step.error = event.payload.get("error")
    if why == "fallback" and DEGRADED not in step.flags:
        step.flags = [*step.flags, DEGRADED]


def _succeeded(past: Past, step: StepThen, event: Logged) -> None:
    said = event.payload
    step.attempt = int(said.get("attempt") or step.attempt)
    step.port = ",".join(str(port) for port in said.get("ports") or ()) or None
    step.flags = [str(flag) for flag in said.get("flags") or ()]
    step.error = None
    step.start(event.at)
    step.end(StepState.SUCCEEDED, event.at)


def _failed(past: Past, step: StepThen, event: Logged) -> None:
    step.attempt = int(event.payload.get("attempt") or step.attempt)
    step.error = event.payload.get("error")
    if event.payload.get("contained") and CONTAINED not in step.flags:
        step.flags = [*step.flags, CONTAINED]
    step.start(event.at)
    step.end(StepState.FAILED, event.at)


def _skipped(past: Past, step: StepThen, event: Logged) -> None:
    step.end(StepState.SKIPPED, event.at)


def _cancelled(past: Past, step: StepThen, event: Logged) -> None:
    step.end(StepState.CANCELLED, event.at)


def _decided(past: Past, step: StepThen, event: Logged) -> None:
    """Tried again by somebody's order: a container goes on with what had not ended well, any other step begins anew."""
    if event.payload.get("kind") != "failure" or event.payload.get("decision") != "retry" or not event.path:
        return
    inside = [
        one for path, one in past.steps.items() if path.startswith(tuple(f"{event.path}{mark}" for mark in "[#~>"))
    ]
    step.error = None
    step.enter(StepState.RUNNING if inside else StepState.PENDING)
    lost = (StepState.FAILED, StepState.CANCELLED)
    for one in inside:
        if one.state in lost and CONTAINED not in one.flags:
            one.forget()


def _call_started(past: Past, step: StepThen, event: Logged) -> None:
    said = event.payload
    past.calls[str(said["call"])] = Open(str(said.get("kind")), _amount(said.get("reserved_usd")) or 0)


def _call_finished(past: Past, step: StepThen, event: Logged) -> None:
    said = event.payload
    call = past.calls.pop(str(said["call"]), None)
    cost, error = _amount(said.get("cost_usd")), said.get("error")
    if cost is not None:
        step.cost_micros += cost
    elif isinstance(error, dict) and error.get("code") == "lost":
        past.unconfirmed_micros += call.reserved_micros if call else 0
    elif call and call.kind == MODEL and not error:
        step.unpriced_calls += 1


def _amount(dollars: Json) -> int | None:
    return micros(str(dollars)) if dollars is not None else None


def _run_state(state: RunState) -> Callable[[Past, Mapping[str, Json]], None]:
    def change(past: Past, said: Mapping[str, Json]) -> None:
        past.state = state

    return change


def _finished(past: Past, said: Mapping[str, Json]) -> None:
    past.state, past.reason, past.error = RunState(str(said["state"])), said.get("reason"), said.get("error")


_OF_RUN: Mapping[str, Callable[[Past, Mapping[str, Any]], None]] = {
    "run_created": _run_state(RunState.QUEUED),
    "run_started": _run_state(RunState.RUNNING),
    "run_waiting": _run_state(RunState.WAITING),
    "run_paused": _run_state(RunState.PAUSED),
    "run_resumed": _run_state(RunState.RUNNING),
    "run_cancelling": _run_state(RunState.CANCELLING),
    "run_finished": _finished,
}
_OF_STEP: Mapping[str, Callable[[Past, StepThen, Logged], None]] = {
    "step_ready": _ready,
    "step_started": _started,
    "step_waiting": _waiting,
    "step_retrying": _retrying,
    "step_succeeded": _succeeded,
    "step_failed": _failed,
    "step_skipped": _skipped,
    "step_cancelled": _cancelled,
    "approval_decided": _decided,
    "call_started": _call_started,
    "call_finished": _call_finished,
}
TYPES = frozenset({*_OF_RUN, *_OF_STEP})
"""What the fold looks at: the other events need not be read."""
