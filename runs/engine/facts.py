"""Everything that can happen to a run, as values. A fact carries its own clock, ids and randomness.

Facts of the owner's own steps come through its mailbox; facts from outside are inbox rows (`to_json`/`from_json`).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from pipelines.graph.model import Json


class ErrorClass(StrEnum):
    TRANSIENT = "transient"
    TIMEOUT = "timeout"
    INVALID_OUTPUT = "invalid_output"
    REFUSED = "refused"
    TOOL_ERROR = "tool_error"
    DENIED = "denied"
    BUDGET = "budget"
    LIMIT = "limit"
    CONFIG = "config"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class StepError:
    """Why an attempt failed. `retry_after` is seconds as the provider asked; `findings` are what repair is told.

    `cap` says of a refused call which cap it was and what it lacked (JSON, see `budget.receipt_of`). `lost` says that
    no answer came to a call that the other side may have carried out; `maybe_done` that a call of the step has changed
    something, or may have. `elsewhere` says that a tool or a judge failed which whoever carries the step out had asked.
    """

    cls: ErrorClass
    code: str
    message: str
    retry_after: float | None = None
    findings: tuple[str, ...] = ()
    output: Json = None
    cap: Json = None
    lost: bool = False
    maybe_done: bool = False
    elsewhere: bool = False

    def as_json(self) -> dict[str, Json]:
        error = {"class": self.cls, "code": self.code, "message": self.message}
        return {**error, "cap": self.cap} if self.cap else error


@dataclass(frozen=True, slots=True)
class RunRequested:
    """The run was pressed."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A new owner holds the run. `crashed` is false after a clean hand-over; `crashes` counts all crash recoveries."""

    crashed: bool
    crashes: int = 0


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: look at the timers."""


@dataclass(frozen=True, slots=True)
class BoardSeen:
    """What has changed on a board that the run shares since it last looked: (key, version, op, value), oldest first."""

    changes: tuple[tuple[str, int, str, Json], ...]


@dataclass(frozen=True, slots=True)
class StepSucceeded:
    """`port` is None for a kind with one port; a router names the port or ports it chose.

    `machine_ms` is what the attempt used; `maybe_done` says that a call of the step has changed something, or may have.
    """

    path: str
    attempt: int
    output: Json
    meta: Mapping[str, Json] = field(default_factory=dict)
    ports: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    machine_ms: int = 0
    maybe_done: bool = False


@dataclass(frozen=True, slots=True)
class StepFailed:
    """`jitter` in [0, 1) spreads the retry."""

    path: str
    attempt: int
    error: StepError
    jitter: float = 0.5
    machine_ms: int = 0


@dataclass(frozen=True, slots=True)
class StepBlocked:
    """An attempt stopped because a person must answer first: an irreversible call inside an agent (`approve`), or a
    call whose outcome a crash left open (`outcome_unknown`). `payload` is exactly {"tool", "args", "connection"?}.
    The step resumes in the same attempt."""

    path: str
    attempt: int
    kind: str
    payload: Json
    title: str
    why: str
    trust: Mapping[str, str] = field(default_factory=dict)
    call: str = ""
    machine_ms: int = 0
    maybe_done: bool = False


@dataclass(frozen=True, slots=True)
class PipelineWanted:
    """An attempt stopped because its agent wants a pipeline started with these inputs; it resumes in the same attempt.

    `call` names the wish within the step, so that the answer finds it.
    """

    path: str
    attempt: int
    pipeline: str
    inputs: Json
    call: str
    machine_ms: int = 0
    maybe_done: bool = False


@dataclass(frozen=True, slots=True)
class ChildEnded:
    """A child run has ended: what its last commit says to the run that started it.

    `child` counts the step's children. `spent` is {"cost", "tokens", "calls", "machine_ms"}: the most it and its own
    children can have used, and "paid", what they are known to have cost; money in micro-dollars.
    """

    path: str
    child: int
    state: str
    reason: str | None = None
    output: Json = None
    error: Json = None
    spent: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MoreWanted:
    """A child run has reached the caps that were kept for it, and asks for more before it goes on.

    `child` counts the step's children; `request` is the question in the child, answered with `Answered`. `what` is
    cost, tokens or calls, `short` the least that would help, in its unit.
    """

    path: str
    child: int
    request: str
    what: str
    short: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The desk's final word on one request of this run.

    `decision`: approve, reject, answer, retry, use, skip, stop, or expire; `again` to a budget that another run asked
    about as well, whose counter may have room now. `payload` is the approved payload (edited or as asked), the answer,
    the output for `use`, or {"add_usd": "2.00"} for a budget. `payload_hash` is its digest.
    """

    request: str
    approval: str
    decision: str
    payload: Json = None
    payload_hash: str = ""
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CancelRequested:
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PauseRequested:
    by: str = ""


@dataclass(frozen=True, slots=True)
class ResumeRequested:
    by: str = ""


@dataclass(frozen=True, slots=True)
class EventArrived:
    """An event for a step that waits: `request` names the wait, `event` is {id, name, topic, payload, at, by}."""

    request: str
    event: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class LockGranted:
    """A step's turn at the lock that it asked for by `request` has come."""

    request: str


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Somebody stops one step, or one item or round of a container: `path` is a step's, or as `research[3]`."""

    path: str
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LimitReached:
    """The run has grown beyond what one run may be; it ends with this error."""

    error: StepError


@dataclass(frozen=True, slots=True)
class CancelForced:
    """Thirty seconds after a cancel, the steps that did not stop are given up."""


Fact = (
    RunRequested
    | Recovered
    | Tick
    | BoardSeen
    | StepSucceeded
    | StepFailed
    | StepBlocked
    | PipelineWanted
    | ChildEnded
    | MoreWanted
    | Answered
    | CancelRequested
    | PauseRequested
    | ResumeRequested
    | EventArrived
    | LockGranted
    | StopRequested
    | LimitReached
    | CancelForced
)

OutsideFact = (
    RunRequested
    | Answered
    | CancelRequested
    | PauseRequested
    | ResumeRequested
    | EventArrived
    | LockGranted
    | StopRequested
    | ChildEnded
    | MoreWanted
)
_FROM_OUTSIDE: dict[str, type[OutsideFact]] = {
    "run_requested": RunRequested,
    "answered": Answered,
    "cancel_requested": CancelRequested,
    "pause_requested": PauseRequested,
    "resume_requested": ResumeRequested,
    "event_arrived": EventArrived,
    "lock_granted": LockGranted,
    "stop_requested": StopRequested,
    "child_ended": ChildEnded,
    "more_wanted": MoreWanted,
}
_NAMES = {cls: name for name, cls in _FROM_OUTSIDE.items()}


def to_json(fact: OutsideFact) -> dict[str, Json]:
    """Return the inbox form of a fact from outside."""
    return {"fact": _NAMES[type(fact)], **asdict(fact)}


def from_json(data: Mapping[str, Json]) -> OutsideFact:
    """Return the fact of an inbox row; raise KeyError for an unknown name."""
    fields = dict(data)
    return _FROM_OUTSIDE[fields.pop("fact")](**fields)
