"""What the page of a draft shows: its boxes with their ports, what is wrong with it, what the reader can take back."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from accounts.access import Actor, Capability, get, may
from pipelines import canvas, readings
from pipelines.editor import history, outline
from pipelines.editor.areas import drawn_behind
from pipelines.editor.fixes import Fix, fix_of
from pipelines.graph import validate
from pipelines.graph.crew import listed_at
from pipelines.graph.geometry import port_offset
from pipelines.graph.lock import Library, resolve
from pipelines.graph.model import Document, Json, Kind, Node
from pipelines.graph.problems import Problem
from pipelines.graph.safe import SKIP, zones
from pipelines.library.library import library_of
from pipelines.models import Draft, Pipeline

TEXT, DATA, CHOICE = "text", "data", "choice"
_PORT_WORDS = {"done": "", "error": "if it fails"}


@dataclass(frozen=True, slots=True)
class Port:
    """A spot on the lower border that arrows leave from; `shape` is the type of what comes out."""

    name: str
    word: str
    offset: int
    shape: str


@dataclass(frozen=True, slots=True)
class Card:
    """One box. `safe` says that its failure would be left out by a Combine; `gives` is what comes out, in a word."""

    placed: canvas.Placed
    ports: tuple[Port, ...]
    gives: str
    safe: bool = False

    @property
    def place(self) -> str:
        return self.placed.place

    @property
    def shape(self) -> object:
        """Return what is drawn around its words."""
        return self.ports, self.gives, self.safe


@dataclass(frozen=True)
class Editor:
    """One draft as its page shows it."""

    pipeline: Pipeline
    draft: Draft
    document: Document
    picture: canvas.Picture
    cards: Sequence[Card]
    problems: Sequence[Problem]
    history: history.History
    may_edit: bool
    may_publish: bool
    may_run: bool
    library: Library = field(repr=False)

    @property
    def behind(self) -> dict[str, Json]:
        """Return what the canvas draws behind the boxes."""
        return drawn_behind(self.document, self.picture)

    @property
    def errors(self) -> int:
        return sum(problem.severity == "error" for problem in self.problems)

    @property
    def warnings(self) -> int:
        return len(self.problems) - self.errors

    @property
    def marks(self) -> dict[str, list[int]]:
        """Return how many errors and warnings each box has, where it has any: {place: [errors, warnings]}."""
        count = Counter((problem.node, problem.severity) for problem in self.problems if problem.node)
        return {place: [count[place, "error"], count[place, "warning"]] for place, _ in count}

    @property
    def outline(self) -> Sequence[outline.Item]:
        """Return the draft as a nested list."""
        marks = self.marks
        said = {card.place: _said(card, *marks.get(card.place, (0, 0))) for card in self.cards}
        return outline.outline(self.document.graph, said)

    @property
    def offers(self) -> list[tuple[Problem, Fix | None]]:
        """Return each problem with its one-click fix, where there is one and the reader may edit."""
        raw = self.draft.document
        return [(problem, fix_of(problem, raw) if self.may_edit else None) for problem in self.problems]

    @property
    def differs(self) -> bool:
        """Tell whether what would be published now says something else than what is published."""
        published = self.pipeline.published
        return published is None or published.hash != readings.meaning(self.draft.document)

    def card(self, place: str) -> Card | None:
        return next((card for card in self.cards if card.place == place), None)


def _said(card: Card, errors: int, warnings: int) -> outline.Said:
    placed = card.placed
    said = outline.Said(placed.title, placed.subtitle, errors, warnings)
    if not placed.is_crew:
        return said
    return replace(said, crew=placed.crew, order=placed.order, listed=listed_at(placed.node))


def editor_of(actor: Actor, slug: str) -> Editor:
    """Return the page of a draft. Raises NotFound, or Conflict `archived` nowhere: an archived one is only read."""
    pipeline = get(Pipeline.objects.select_related("workspace", "published", "draft__updated_by"), actor, slug=slug)
    return of_draft(actor, pipeline.draft)


def of_draft(actor: Actor, draft: Draft) -> Editor:
    """As `editor_of`, for a draft already at hand."""
    pipeline = draft.pipeline
    document = readings.parsed(draft.document)
    library = library_of(actor, document)
    drawn = drawn_of(draft.document, library)
    live = pipeline.archived_at is None
    return Editor(
        pipeline=pipeline,
        draft=draft,
        document=document,
        picture=drawn,
        cards=cards_of(document, drawn, library),
        problems=validate.problems(document, library),
        history=history.of(actor, pipeline),
        may_edit=live and may(actor, Capability.EDIT, pipeline),
        may_publish=live and may(actor, Capability.PUBLISH, pipeline),
        may_run=live and may(actor, Capability.RUN, pipeline),
        library=library,
    )


def drawn_of(raw: Json, library: Library) -> canvas.Picture:
    """Return the picture of a raw draft, its boxes where people put them."""
    return readings.drawn(raw, _known(library))


def cards_of(document: Document, drawn: canvas.Picture, library: Library) -> list[Card]:
    """Return a card per box, in reading order."""
    safe = zones(document)
    return [
        Card(placed, _ports(placed, library), _gives(placed.node, library), _may_fail(placed, safe))
        for placed in drawn.nodes
    ]


def _may_fail(placed: canvas.Placed, safe: Mapping[str, str]) -> bool:
    return placed.node.kind is not Kind.INPUT and safe.get(placed.place) == SKIP


def _known(library: Library) -> Mapping[str, Any]:
    """Return what subtitles say of agents and tools, under the names a draft may use for them."""
    agents: dict[str, Json] = {}
    for exact, spec in library.agents.items():
        slug = exact.partition("@")[0]
        newest = library.agents[resolve(slug, library.agents) or exact]
        agents[exact] = {"model": spec.model, "role": spec.role}
        agents[slug] = {"model": newest.model, "role": newest.role}
    tools: dict[str, Json] = {}
    for exact, tool in library.tools.items():
        tools[exact] = tools[exact.partition("@")[0]] = {"effect": str(tool.effect)}
    return {"agents": agents, "tools": tools}


def _ports(placed: canvas.Placed, library: Library) -> tuple[Port, ...]:
    node = placed.node
    shape = CHOICE if len(node.own_ports) > 1 else _gives(node, library)
    return tuple(
        Port(name, _PORT_WORDS.get(name, name.replace("_", " ")), port_offset(node, name, placed.box.w), shape)
        for name in node.ports
    )


def _gives(node: Node, library: Library) -> str:
    """Return the type of a step's output in a word: text, data or choice."""
    match node.kind:
        case Kind.DECIDE | Kind.HUMAN:
            return CHOICE
        case Kind.AGENT:
            exact = resolve(str(node.config["agent"]), library.agents)
            schema = node.output_schema or (library.agents[exact].output_schema if exact else None)
            return DATA if schema else TEXT
        case Kind.TEAM | Kind.SUPERVISOR:
            return DATA if node.output_schema else TEXT
        case _:
            return DATA
