"""What every rule is given: the document, the library, and each step with its place."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property

from pipelines.graph import schemas
from pipelines.graph.lock import AgentSpec, Library, resolve
from pipelines.graph.model import Document, Graph, Json, Kind, Node
from pipelines.graph.places import Place, places
from pipelines.graph.problems import Problem, Severity, pointer
from pipelines.graph.reach import Reach
from pipelines.graph.safe import SKIP, zones
from pipelines.graph.tools import ToolSpec

MOST_GUESSES = 20
LONGEST_GUESS = 64


@dataclass(frozen=True)
class Subject:
    """A document under examination. Lookups are made once, however many rules ask."""

    document: Document
    library: Library
    _reach: dict[int, Reach] = field(default_factory=dict, init=False)
    _lawful: dict[int, Mapping[str, Json]] = field(default_factory=dict, init=False)
    _guesses: list[str] = field(default_factory=list, init=False)

    @cached_property
    def places(self) -> tuple[Place, ...]:
        return tuple(places(self.document))

    @cached_property
    def _zones(self) -> dict[str, str]:
        return dict(zones(self.document))

    def of_kind(self, *kinds: Kind) -> Iterator[Place]:
        return (place for place in self.places if place.node.kind in kinds)

    def reach(self, graph: Graph, prefix: str = "") -> Reach:
        """Return what is certain in a scope; `prefix` is the dotted place of its container and a dot."""
        if id(graph) not in self._reach:
            contained = frozenset(name for name, node in graph.nodes.items() if self._is_contained(node, prefix))
            self._reach[id(graph)] = Reach(graph, contained)
        return self._reach[id(graph)]

    def lawful(self, schema: Json) -> Mapping[str, Json]:
        """Return one of the document's own schemas; {} where there is none, or one that is refused and so says
        nothing."""
        if id(schema) not in self._lawful:
            stands = isinstance(schema, dict) and schemas.check_schema(schema) is None
            self._lawful[id(schema)] = schema if stands else {}
        return self._lawful[id(schema)]

    def closest(self, name: str, known: Iterable[str]) -> str | None:
        """Return which known name was probably meant. Only the first names are guessed: each takes a search through
        all that are known, and a document may name thousands of steps that are not there."""
        if len(self._guesses) >= MOST_GUESSES:
            return None
        self._guesses.append(name)
        return next(iter(get_close_matches(name[:LONGEST_GUESS], list(known), n=1)), None)

    def agent(self, reference: str | None) -> AgentSpec | None:
        exact = resolve(reference, self.library.agents) if reference else None
        return self.library.agents[exact] if exact else None

    def tool(self, reference: str | None) -> ToolSpec | None:
        exact = resolve(reference, self.library.tools) if reference else None
        return self.library.tools[exact] if exact else None

    def _is_contained(self, node: Node, prefix: str) -> bool:
        then = node.on_error.then
        return then == "skip" or (then == "auto" and self._zones.get(prefix + node.id) == SKIP)


def problem(place: Place, severity: Severity, code: str, message: str, *field_path: str | int) -> Problem:
    """Return a problem of a step; `field_path` leads from the step to the field that has it."""
    return Problem(code, severity, pointer(place.where, *field_path), place.name, message)


def named(place: Place) -> str:
    """Return a step's title, else its id, in quotes."""
    return repr(place.node.title or place.node.id)
