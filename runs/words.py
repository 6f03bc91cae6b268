"""The words, icons and colours in which people see states and kinds: always an icon and a word, never colour alone."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from pipelines.canvas import spoken
from runs.engine.status import RunState, StepState, WaitReason
from runs.models import Step
from runs.sentences import instance_of

PERSON_WAITS = frozenset(
    {WaitReason.APPROVAL, WaitReason.ANSWER, WaitReason.FAILURE, WaitReason.BUDGET, WaitReason.OUTCOME_UNKNOWN}
)


@dataclass(frozen=True, slots=True)
class Badge:
    """`tone` is the badge's CSS class, `segment` the class of its square in a row of progress segments.

    `others` is the word for people who cannot answer, where that differs: the page knows who reads, the state does not.
    """

    word: str
    icon: str
    tone: str
    segment: str = ""
    others: str = ""


QUEUED = Badge("Queued", "circle", "")
RUNNING = Badge("Running", "half", "b-running", "run")
NEEDS_YOU = Badge("Needs you", "hand", "b-wait", "wait", others="Waits for a person")
WAITING = Badge("Waiting", "clock", "", "run")
RETRYING = Badge("Retrying", "rotate-cw", "b-retry", "run")
DONE = Badge("Done", "check", "b-done", "ok")
DEGRADED = Badge("Done, fallback", "check", "b-degraded", "dg")
CACHED = Badge("Done, cached", "check", "b-done", "ok")
REUSED = Badge("Reused", "copy-check", "b-done", "ok")
EDITED = Badge("Done, by hand", "pencil", "b-done", "ok")
LEFT_OUT = Badge("Left out", "circle-minus", "b-degraded", "dg")
FAILED = Badge("Failed", "x", "b-failed", "bad")
AT_CAP = Badge("Stopped at cap", "circle-dollar-sign", "b-failed", "bad")
SKIPPED = Badge("Skipped", "skip-forward", "", "off")
CANCELLED = Badge("Cancelled", "ban", "", "off")
PAUSED = Badge("Paused", "pause", "")
STOPPING = Badge("Stopping", "octagon-x", "")
REJECTED = Badge("Rejected", "x", "", "off")
EXPIRED = Badge("Not answered", "clock", "", "off")
NO_RESULT = Badge("Done, no result", "check", "b-degraded", "dg")

_PLAIN_STEPS = {
    StepState.PENDING: QUEUED,
    StepState.READY: QUEUED,
    StepState.RUNNING: RUNNING,
    StepState.RETRYING: RETRYING,
    StepState.SKIPPED: SKIPPED,
    StepState.CANCELLED: CANCELLED,
}
_RUNS = {
    RunState.QUEUED: QUEUED,
    RunState.RUNNING: RUNNING,
    RunState.WAITING: WAITING,
    RunState.PAUSED: PAUSED,
    RunState.CANCELLING: STOPPING,
    RunState.CANCELLED: CANCELLED,
}


class Stands(Protocol):
    """What a badge needs to know of a step."""

    @property
    def kind(self) -> str: ...

    @property
    def state(self) -> str: ...

    @property
    def port(self) -> str | None: ...

    @property
    def wait_reason(self) -> str | None: ...

    @property
    def flags(self) -> Iterable[str]: ...

    @property
    def error(self) -> Any: ...


def badge_of(step: Stands) -> Badge:
    """Return the badge of a step; a person's no is no success, though the step itself is done."""
    if step.kind == "human" and step.state == StepState.SUCCEEDED:
        return {"rejected": REJECTED, "expired": EXPIRED}.get(step.port or "", DONE)
    return step_badge(step.state, step.wait_reason, step.flags, step.error)


def step_badge(state: str, wait_reason: str | None = None, flags: Iterable[str] = (), error: object = None) -> Badge:
    """Return the badge of a step from its state, what it waits for, its flags and its error."""
    marks = frozenset(flags)
    match StepState(state):
        case StepState.WAITING:
            return NEEDS_YOU if wait_reason in PERSON_WAITS else WAITING
        case StepState.SUCCEEDED:
            return _done(marks)
        case StepState.FAILED if "contained" in marks:
            return LEFT_OUT
        case StepState.FAILED:
            return AT_CAP if isinstance(error, dict) and error.get("class") == "budget" else FAILED
        case other:
            return _PLAIN_STEPS[other]


def _done(marks: frozenset[str]) -> Badge:
    if "degraded" in marks:
        return DEGRADED
    if "reused" in marks:
        return REUSED
    if "edited" in marks:
        return EDITED
    return CACHED if "cached" in marks else DONE


def run_badge(state: str, reason: str | None = None, *, needs_person: bool = False) -> Badge:
    """Return the badge of a run; `needs_person` says that one of its steps waits for somebody."""
    match RunState(state):
        case RunState.SUCCEEDED:
            return NO_RESULT if reason == "no_result" else DONE
        case RunState.FAILED:
            return AT_CAP if reason and "budget" in reason else FAILED
        case RunState.RUNNING | RunState.WAITING if needs_person:
            return NEEDS_YOU
        case other:
            return _RUNS[other]


def step_title(step: Step) -> str:
    """Return a step's title, with the item and round it belongs to."""
    title, instance = step.title or spoken(step.node), instance_of(step.path)
    return f"{title}, {instance}" if instance else title
