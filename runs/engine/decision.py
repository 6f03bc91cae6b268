"""What the engine decided: events to log, steps that changed, work to start and to stop. Nothing here acts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pipelines.graph.lock import AgentSpec, PipelineSpec
from pipelines.graph.model import Budget, Json, Node
from pipelines.graph.tools import ToolSpec
from runs.engine.facts import Answered, CancelRequested, PauseRequested, ResumeRequested
from runs.engine.origin import Origin
from runs.engine.status import RunState, StepState


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the run's log; the store gives it the next seq and the time of the decision."""

    type: str
    path: str | None = None
    payload: Mapping[str, Json] = field(default_factory=dict)


@dataclass(slots=True)
class StepRecord:
    """A step as it is now; the row in `runs_step` is this, field for field. Mutable: only the engine writes it.

    `memo` is the engine's own memory (retry count, repair count, fallback index, due time, grants, item index …), all
    JSON, so that `restore` rebuilds the state from rows alone.
    """

    path: str
    node: str
    kind: str
    title: str = ""
    state: StepState = StepState.PENDING
    wait_reason: str | None = None
    attempt: int = 0
    flags: list[str] = field(default_factory=list)
    ports: tuple[str, ...] = ()
    input: Json = None
    output: Json = None
    meta: Json = None
    error: Json = None
    memo: dict[str, Json] = field(default_factory=dict)
    position: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """One attempt to carry out: everything the executor may use, already rendered.

    `input` is {"prompt": …} for an agent, {"args": {…}} for a tool, {"value": …, "routes": […]} for an AI router.
    `model` overrides the agent's model (a fallback). `repair` is {"output", "findings", "instruction"} of the attempt
    before. `grants` maps the digest of an approved payload to its approval's id, `edits` the digest of a payload as
    first asked to the payload approved in its stead, and `denials` to the reviewer's reason. `generation` rises when a
    person orders a retry and with every repair, and never falls, so that the journal's earlier answers are not used
    again. `outcomes` maps a lost call's key to {"decision": "use" | "retry", "output"}. `trust` labels the input's
    values by JSON pointer. `timeout` is seconds for this attempt, `seconds_left` those of `total_timeout` (None: no
    limit). `cache_words` is what the author adds to the key of the step's result. `judges` are the agents of its
    rubrics, by the names there. `marked` says that the prompt itself marks what in it is untrusted. `pipelines` are
    those its agent may start, by the names among its tools, and `answers` what those it did start came to: {"output"}
    or {"error"} by the wish's `call`. `unasked` says that a person should have approved its call and nobody
    was asked, so that it is only pretended, whatever it does. `judging`: what is carried out is the judgement on the
    step's output, which is its `input["value"]`, by `input["rubrics"]`.
    """

    path: str
    attempt: int
    node: Node
    input: Json
    timeout: float
    agent: AgentSpec | None = None
    tool: ToolSpec | None = None
    model: str | None = None
    repair: Json = None
    grants: Mapping[str, str] = field(default_factory=dict)
    edits: Mapping[str, Json] = field(default_factory=dict)
    denials: Mapping[str, str] = field(default_factory=dict)
    outcomes: Mapping[str, Json] = field(default_factory=dict)
    trust: Mapping[str, str] = field(default_factory=dict)
    generation: int = 0
    seconds_left: float | None = None
    cache_words: Json = None
    judges: Mapping[str, AgentSpec] = field(default_factory=dict)
    marked: bool = False
    pipelines: Mapping[str, PipelineSpec] = field(default_factory=dict)
    answers: Mapping[str, Json] = field(default_factory=dict)
    unasked: bool = False
    judging: bool = False


@dataclass(frozen=True, slots=True)
class ChildStart:
    """A child run to create with the decision. `id` follows from the run, the path and `number`.

    `version` is the id of the pinned version's row and `pipeline` that of its pipeline; "" is the run's own.
    """

    id: str
    path: str
    number: int
    pipeline: str
    version: str
    input: Json
    budget: Budget
    origin: Origin
    detached: bool = False


@dataclass(frozen=True, slots=True)
class Tell:
    """A fact for a child run, to be left in its inbox with the decision."""

    child: str
    fact: CancelRequested | PauseRequested | ResumeRequested | Answered


@dataclass(frozen=True, slots=True)
class AskAbove:
    """A question to the run that started this one: for more of a cap, `short` in the unit of `what`."""

    request: str
    what: str
    short: int


@dataclass(slots=True)
class Decision:
    """The answer to some facts. `changed` are paths whose StepRecord must be written; `run` is the run's new state.

    `children` are runs to create, `tells` what their inboxes get after that, `asks` what the parent's gets.

    `wake_at` is when the next timer is due (None: no timer). `idle` is true when nothing runs and nothing can start
    without a fact from outside or a timer: the run may be parked.
    """

    run: RunState
    events: list[Event] = field(default_factory=list)
    changed: dict[str, StepRecord] = field(default_factory=dict)
    starts: list[Start] = field(default_factory=list)
    cancels: list[str] = field(default_factory=list)
    children: list[ChildStart] = field(default_factory=list)
    tells: list[Tell] = field(default_factory=list)
    asks: list[AskAbove] = field(default_factory=list)
    wake_at: datetime | None = None
    idle: bool = False

    @property
    def ends(self) -> bool:
        """Tell whether the run ends with it."""
        return self.run.is_terminal and any(event.type == "run_finished" for event in self.events)
