"""Where steps stand in a document: dotted places, JSON pointers and the scope around each."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.graph.model import Document, Graph, Node

# What ran is named by its place and by which item, round, turn or task it was in. In containers five deep, with
# supervisors five deep in the innermost, and every name as long as it may be, that has fewer characters.
LONGEST_PATH = 1_000


@dataclass(frozen=True, slots=True)
class Place:
    """A node with its address: `name` is dotted (`research.dig`), `where` points into the JSON document."""

    name: str
    where: str
    node: Node
    graph: Graph
    parent: "Place | None" = None

    @property
    def enclosing(self) -> Iterator["Place"]:
        """Yield the containers around this step, innermost first."""
        place = self.parent
        while place is not None:
            yield place
            place = place.parent


def places(document: Document) -> Iterator[Place]:
    """Yield every step of every scope, containers before what they hold."""
    return _walk(document.graph, "/graph", None)


def within(graph: Graph, container: Place) -> Iterator[Place]:
    """Yield every step of a container's graph, and of those in it."""
    return _walk(graph, f"{container.where}/graph", container)


def _walk(graph: Graph, where: str, parent: Place | None) -> Iterator[Place]:
    prefix = f"{parent.name}." if parent else ""
    for name, node in graph.nodes.items():
        place = Place(prefix + name, f"{where}/nodes/{name}", node, graph, parent)
        yield place
        if node.graph:
            yield from _walk(node.graph, f"{place.where}/graph", place)
