"""A run on its pipeline's picture: one card per node, summed over items and rounds, and which edges were taken."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import lru_cache
from uuid import UUID

from pipelines.canvas import Picture, Placed, Route, picture
from pipelines.graph.byhand import pins_of
from pipelines.graph.model import Kind
from pipelines.graph.parse import parse
from pipelines.models import PipelineVersion
from pipelines.words import Look, look_of
from runs.crews import Crews, Working
from runs.engine.origin import document_at
from runs.engine.spread import ITEM
from runs.engine.status import StepState
from runs.models import Run, Step
from runs.tallies import Facts, Items, Rounds, Rows, Tallies, Tally
from runs.words import QUEUED, Badge, badge_of

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
KEPT_PICTURES = 64


@dataclass(frozen=True, slots=True)
class Card:
    """What one node shows. `step` is the most urgent of its steps; `done` and `total` count all of them.

    Inside a Repeat only the newest round is shown and counted; the cost is that of all rounds. `round` is the newest
    round of a Repeat, where only one is under way. `turn` is the newest turn of a Team or delegation of a Supervisor,
    whose cost is that of all that ran in it; `crew` are those who were asked. `sources` are the titles of what leads
    to a Combine, and who has come.
    """

    placed: Placed
    badge: Badge = QUEUED
    step: Step | None = None
    cost_micros: int | None = 0
    done: int = 0
    failed: int = 0
    total: int = 0
    round: int = 0
    turn: int = 0
    sources: tuple[tuple[str, bool], ...] = ()
    crew: tuple[Working, ...] = ()

    @property
    def count(self) -> str:
        """How far what has many parts is: items, rounds, turns, or who has come to a Combine; "" for one alone."""
        if self.total > 1:
            return f"{self.done} of {self.total} done{f' · {self.failed} failed' if self.failed else ''}"
        if self.round:
            return f"round {self.round} of {self.rounds}"
        arrived = sum(came for _, came in self.sources)
        if 0 < arrived < len(self.sources) or (self.sources and self.is_open):
            return f"{arrived} of {len(self.sources)} arrived"
        return self.turns

    @property
    def brief(self) -> str:
        """The same where there is little room."""
        return self.count.replace(" done", "")

    @property
    def missing(self) -> str:
        """Who has not come to a Combine of which somebody has heard: "Missing: Market, Tax"; "" elsewhere."""
        absent = [title for title, came in self.sources if not came]
        return f"Missing: {', '.join(absent)}" if absent and self.count.endswith("arrived") else ""

    @property
    def has_parts(self) -> bool:
        """Tell whether the step's drawer lists items, rounds or turns."""
        return self.placed.node.iterates and self.step is not None

    @property
    def mates(self) -> tuple[Working, ...]:
        """Its crew, also where nobody was asked yet."""
        return self.crew or tuple(Working(mate) for mate in self.placed.crew)

    @property
    def at_work(self) -> str:
        """Who of its crew is at work, by title; "" for nobody."""
        return ", ".join(one.mate.title for one in self.crew if one.at_work) if self.is_open else ""

    @property
    def is_open(self) -> bool:
        return self.step is not None and self.step.finished_at is None

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


def picture_of(run: Run) -> Picture:
    """Return the picture of the version this run is pinned to, its boxes where people put them; of an item of a For
    each, that of its own graph."""
    version = run.version
    return _drawn(_Pinned(version.pk, version.hash, run.origin.get("place", ""), version))


@dataclass(frozen=True, slots=True)
class _Pinned:
    """What a picture shows: a published version, which never changes, and the place of an item's graph in it."""

    version_id: UUID
    hash: str
    place: str
    version: PipelineVersion = field(compare=False, repr=False)


@lru_cache(maxsize=KEPT_PICTURES)
def _drawn(what: _Pinned) -> Picture:
    """Return the picture, parsed and laid out once: a page that is followed asks for it with every frame."""
    raw, place = what.version.document, what.place
    pins = {
        name.removeprefix(f"{place}."): point
        for name, point in pins_of(raw.get("ui")).items()
        if not place or name.startswith(f"{place}.")
    }
    return picture(document_at(parse(raw), place), what.version.lock, pins, with_crews=True)


def cards(run: Run, drawn: Picture, places: Set[str] | None = None) -> list[Card]:
    """Return a card per node, or per node of these places: they must include what those wanted are made from
    (`known_for`). Two queries, one more where there are turns, delegations, items or failed items."""
    return cards_of(Rows(run), drawn, places)


def cards_of(facts: Facts, drawn: Picture, places: Set[str] | None = None) -> list[Card]:
    """Return a card per node for what is known of a run's steps, as they stand now or stood once; `places` as above."""
    nodes = [placed for placed in drawn.nodes if places is None or placed.place in places]
    tallies: dict[str, list[Tally]] = {}
    rounds = Rounds()
    for row in facts.tallies():
        tallies.setdefault(row["place"], []).append(row)
        rounds.add(row["round"])
    shown = {place: rounds.shown(rows) for place, rows in tallies.items()}
    newest = {
        place: min(rows, key=lambda row: _URGENCY.index(row["state"]))["newest"]
        for place, rows in shown.items()
        if rows and (places is None or place in places)
    }
    crews = Crews(facts, nodes, shown, rounds)
    steps = facts.steps([*newest.values(), *crews.newest])
    plain = [
        _card(placed, tallies[placed.place], shown[placed.place], steps.get(newest.get(placed.place, 0)))
        if placed.place in tallies
        else Card(placed)
        for placed in nodes
    ]
    plain = [replace(card, round=rounds.newest_of(card.step.path) if card.step else 0) for card in plain]
    if any(_makes_steps(card) for card in plain):
        plain = _with_turns(facts, plain, tallies)
        plain = [replace(card, crew=crews.of(card.placed, steps)) if card.placed.is_crew else card for card in plain]
    items = Items.of(facts, rounds, drawn) if any(card.placed.node.kind == Kind.EACH for card in plain) else Items()
    spread = {place: rows for place, rows in tallies.items() if place not in drawn.by_place}
    held = [
        _with_contents(card, plain, items, spread.get(f"{card.placed.place}.{ITEM}", ()))
        if card.placed.is_group and card.step
        else card
        for card in plain
    ]
    return _with_arrivals(held, drawn)


def _with_arrivals(every: Sequence[Card], drawn: Picture) -> list[Card]:
    """Return the cards with who has come to each Combine, and who is still missing there."""
    steps = {card.placed.place: card.step for card in every}
    routes: dict[str, dict[str, bool]] = {}
    for route in drawn.routes:
        if drawn.by_place[route.target].node.kind == Kind.COMBINE:
            came = routes.setdefault(route.target, {})
            came[route.source] = came.get(route.source, False) or _is_taken(route, steps.get(route.source))
    return [
        replace(card, sources=tuple((drawn.by_place[name].title, came) for name, came in routes[place].items()))
        if (place := card.placed.place) in routes
        else card
        for card in every
    ]


def edge_states(drawn: Picture, shown: Sequence[Card]) -> dict[str, str]:
    """Return "ok" (taken), "live" (leads to work in progress) or "todo" by edge key."""
    return states_of(drawn.routes, shown)


def states_of(routes: Iterable[Route], shown: Sequence[Card]) -> dict[str, str]:
    """As `edge_states`, for some edges; `shown` holds the cards of both ends of each."""
    steps = {card.placed.place: card.step for card in shown}
    return {route.key: _edge_state(route, steps) for route in routes}


def routes_near(drawn: Picture, places: Set[str]) -> list[Route]:
    """Return those edges whose states may have changed with these places: the edges that touch one, lie inside it, or
    lead where one of its edges leads: a step there may have become ready, of which the log says nothing."""

    def touched(place: str) -> bool:
        return any(place.rsplit(".", depth)[0] in places for depth in range(place.count(".") + 1))

    reached = {route.target for route in drawn.routes if touched(route.source)}
    return [route for route in drawn.routes if route.target in reached or touched(route.target)]


def known_for(drawn: Picture, places: Set[str], routes: Sequence[Route]) -> set[str]:
    """Return the places whose cards say how the cards of these places and these edges look: what containers hold, what
    leads to a Combine, and both ends of each edge."""
    held = tuple(f"{place}." for place in places if drawn.by_place[place].is_group) if places else ()
    inside = {placed.place for placed in drawn.nodes if placed.place.startswith(held)} if held else set()
    ends = {end for route in routes for end in (route.source, route.target)}
    wanted = set(places) | inside
    return wanted | ends | {route.source for route in drawn.routes if route.target in wanted}


def _makes_steps(card: Card) -> bool:
    return card.placed.node.iterates and not card.placed.is_group


def _with_turns(facts: Facts, plain: Sequence[Card], tallies: Tallies) -> list[Card]:
    """Return the cards with the newest turn and the cost of what Teams and Supervisors have made."""
    newest = facts.turns()
    return [
        replace(card, turn=newest.get(card.step.path, 0), cost_micros=_cost_of_all(card, tallies))
        if card.step and _makes_steps(card)
        else card
        for card in plain
    ]


def _cost_of_all(card: Card, tallies: Tallies) -> int | None:
    """Return what a container's steps cost that have no card of their own; None where nobody knows any of it."""
    prefix = f"{card.placed.place}."
    rows = [row for place, found in tallies.items() if place.startswith(prefix) for row in found]
    cost = (card.cost_micros or 0) + sum(row["cost"] for row in rows)
    return None if not cost and any(row["unpriced"] for row in rows) else cost


def _with_contents(card: Card, every: Sequence[Card], items: Items, spread: Sequence[Tally]) -> Card:
    """Return a container's card with the cost of what it holds, and how many of its items are through.

    `spread` counts the items that run elsewhere.
    """
    prefix = f"{card.placed.place}."
    held = [one for one in every if one.placed.place.startswith(prefix)]
    cost = (card.cost_micros or 0) + sum(one.cost_micros or 0 for one in held)
    inner = [one for one in held if "." not in one.placed.place.removeprefix(prefix)]
    total, failed = items.given.get(card.placed.place, 0), items.failed.get(card.placed.place, 0)
    if spread:
        cost += sum(row["cost"] for row in spread)
        return replace(card, cost_micros=cost, done=_ended(spread), failed=_failed(spread), total=total)
    if not total or not inner:
        return replace(card, cost_micros=cost)
    return replace(card, cost_micros=cost, done=min(one.done for one in inner), failed=failed, total=total)


def _ended(rows: Sequence[Tally]) -> int:
    return sum(row["count"] for row in rows if StepState(row["state"]).is_terminal)


def _failed(rows: Sequence[Tally]) -> int:
    return sum(row["count"] for row in rows if row["state"] == StepState.FAILED)


def _card(placed: Placed, rows: Sequence[Tally], shown: Sequence[Tally], step: Step | None) -> Card:
    cost, unpriced = sum(row["cost"] for row in rows), sum(row["unpriced"] for row in rows)
    return Card(
        placed=placed,
        badge=badge_of(step) if step else QUEUED,
        step=step,
        cost_micros=None if unpriced and not cost else cost,
        done=_ended(shown),
        failed=_failed(shown),
        total=sum(row["count"] for row in shown),
    )


def _edge_state(route: Route, steps: Mapping[str, Step | None]) -> str:
    target = steps.get(route.target)
    if not _is_taken(route, steps.get(route.source)):
        return "todo"
    if target is not None and target.state in (StepState.RUNNING, StepState.RETRYING):
        return "live"
    return "ok" if target is not None and target.state not in (StepState.PENDING, StepState.SKIPPED) else "todo"


def _is_taken(route: Route, source: Step | None) -> bool:
    if source is None or source.state != StepState.SUCCEEDED:
        return False
    return not source.port or route.port in source.port.split(",")
