"""One moment of a run: its cards, edges, counts and costs as they stood after one of its events.

Everything comes from the log (`runs.engine.past`); the rows say only what never changes of a step. After the last event
it is the run as it is.
"""

import copy
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import BigIntegerField
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Cast

from pipelines.canvas import Picture
from runs import canvas, health
from runs.canvas import Card
from runs.engine.forking import REOPENED, REUSED
from runs.engine.past import TYPES, Logged, Past, StepThen, fold
from runs.engine.status import StepState
from runs.models import Event, Run, Step, Totals
from runs.sentences import sentence
from runs.tallies import ORIGIN, Then
from runs.words import step_title

_SHOWN = ("path", "node", "kind", "title", "position", "state", "attempt", "flags", "port", "started_at", "finished_at")
_THEN = ("state", "wait_reason", "attempt", "flags", "port", "error", "started_at", "finished_at", "unpriced_calls")


@dataclass(frozen=True, slots=True)
class Moment:
    """The run after the event `seq` of `last`. `run` is a copy that says what was known then; it is never saved."""

    seq: int
    last: int
    at: dt.datetime
    words: str
    run: Run
    progress: health.Progress
    elapsed: float | None
    cards: Sequence[Card]
    edges: Mapping[str, str]

    @property
    def before(self) -> int:
        return max(self.seq - 1, 1)

    @property
    def after(self) -> int:
        return min(self.seq + 1, self.last)

    @property
    def is_now(self) -> bool:
        return self.seq >= self.last


def moment(run: Run, drawn: Picture, seq: int) -> Moment:
    """Return the run as it stood after an event; the nearest there is, where it has no such event."""
    seq = max(1, min(seq, run.seq))
    event = Event.objects.filter(run=run, seq=seq).first()
    at = event.at if event else run.created_at
    words = _words(run, event) if event else ""
    if seq >= run.seq:
        cards, then, progress = canvas.cards(run, drawn), run, health.one(run)
    else:
        past = fold_of(run, seq)
        steps = list(steps_of(run, past))
        given = {path: step.items for path, step in past.steps.items() if step.items is not None}
        cards = canvas.cards_of(Then(steps, given), drawn)
        then = _run(run, past, steps)
        progress = health.progress_of(then, sorted(steps, key=lambda step: (step.position, step.pk)))
    edges = canvas.edge_states(drawn, cards)
    return Moment(seq, run.seq, at, words, then, progress, _elapsed(then, at), cards, edges)


def differing(before: Sequence[Card], after: Sequence[Card]) -> list[Card]:
    """Return the cards of one moment that do not look the same in another."""
    looks = {card.placed.place: _look(card) for card in before}
    return [card for card in after if looks.get(card.placed.place) != _look(card)]


def _look(card: Card) -> tuple[Any, ...]:
    path = card.step.path if card.step else ""
    crew = tuple(one.look for one in card.crew)
    said = card.cost_micros, card.count, card.missing, card.seconds, card.origin, card.total
    return path, card.badge, card.css, *said, crew


def fold_of(run: Run, seq: int) -> Past:
    rows = Event.objects.filter(run=run, seq__lte=seq, type__in=TYPES).order_by("seq")
    values = rows.values_list("seq", "type", "path", "at", "payload").iterator(chunk_size=2_000)
    return fold((Logged(*row) for row in values), _begun(run))


def _begun(run: Run) -> dict[str, StepThen]:
    """Return what a fork began with: steps that it took over as they had ended, and containers it had opened again."""
    if run.forked_from_id is None:
        return {}
    found: dict[str, StepThen] = {}
    over = KeyTransform("over", "input")
    kept = Step.objects.filter(run=run).annotate(opened=KeyTransform(REOPENED, "memo"), over=over)
    for step in kept.only(*_SHOWN):
        if REUSED in step.flags:
            then = StepThen(StepState(step.state), attempt=step.attempt, flags=list(step.flags), port=step.port)
            then.started_at, then.finished_at = step.started_at, step.finished_at
            found[step.path] = then
        elif step.opened:
            items = len(step.over) if isinstance(step.over, list) else None
            found[step.path] = StepThen(StepState.RUNNING, attempt=1, started_at=step.started_at, items=items)
    return found


def steps_of(run: Run, past: Past) -> Iterator[Step]:
    """Yield the steps as they stood. What their runs had cost is known when they end, not while they go on."""
    spent = KeyTransform("spent", KeyTransform("children", "memo"))
    by_children = Cast(KeyTextTransform("paid", spent), BigIntegerField())
    rows = Step.objects.filter(run=run).annotate(origin=ORIGIN, by_children=by_children)
    for row in rows.only("run_id", "path", "node", "kind", "title", "position"):
        then = past.steps.get(row.path)
        if then is not None:
            ended = (then.state.is_terminal and row.by_children) or 0
            fields = {name: getattr(then, name) for name in _THEN}
            step = Step(id=row.pk, run_id=row.run_id, path=row.path, node=row.node, kind=row.kind, **fields)
            step.title, step.position, step.cost_micros = row.title, row.position, then.cost_micros + ended
            step.origin = row.origin  # type: ignore[attr-defined]  # as the query of the rows sets it
            yield step


def _run(run: Run, past: Past, steps: Sequence[Step]) -> Run:
    """Return a copy of the run with its state and its money of then."""
    then = copy.copy(run)
    then.state, then.reason, then.error = past.state, past.reason, past.error
    if past.at is None or run.started_at is None or run.started_at > past.at:
        then.started_at = None
    then.finished_at = None
    then.cost_micros = sum(step.cost_micros for step in steps)
    then.reserved_micros, then.unconfirmed_micros = past.reserved_micros, past.unconfirmed_micros
    then.unpriced_calls = sum(step.unpriced_calls for step in steps)
    then.totals = Totals(then.cost_micros, then.reserved_micros, then.unconfirmed_micros, then.unpriced_calls)
    return then


def _elapsed(run: Run, at: dt.datetime) -> float | None:
    if run.started_at is None:
        return None
    return max(((run.finished_at or at) - run.started_at).total_seconds(), 0.0)


def _words(run: Run, event: Event) -> str:
    found = Step.objects.filter(run=run, path=event.path).only("path", "title", "node").first() if event.path else None
    return sentence(event.type, step_title(found) if found else event.path or "", event.payload)
