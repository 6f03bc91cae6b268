"""One step as its drawer shows it: what it was given and came to, its attempts, its parts, and what may be done."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.urls import reverse

from accounts.access import Actor
from accounts.errors import NotFound
from pipelines.canvas import spoken
from pipelines.graph.model import Json, Kind
from pipelines.graph.places import LONGEST_PATH
from runs import artifacts, delegations, family, forks, health, live
from runs.attempts import Attempt, Compared, attempts_of, compared_of
from runs.engine import paths
from runs.engine.given import NOT_BY_HAND
from runs.engine.settling import CACHED
from runs.engine.status import RunState, StepState
from runs.engine.talk import words_of
from runs.inspection import StepRow, may_control, may_fork, run_of, step_row
from runs.lineage import Lineage, lineage
from runs.models import Call, Run, Span, Step
from runs.parts import Part, parts_of
from runs.remarks import remarks
from runs.sentences import FAILED, instance_of, waits_for
from runs.words import Badge, step_badge

MOST_TURNS = 500
CHILDREN = 20
SHOWN = 4_000
"""How many characters of a value too large for a row its step shows."""
GOES_ON = (RunState.RUNNING, RunState.WAITING, RunState.PAUSED)


@dataclass(frozen=True, slots=True)
class Made:
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
class Large:
    """The beginning of a value that is too large for a row, how many bytes it has, and where to get all of it."""

    text: str
    size: int
    url: str


@dataclass(frozen=True, slots=True)
class Stop:
    """What somebody may stop from a step's drawer: the step, or an item, round or turn around it."""

    path: str
    name: str
    asks: str


@dataclass(frozen=True, slots=True)
class StepView:
    run: Run
    row: StepRow
    calls: Sequence[Made]
    model: str
    input_tokens: int
    output_tokens: int
    prompt: str
    savings: forks.Savings | None
    may_edit: bool
    turns: Sequence[Turn] = ()
    work: delegations.Work = delegations.NO_WORK
    children: Sequence[health.Progress] = ()
    large: Mapping[str, Large] = field(default_factory=dict)
    stops: Sequence[Stop] = ()
    attempts: Sequence[Attempt] = ()
    compared: Compared | None = None
    lineage: Lineage | None = None
    parts: Sequence[Part] = ()

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
        found = step.meta.get(CACHED) if CACHED in step.flags and isinstance(step.meta, dict) else None
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


def step_view(actor: Actor, run_id: UUID, path: str, options: Mapping[str, str] = MappingProxyType({})) -> StepView:
    """Return one step with its calls; raise NotFound for an unknown path. Seven queries, one more for a
    container and for each large value; `options` ask for its lineage ("from") and which attempts are compared."""
    run = run_of(actor, run_id)
    step = Step.objects.filter(run=run, path=path[:LONGEST_PATH]).first() if "\0" not in path else None
    if step is None:
        raise NotFound
    calls = list(Call.objects.filter(run=run, path=path).order_by("id")[:100])
    spans = list(Span.objects.filter(run=run, path=path, model__isnull=False))
    may = may_fork(actor, run) and forks.can_begin_at(path)
    tries = attempts_of(run, path)
    wanted = live.seq_of(options.get("first")), live.seq_of(options.get("second"))
    return StepView(
        run=run,
        row=step_row(step),
        calls=[_attempt(call) for call in calls],
        model=", ".join(dict.fromkeys(span.model or "" for span in spans)),
        input_tokens=sum(span.input_tokens or 0 for span in spans),
        output_tokens=sum(span.output_tokens or 0 for span in spans),
        prompt=_prompt(step.input),
        savings=forks.savings(run, path) if may else None,
        may_edit=may and step.kind not in NOT_BY_HAND,
        turns=_turns(run, step),
        work=delegations.work_of(run, step),
        children=health.progress(family.started_by(actor, run, [path])[:CHILDREN]) if run.children else (),
        attempts=tries,
        compared=compared_of(tries, wanted),
        lineage=lineage(actor, run, path) if "from" in options else None,
        parts=parts_of(run, step),
        stops=_stops(run, step) if may_control(actor, run) else (),
        large={name: _large(run, found) for name, found in (step.large or {}).items()},
    )


def _stops(run: Run, step: Step) -> list[Stop]:
    """Return what there is to stop: an unfinished step, and what it runs in, innermost first."""
    if run.state not in GOES_ON or StepState(step.state).is_terminal:
        return []
    title = step.title or spoken(step.node)
    found = [
        Stop(step.path, "this step", f"Stop “{title}”? What comes after it is skipped; the rest of the run goes on.")
    ]
    for prefix in paths.scopes_of(step.path):
        name = instance_of(prefix).rpartition(", ")[2]
        asks = f"Stop {name} of “{spoken(paths.node_of(paths.container_of(prefix)))}”? It counts as failed there."
        found.append(Stop(prefix.removesuffix("."), name, asks))
    return found


def _large(run: Run, reference: Mapping[str, Any]) -> Large:
    url = reverse("api:artifact", args=[run.pk, reference["hash"]])
    text = artifacts.beginning(run.pk, reference["hash"], SHOWN)
    return Large(text, reference["size"], f"{url}?form=text")


def _turns(run: Run, step: Step) -> list[Turn]:
    """Return what was said in a Team so far, in order; nothing of any other step."""
    if step.kind != Kind.TEAM:
        return []
    inside = Step.objects.filter(run=run, path__startswith=f"{step.path}~").defer("input", "meta", "memo")
    made = [one for one in inside.order_by("position", "id")[:MOST_TURNS] if _is_directly_in(one.path, step.path)]
    return [Turn(step_row(one), _said(one.output)) for one in made]


def _is_directly_in(path: str, container: str) -> bool:
    return next(paths.containers_of(path), None) == container


def _said(output: Json) -> str:
    """Return what a member said, or whom somebody chose and why."""
    if isinstance(output, dict) and isinstance(output.get("reason"), str):
        chosen = output.get("next")
        return f"{chosen}: {output['reason']}" if chosen and not output.get("done") else str(output["reason"])
    return words_of(output)


def _moment(iso: str) -> str:
    return f"{dt.datetime.fromisoformat(iso).astimezone(dt.UTC):%d %B %Y, %H:%M:%S} UTC"


def _attempt(call: Call) -> Made:
    state = {"started": "running", "finished": "succeeded"}.get(call.state, "failed")
    took = (call.finished_at - call.started_at).total_seconds() if call.finished_at else None
    return Made(call, step_badge(state), took)


def _prompt(given: Json) -> str:
    return str(given.get("prompt", "")) if isinstance(given, dict) else ""
