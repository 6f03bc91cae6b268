"""The contract between the worker and the code that carries a step out: what is committed around every outside call."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn, Protocol

from pipelines.graph.lock import Price
from pipelines.graph.model import Json
from pipelines.graph.tools import ToolSpec
from runs.boards import Made, Wanted
from runs.cache import Kept
from runs.engine.budget import Refusal
from runs.engine.decision import Start
from runs.engine.facts import StepError
from runs.talks import Summary, Turn

MODEL, TOOL = "model", "tool"
# In the answer of a model as the journal keeps it.
JUDGE = "judge"
STARTED, FINISHED, FAILED, LOST = "started", "finished", "failed", "lost"


class StepAborted(Exception):
    """What the step wants was refused (over budget, unknown price under a cap, a conflict on a shared board): nothing
    was sent or changed; the step fails with this."""

    def __init__(self, error: StepError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(frozen=True, slots=True)
class CallIntent:
    """One call about to be made; committed, with its reservation, before anything is sent.

    `n` is new for every call of the path, whatever the attempt. `idempotency_key` is run/path/n of the first sending
    of this same request, so that sending it again is recognised. `request_hash` covers everything sent, the model and
    the generation. `approval` is the approval this call consumes; None when sent again under the same key, because the
    first sending consumed it. `reserve_micros` is None when no price is known and 0 for tools. `max_tokens` is the
    input estimate plus the most the model may answer.
    """

    path: str
    attempt: int
    n: int
    kind: str
    name: str
    request: Json
    request_hash: str
    effect: str = "none"
    delivery: str = "idempotent"
    idempotency_key: str = ""
    approval: str | None = None
    reserve_micros: int | None = 0
    max_tokens: int = 0

    @property
    def key(self) -> str:
        return f"{self.path}@{self.attempt}/{self.n}"


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What became of a call. Exactly one of `response` and `error` is set.

    `lost` says that no answer came although the other side may have acted: the reservation stays, as unconfirmed, and
    the journal says "lost". Otherwise an error cost nothing unless `cost_micros` says so. `cost_micros` None: unknown.
    """

    response: Json
    error: StepError | None
    input_tokens: int | None
    output_tokens: int | None
    cost_micros: int | None
    attributes: Mapping[str, Json]
    started: datetime
    finished: datetime
    lost: bool = False

    @property
    def state(self) -> str:
        """Return the journal's word for this outcome."""
        return LOST if self.lost else FAILED if self.error else FINISHED


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """An earlier call of this path, from its row. `key` names the row (path@attempt/n)."""

    key: str
    n: int
    kind: str
    name: str
    state: str
    request_hash: str
    idempotency_key: str
    response: Json = None
    error: Json = None
    effect: str = "none"
    delivery: str = "idempotent"
    approval: str | None = None
    cost_micros: int | None = None
    reserved_micros: int = 0

    @property
    def most_micros(self) -> int:
        """Return what the call has cost, or may have: all that was reserved for it where no answer came."""
        return self.reserved_micros if self.state in (STARTED, LOST) else self.cost_micros or 0

    @property
    def judge(self) -> str | None:
        """Return the agent that was asked as a judge beside the step, "" for a call of the step's own, None when it is
        not known: calls that failed, and those of older versions, do not say."""
        return self.response.get(JUDGE) if isinstance(self.response, dict) else None


class StepContext(Protocol):
    """What the worker gives to one attempt. `journal` is in order of `n`; `tools`, `prices`, `windows` are the lock's.

    `origin` is the kept result that the step was given instead of being carried out.
    """

    run_id: str
    workspace_id: str
    pipeline_id: str
    rehearsal: bool
    start: Start
    journal: Sequence[JournalEntry]
    prices: Mapping[str, Price | None]
    windows: Mapping[str, int]
    tools: Mapping[str, ToolSpec]
    origin: Kept | None

    async def cached(self, key: str) -> Kept | None:
        """Return the result that was kept under a key in this workspace."""

    async def heard(self, trusts: dict[str, str]) -> Sequence[Turn]:
        """Return what earlier steps of the run were asked and answered; `trusts` says whose words each prompt is."""

    async def said(self, key: str) -> Sequence[Turn]:
        """Return what was said so far in a session of the workspace."""

    async def summaries(self, key: str) -> Sequence[Summary]:
        """Return what a talk of the workspace was summed up to so far, newest first."""

    def keep_summary(self, key: str, summary: Summary) -> None:
        """Keep a summary for later steps, with the next commit; it is kept once."""

    async def change_board(self, wanted: Wanted) -> Made | StepError:
        """Make a change of the board that the run shares, once however often it is asked for."""

    def stop_at(self, refusal: Refusal) -> NoReturn:
        """Raise StepAborted: a cap that the run does not know stands in the way of the next call."""

    async def begin(self, intent: CallIntent, prepare: Callable[[], None] | None = None) -> None:
        """Return once the intent and its reservation are committed; raise StepAborted when it must not be made.

        `prepare` is called, at most once, when the commit is under way, so that what need not wait for it does not.
        """

    def finish(self, intent: CallIntent, outcome: CallOutcome) -> None:
        """Hand the outcome over; it is committed before the step's result."""

    def now(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What a tool may know about the call it carries out. `timeout` is the seconds left of the attempt, `asked_at` the
    database's time when it began.

    `egress` are the only hosts it may reach; none listed: any that the operator allows.
    """

    run_id: str
    workspace_id: str
    idempotency_key: str
    timeout: float
    asked_at: datetime
    egress: tuple[str, ...] = ()
