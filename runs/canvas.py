"""A run on its pipeline's picture: one card per node, summed over items and rounds, and which edges were taken."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Case, Count, F, Func, IntegerField, Max, Sum, TextField, Value, When
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Cast

from pipelines.canvas import Picture, Placed, Route, picture
from pipelines.graph.model import Kind
from pipelines.graph.parse import parse
from runs.engine.origin import document_at
from runs.engine.spread import ITEM
from runs.engine.status import StepState
from runs.models import Run, Step
from runs.words import QUEUED, Badge, Look, badge_of, look_of

_INSTANCE = r"\[\d+\]|[#~>@]\d+"
_LAST_TURN = r"[~>](\d+)\.[^.]*$"  # the number of the turn or delegation that a made step stands in
_AFTER_ROUND = r"\.[^#]*$"  # what follows the last round in a path
_URGENCY = [
    StepState.WAITING,
    StepState.RUNNING,
    StepState.RETRYING,
    StepState.FAILED,
    StepState.READY,
    StepState.PENDING,
    StepState.SUCCEEDED,
    StepState.CANCELLED,
    StepState.SKIPPED,
]
_CARD_CLASS = {"b-running": "running", "b-retry": "running", "b-wait": "wait", "b-failed": "bad"}
HEAVY = ("input", "output", "meta", "memo")


@dataclass(frozen=True, slots=True)
class Card:
    """What one node shows. `step` is the most urgent of its steps; `done` and `total` count all of them.

    Inside a Repeat only the newest round is shown and counted; the cost is that of all rounds. `round` is the newest
    round of a Repeat, where only one is under way. `turn` is the newest turn of a Team or delegation of a Supervisor,
    whose cost is that of all that ran in it.
    """

    placed: Placed
    badge: Badge = QUEUED
    step: Step | None = None
    cost_micros: int | None = 0
    done: int = 0
    total: int = 0
    round: int = 0
    turn: int = 0

    @property
    def turns(self) -> str:
        """How far a Team or a Supervisor is: "turn 4", or "4 turns" when it has ended; "" for any other step."""
        word = "turn" if self.placed.node.kind == Kind.TEAM else "delegation"
        if not self.turn or self.step is None:
            return ""
        ended = self.step.finished_at is not None
        return f"{self.turn} {word}{'' if self.turn == 1 else 's'}" if ended else f"{word} {self.turn}"

    @property
    def rounds(self) -> int:
        """How many rounds the node may run."""
        return int(self.placed.node.config["max_rounds"])

    @property
    def in_a_round(self) -> bool:
        """Tell whether the Repeat goes on, so that its head has room for the round alone."""
        return bool(self.round) and self.step is not None and self.step.finished_at is None

    @property
    def look(self) -> Look:
        return look_of(self.placed.node.kind)

    @property
    def css(self) -> str:
        """The class of the card's border."""
        if self.step is None or self.step.state in (StepState.PENDING, StepState.READY):
            return "queued"
        return _CARD_CLASS.get(self.badge.tone, "faded" if self.badge.segment == "off" else "")

    @property
    def origin(self) -> str | None:
        """The number of the run whose output the shown step reuses."""
        return getattr(self.step, "origin", None)

    @property
    def seconds(self) -> float | None:
        """How long the shown step took; None while it runs."""
        if self.step is None or self.step.started_at is None or self.step.finished_at is None:
            return None
        return (self.step.finished_at - self.step.started_at).total_seconds()


def place_of(path: str) -> str:
    """Return the node's place of a step's path: "research[3].draft" → "research.draft"."""
    return re.sub(_INSTANCE, "", path)


def picture_of(run: Run) -> Picture:
    """Return the picture of the version this run is pinned to; of an item of a For each, that of its own graph."""
    return picture(document_at(parse(run.version.document), run.origin.get("place", "")), run.version.lock)


def cards(run: Run, drawn: Picture) -> list[Card]:
    """Return a card per node. Two queries, however many items a node ran for."""
    tallies: dict[str, list[dict[str, Any]]] = {}
    rounds = Rounds()
    for row in _tallies(run):
        tallies.setdefault(row["place"], []).append(row)
        rounds.add(row["round"])
    shown = {place: rounds.shown(rows) for place, rows in tallies.items()}
    newest = {
        place: min(rows, key=lambda row: _URGENCY.index(row["state"]))["newest"]
        for place, rows in shown.items()
        if rows
    }
    origin = KeyTextTransform("number", KeyTransform("reused_from", "memo"))
    steps = Step.objects.defer(*HEAVY).annotate(origin=origin).in_bulk(list(newest.values()))
    plain = [
        _card(placed, tallies[placed.place], shown[placed.place], steps.get(newest.get(placed.place, 0)))
        if placed.place in tallies
        else Card(placed)
        for placed in drawn.nodes
    ]
    plain = [replace(card, round=rounds.newest_of(card.step.path) if card.step else 0) for card in plain]
    if any(_makes_steps(card) for card in plain):
        plain = _with_turns(run, plain, tallies)
    items = _items(run, rounds) if any(card.placed.node.kind == Kind.EACH for card in plain) else {}
    spread = {place: rows for place, rows in tallies.items() if place not in drawn.by_place}
    return [
        _with_contents(card, plain, items, spread.get(f"{card.placed.place}.{ITEM}", ()))
        if card.placed.is_group and card.step
        else card
        for card in plain
    ]


def edge_states(drawn: Picture, shown: Sequence[Card]) -> dict[str, str]:
    """Return "ok" (taken), "live" (leads to work in progress) or "todo" by edge key."""
    steps = {card.placed.place: card.step for card in shown}
    return {route.key: _edge_state(route, steps) for route in drawn.routes}


def _items(run: Run, rounds: "Rounds") -> dict[str, int]:
    """Return how many items each For each was given, by place."""
    length = Func(KeyTransform("over", "input"), function="jsonb_array_length", output_field=IntegerField())
    found: dict[str, int] = {}
    for path, count in Step.objects.filter(run=run, kind=Kind.EACH).values_list("path", length):
        if rounds.holds(path):
            found[place_of(path)] = found.get(place_of(path), 0) + (count or 0)
    return found


def _makes_steps(card: Card) -> bool:
    return card.placed.node.iterates and not card.placed.is_group


def _with_turns(run: Run, plain: Sequence[Card], tallies: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Card]:
    """Return the cards with the newest turn and the cost of what Teams and Supervisors have made. One query."""
    made = Step.objects.filter(run=run, path__regex=_LAST_TURN)
    number = Cast(Func(F("path"), Value(_LAST_TURN), function="substring"), IntegerField())
    rows = made.annotate(container=_replaced(_LAST_TURN, "", ""), number=number).order_by().values("container")
    newest = {row["container"]: row["newest"] for row in rows.annotate(newest=Max("number"))}
    return [
        replace(card, turn=newest.get(card.step.path, 0), cost_micros=_cost_of_all(card, tallies))
        if card.step and _makes_steps(card)
        else card
        for card in plain
    ]


def _cost_of_all(card: Card, tallies: Mapping[str, Sequence[Mapping[str, Any]]]) -> int | None:
    """Return what a container's steps cost that have no card of their own; None where nobody knows any of it."""
    prefix = f"{card.placed.place}."
    rows = [row for place, found in tallies.items() if place.startswith(prefix) for row in found]
    cost = (card.cost_micros or 0) + sum(row["cost"] for row in rows)
    return None if not cost and any(row["unpriced"] for row in rows) else cost


def _with_contents(
    card: Card, every: Sequence[Card], items: Mapping[str, int], spread: Sequence[Mapping[str, Any]]
) -> Card:
    """Return a container's card with the cost of what it holds, and how many of its items are through.

    `spread` counts the items that run elsewhere.
    """
    prefix = f"{card.placed.place}."
    held = [one for one in every if one.placed.place.startswith(prefix)]
    cost = (card.cost_micros or 0) + sum(one.cost_micros or 0 for one in held)
    inner = [one for one in held if "." not in one.placed.place.removeprefix(prefix)]
    total = items.get(card.placed.place, 0)
    if spread:
        done = sum(row["count"] for row in spread if StepState(row["state"]).is_terminal)
        return replace(card, cost_micros=cost + sum(row["cost"] for row in spread), done=done, total=total)
    if not total or not inner:
        return replace(card, cost_micros=cost)
    return replace(card, cost_micros=cost, done=min(one.done for one in inner), total=total)


def _tallies(run: Run) -> Iterable[dict[str, Any]]:
    """Return count, cost and newest id of the run's steps by place, round ("" outside of one) and state."""
    steps = Step.objects.filter(run=run)
    place = _replaced(_INSTANCE, "", "g")
    around = Case(
        When(path__contains="#", then=_replaced(_AFTER_ROUND, "", "")), default=Value(""), output_field=TextField()
    )
    rows = (
        steps.annotate(place=place, round=around)
        .order_by()
        .values("place", "round", "state")
        .annotate(count=Count("id"), cost=Sum("cost_micros"), unpriced=Sum("unpriced_calls"), newest=Max("id"))
    )
    return [dict(row) for row in rows]


class Rounds:
    """Which rounds of the run's Repeats there were, and which of each is the newest."""

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}

    def add(self, prefix: str) -> None:
        """Take note of a round by its prefix: "write#2"."""
        container, mark, number = prefix.rpartition("#")
        if mark:
            self._newest[container] = max(int(number), self._newest.get(container, 0))

    def newest_of(self, path: str) -> int:
        """Return the newest round of a Repeat, 0 for any other step."""
        return self._newest.get(path, 0)

    def shown(self, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the rows of steps that stand in no round but the newest of each Repeat around them."""
        return [row for row in rows if self.holds(row["round"])]

    def holds(self, path: str) -> bool:
        """Tell whether a path is in no round but the newest of each Repeat around it."""
        prefix = re.sub(_AFTER_ROUND, "", path)
        while "#" in prefix:
            container, _, number = prefix.rpartition("#")
            if int(number) != self._newest.get(container):
                return False
            prefix = re.sub(_AFTER_ROUND, "", container)
        return True


def _replaced(pattern: str, by: str, flags: str) -> Func:
    return Func(F("path"), Value(pattern), Value(by), Value(flags), function="regexp_replace", output_field=TextField())


def _card(
    placed: Placed, rows: Sequence[Mapping[str, Any]], shown: Sequence[Mapping[str, Any]], step: Step | None
) -> Card:
    cost, unpriced = sum(row["cost"] for row in rows), sum(row["unpriced"] for row in rows)
    return Card(
        placed=placed,
        badge=badge_of(step) if step else QUEUED,
        step=step,
        cost_micros=None if unpriced and not cost else cost,
        done=sum(row["count"] for row in shown if StepState(row["state"]).is_terminal),
        total=sum(row["count"] for row in shown),
    )


def _edge_state(route: Route, steps: Mapping[str, Step | None]) -> str:
    source, target = steps.get(route.source), steps.get(route.target)
    if source is None or source.state != StepState.SUCCEEDED:
        return "todo"
    if source.port and route.port not in source.port.split(","):
        return "todo"
    if target is not None and target.state in (StepState.RUNNING, StepState.RETRYING):
        return "live"
    return "ok" if target is not None and target.state not in (StepState.PENDING, StepState.SKIPPED) else "todo"
