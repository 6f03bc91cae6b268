"""One run as its page shows it, tab by tab, and one step as its drawer shows it."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.urls import reverse
from django.utils import timezone

from accounts.access import Actor, Capability, get
from accounts.errors import NotFound
from pipelines.canvas import Picture, spoken
from pipelines.graph.model import Json, Kind
from runs import canvas, delegations, family, forks, health, live, receipt
from runs.canvas import HEAVY, Card
from runs.engine import paths
from runs.engine.given import NOT_BY_HAND
from runs.engine.status import RunState
from runs.engine.talk import words_of
from runs.models import Call, Event, Run, Span, Step
from runs.receipt import Receipt
from runs.remarks import remarks
from runs.sentences import FAILED, instance_of, sentence, waits_for
from runs.snapshot import one_snapshot
from runs.timeline import Waterfall, waterfall
from runs.words import Badge, Look, badge_of, look_of, step_badge

LOG_LINES = 200
STEP_ROWS = 500
MOST_TURNS = 500
CHILDREN = 20
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

    @property
    def ended(self) -> bool:
        return RunState(self.run.state).is_terminal

    @property
    def title(self) -> str:
        """What this run is about: the first short text its form asks for, else the pipeline's name."""
        required = (self.run.version.document.get("inputs") or {}).get("required")
        return health.about(self.run.input, required) or self.run.pipeline.name


@dataclass(frozen=True, slots=True)
class Attempt:
    """One model or tool call of a step, as the journal has it."""

    call: Call
    badge: Badge
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Turn:
    """One step that a Team or a Supervisor made, and the words of what it came to."""

    row: StepRow
    words: str


@dataclass(frozen=True, slots=True)
class StepView:
    run: Run
    row: StepRow
    calls: Sequence[Attempt]
    model: str
    input_tokens: int
    output_tokens: int
    prompt: str
    savings: forks.Savings | None
    may_edit: bool
    turns: Sequence[Turn] = ()
    work: delegations.Work = delegations.NO_WORK
    children: Sequence[health.Progress] = ()

    @property
    def reused_from(self) -> Mapping[str, Json]:
        """The run whose output this step reuses: {run, number, cost_micros}; empty where it ran itself."""
        memo = self.row.step.memo
        return (memo or {}).get("reused_from") or {}

    @property
    def cost_micros(self) -> int | None:
        """What the step cost, with all that it made; None where nobody knows any of it."""
        rows = (self.row, *(turn.row for turn in self.turns))
        known = sum(row.cost_micros or 0 for row in rows)
        return None if not known and any(row.cost_micros is None for row in rows) else known

    @property
    def waits_for(self) -> str:
        """What the step waits for, in words; "" when it does not wait."""
        step = self.row.step
        if step.wait_reason is None:
            return ""
        given = step.input if isinstance(step.input, dict) else {}
        lock = (step.memo or {}).get("lock") or {}
        told = {"reason": step.wait_reason, "events": given.get("events"), "lock": lock.get("name")}
        until = given.get("until") if step.wait_reason in ("event", "timer") else None
        return f"{waits_for(told)}{f', at the latest until {_moment(until)}' if until else ''}"

    @property
    def origin(self) -> str:
        """The address of the step whose kept result this one was given; "" when it was carried out itself."""
        step = self.row.step
        found = step.meta.get("cached") if "cached" in step.flags and isinstance(step.meta, dict) else None
        if not found:
            return ""
        return f"{reverse('run-step', args=[found['run']])}?{urlencode({'path': found['path']})}"

    @property
    def remarks(self) -> Sequence[str]:
        """What is worth saying about how the step came to its output."""
        return remarks(self.row.step.meta)

    @property
    def failed_how(self) -> str:
        """The class of the step's error as the start of a sentence."""
        error = self.row.step.error
        return FAILED.get(str(error.get("class")), "It failed.") if isinstance(error, dict) else ""


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
    return actor.can(Capability.RUN) and run.pipeline.archived_at is None and not forks.is_item(run)


def elapsed(run: Run) -> float | None:
    """Return the seconds since the run started, or how long it took."""
    if run.started_at is None:
        return None
    return ((run.finished_at or timezone.now()) - run.started_at).total_seconds()


def step_rows(steps: Sequence[Step]) -> list[StepRow]:
    """Return steps as rows of the list."""
    return [_row(step) for step in steps]


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


def step_title(step: Step) -> str:
    """Return a step's title, with the item and round it belongs to."""
    title, instance = step.title or spoken(step.node), instance_of(step.path)
    return f"{title}, {instance}" if instance else title


def step_view(actor: Actor, run_id: UUID, path: str) -> StepView:
    """Return one step with its calls; raise NotFound for an unknown path. Five queries, six for a Team."""
    run = run_of(actor, run_id)
    step = Step.objects.filter(run=run, path=path[:400]).first() if "\0" not in path else None
    if step is None:
        raise NotFound
    calls = list(Call.objects.filter(run=run, path=path).order_by("id")[:100])
    spans = list(Span.objects.filter(run=run, path=path, model__isnull=False))
    may = may_fork(actor, run) and forks.can_begin_at(path)
    return StepView(
        run=run,
        row=_row(step),
        calls=[_attempt(call) for call in calls],
        model=", ".join(dict.fromkeys(span.model or "" for span in spans)),
        input_tokens=sum(span.input_tokens or 0 for span in spans),
        output_tokens=sum(span.output_tokens or 0 for span in spans),
        prompt=_prompt(step.input),
        savings=forks.savings(run, path) if may else None,
        may_edit=may and step.kind not in NOT_BY_HAND,
        turns=_turns(run, step),
        work=delegations.work_of(run, step),
        children=health.progress(family.started_by(run, path)[:CHILDREN]) if run.children else (),
    )


def _turns(run: Run, step: Step) -> list[Turn]:
    """Return what was said in a Team so far, in order; nothing of any other step."""
    if step.kind != Kind.TEAM:
        return []
    inside = Step.objects.filter(run=run, path__startswith=f"{step.path}~").defer("input", "meta", "memo")
    made = [one for one in inside.order_by("position", "id")[:MOST_TURNS] if _is_directly_in(one.path, step.path)]
    return [Turn(_row(one), _said(one.output)) for one in made]


def _is_directly_in(path: str, container: str) -> bool:
    return next(paths.containers_of(path), None) == container


def _said(output: Json) -> str:
    """Return what a member said, or whom somebody chose and why."""
    if isinstance(output, dict) and isinstance(output.get("reason"), str):
        chosen = output.get("next")
        return f"{chosen}: {output['reason']}" if chosen and not output.get("done") else str(output["reason"])
    return words_of(output)


def run_of(actor: Actor, run_id: UUID) -> Run:
    """Return a run with what its pages name; raise NotFound where it is not this workspace's."""
    return get(Run.objects.select_related(*NAMED), actor, pk=run_id)


def _canvas(run: Run, options: Mapping[str, str]) -> dict[str, Any]:
    drawn = canvas.picture_of(run)
    cards = canvas.cards(run, drawn)
    return {"picture": drawn, "cards": cards, "edges": canvas.edge_states(drawn, cards)}


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


def _row(step: Step) -> StepRow:
    ended = step.finished_at
    seconds = (ended - step.started_at).total_seconds() if ended and step.started_at else None
    badge = badge_of(step)
    depth = min(step.path.count(".") + step.path.count("/"), 5)
    return StepRow(step, badge, look_of(step.kind), depth, seconds)


def _moment(iso: str) -> str:
    return f"{dt.datetime.fromisoformat(iso).astimezone(dt.UTC):%d %B %Y, %H:%M:%S} UTC"


def _attempt(call: Call) -> Attempt:
    state = {"started": "running", "finished": "succeeded"}.get(call.state, "failed")
    took = (call.finished_at - call.started_at).total_seconds() if call.finished_at else None
    return Attempt(call, step_badge(state), took)


def _prompt(given: Json) -> str:
    return str(given.get("prompt", "")) if isinstance(given, dict) else ""
