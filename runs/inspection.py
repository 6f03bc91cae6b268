"""One run as its page shows it, tab by tab."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.utils import timezone

from accounts.access import Actor, Capability, get, may
from pipelines.canvas import Picture
from pipelines.words import Look, look_of
from runs import artifacts, canvas, forks, health, live, receipt, replay
from runs.canvas import Card
from runs.engine.status import RunState
from runs.models import Event, Run, Step
from runs.receipt import Receipt
from runs.sentences import sentence
from runs.snapshot import one_snapshot
from runs.tallies import HEAVY
from runs.timeline import Waterfall, waterfall
from runs.words import Badge, badge_of, step_title

LOG_LINES = 200
STEP_ROWS = 500
NAMED = ("pipeline", "version", "started_by", "forked_from", "parent")


@dataclass(frozen=True, slots=True)
class StepRow:
    step: Step
    badge: Badge
    look: Look
    depth: int
    seconds: float | None

    @property
    def title(self) -> str:
        return step_title(self.step)

    @property
    def cost_micros(self) -> int | None:
        return None if self.step.unpriced_calls and not self.step.cost_micros else self.step.cost_micros

    @property
    def sort_key(self) -> str:
        return f"{self.step.position:06d}-{self.step.pk:012d}"


@dataclass(frozen=True, slots=True)
class LogLine:
    event: Event
    words: str


@dataclass(frozen=True, slots=True)
class RunView:
    """`seq` was read in the same snapshot as the rest: what the page follows from. Only the open tab is filled."""

    run: Run
    tab: str
    seq: int
    progress: health.Progress
    may_control: bool
    may_fork: bool
    elapsed: float | None
    picture: Picture | None = None
    cards: Sequence[Card] = ()
    edges: Mapping[str, str] = field(default_factory=dict)
    rows: Sequence[StepRow] = ()
    log: Sequence[LogLine] = ()
    timeline: Waterfall | None = None
    with_waiting: bool = True
    older: int | None = None
    receipt: Receipt | None = None
    moment: replay.Moment | None = None

    @property
    def past(self) -> bool:
        """Tell whether the page shows a moment before the newest event."""
        return self.moment is not None and not self.moment.is_now

    @property
    def ended(self) -> bool:
        return RunState(self.run.state).is_terminal

    @property
    def title(self) -> str:
        """What this run is about: the first short text its form asks for, else the pipeline's name."""
        required = (self.run.version.document.get("inputs") or {}).get("required")
        return health.about(artifacts.glimpse_of_input(self.run), required) or self.run.pipeline.name


def run_view(actor: Actor, run_id: UUID, tab: str, options: Mapping[str, str]) -> RunView:
    """Return what one tab of the run's page shows; raise NotFound where it is not this workspace's."""
    with one_snapshot():
        run = run_of(actor, run_id)
        fill = {"canvas": _canvas, "timeline": _timeline, "steps": _steps, "log": _log}[tab]
        return RunView(
            run=run,
            tab=tab,
            seq=run.seq,
            progress=health.one(run),
            may_control=may_control(actor, run),
            may_fork=may_fork(actor, run),
            elapsed=elapsed(run),
            receipt=receipt_of(run),
            **fill(run, options),
        )


def receipt_of(run: Run) -> Receipt | None:
    """Return the receipt of a run that a cap has stopped, None for any other."""
    stopped = isinstance(run.error, dict) and run.error.get("class") == "budget"
    return receipt.of(run) if stopped else None


def may_control(actor: Actor, run: Run) -> bool:
    """Tell whether this person may stop, pause and resume the run."""
    mine = run.started_by_id == actor.user.pk and actor.can(Capability.RUN)
    return mine or actor.can(Capability.CANCEL_ANY)


def may_fork(actor: Actor, run: Run) -> bool:
    if forks.is_item(run) or run.content_removed_at is not None:
        return False
    return may(actor, Capability.RUN, run.pipeline) and run.pipeline.archived_at is None


def elapsed(run: Run) -> float | None:
    """Return the seconds since the run started, or how long it took."""
    if run.started_at is None:
        return None
    return ((run.finished_at or timezone.now()) - run.started_at).total_seconds()


def step_rows(steps: Sequence[Step]) -> list[StepRow]:
    """Return steps as rows of the list."""
    return [step_row(step) for step in steps]


def events(run: Run, after: int, until: int) -> list[Event]:
    """Return the newest events after one seq up to another, at most a page of the log."""
    found = Event.objects.filter(run=run, seq__gt=after, seq__lte=until).order_by("-seq")
    return list(found[:LOG_LINES])


def log_lines(run: Run, events: Sequence[Event]) -> list[LogLine]:
    """Return events as sentences that name steps by their titles. One query."""
    paths = {event.path for event in events if event.path}
    rows = Step.objects.filter(run=run, path__in=paths).only("path", "title", "node")
    names = {step.path: step_title(step) for step in rows}
    return [
        LogLine(event, sentence(event.type, names.get(event.path or "", event.path or ""), event.payload))
        for event in events
    ]


def run_of(actor: Actor, run_id: UUID) -> Run:
    """Return a run with what its pages name; raise NotFound where it is not this workspace's."""
    return get(Run.objects.select_related(*NAMED), actor, pk=run_id)


def _canvas(run: Run, options: Mapping[str, str]) -> dict[str, Any]:
    drawn = canvas.picture_of(run)
    if not run.seq:
        cards = canvas.cards(run, drawn)
        return {"picture": drawn, "cards": cards, "edges": canvas.edge_states(drawn, cards)}
    found = replay.moment(run, drawn, live.seq_of(options.get("at")) or run.seq)
    return {"picture": drawn, "cards": found.cards, "edges": found.edges, "moment": found}


def _timeline(run: Run, options: Mapping[str, str]) -> dict[str, Any]:
    with_waiting = options.get("waiting") != "0"
    return {"timeline": waterfall(run, with_waiting=with_waiting), "with_waiting": with_waiting}


def _steps(run: Run, options: Mapping[str, str]) -> dict[str, Any]:
    steps = Step.objects.filter(run=run).defer(*HEAVY).order_by("position", "id")[:STEP_ROWS]
    return {"rows": step_rows(list(steps))}


def _log(run: Run, options: Mapping[str, str]) -> dict[str, Any]:
    before = live.seq_of(options.get("before")) or run.seq + 1
    events = list(Event.objects.filter(run=run, seq__lt=before).order_by("-seq")[:LOG_LINES])
    older = events[-1].seq if events and events[-1].seq > 1 else None
    return {"log": log_lines(run, events), "older": older}


def step_row(step: Step) -> StepRow:
    ended = step.finished_at
    seconds = (ended - step.started_at).total_seconds() if ended and step.started_at else None
    badge = badge_of(step)
    depth = min(step.path.count(".") + step.path.count("/"), 5)
    return StepRow(step, badge, look_of(step.kind), depth, seconds)
