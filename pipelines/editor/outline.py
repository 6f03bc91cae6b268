"""A pipeline as a nested list in reading order, with words for its structure. Pure.

A step that leads to several others is followed by its ways; what all of them come to stands after them, once. A step
that can be reached twice is shown where it is read first, and named with "go on with" elsewhere.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.canvas import Mate
from pipelines.graph.model import Edge, Graph, Kind, Node

END = None  # where every way leads that does not come to a further step
DEEPEST = 6  # ways inside ways; what lies deeper is listed after the rest, so that a list stays one that can be read
_FIRST = "done"
_APART = "by itself"


@dataclass(frozen=True, slots=True)
class Said:
    """What a line says of its step: title and subtitle as on the picture, how much is wrong, who works in it, in what
    order (words) and in which of its lists (a JSON pointer)."""

    title: str
    hint: str = ""
    errors: int = 0
    warnings: int = 0
    crew: Sequence[Mate] = ()
    order: str = ""
    listed: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """A step: the word that leads to it, what it holds, the ways that leave it. `again`: it is shown elsewhere."""

    place: str
    node: Node
    said: Said
    word: str = ""
    again: bool = False
    inside: "tuple[Item, ...]" = ()
    inside_word: str = ""
    ways: "tuple[Way, ...]" = ()


@dataclass(frozen=True, slots=True)
class Way:
    """One of several ways that leave a step, up to where they meet; without items it leads there at once."""

    word: str
    items: tuple[Item, ...]


def outline(graph: Graph, said: Mapping[str, Said], scope: str = "") -> tuple[Item, ...]:
    """Return the steps of a scope as a list; every step of it stands in it exactly once. `said` is by place."""
    return _Reader(graph, said, scope).read()


def walk(items: Sequence[Item]) -> list[str]:
    """Return the places of a list from the first line to the last, as the arrow keys go."""
    found: list[str] = []
    for item in items:
        if not item.again:
            found.append(item.place)
        found += walk(item.inside)
        for way in item.ways:
            found += walk(way.items)
    return found


class _Reader:
    def __init__(self, graph: Graph, said: Mapping[str, Said], scope: str) -> None:
        self._graph, self._said, self._scope = graph, said, scope
        self._meets = meeting_points(graph)
        self._seen: set[str] = set()
        self._later: deque[str] = deque()

    def read(self) -> tuple[Item, ...]:
        order = self._graph.order
        roots = [name for name in order if not self._graph.ins[name]]
        roots.sort(key=lambda name: self._graph.nodes[name].kind is not Kind.INPUT)
        items: list[Item] = []
        for number, name in enumerate(roots):
            items += self._chain(name, END, _APART if number else "", 0)
        while self._later:
            if (name := self._later.popleft()) not in self._seen:
                items += self._chain(name, END, "further on", 0)
        return tuple(items)

    def _chain(self, start: str | None, stop: str | None, word: str, depth: int) -> list[Item]:
        """Return the steps from `start` up to `stop`, the ways between them in their places."""
        items: list[Item] = []
        name = start
        while name is not None and name != stop:
            if name in self._seen:
                return [*items, self._item(name, word, again=True)]
            self._seen.add(name)
            edges = self._leaving(name)
            if len(edges) < 2:
                items.append(self._item(name, word))
                word = _word(self._graph.nodes[name], edges[0], False) if edges else ""
                name = edges[0].target if edges else END
                continue
            meets = self._meets[name]
            items.append(self._item(name, word, ways=self._ways(name, edges, meets, depth)))
            name, word = meets, "then, when they meet"
        return items

    def _ways(self, name: str, edges: Sequence[Edge], meets: str | None, depth: int) -> tuple[Way, ...]:
        node = self._graph.nodes[name]
        ports = [edge.port for edge in edges]
        ways = []
        for edge in edges:
            word = _word(node, edge, ports.count(edge.port) > 1)
            if depth < DEEPEST or edge.target == meets:
                ways.append(Way(word, tuple(self._chain(edge.target, meets, "", depth + 1))))
            else:
                self._later.append(edge.target)
                ways.append(Way(word, (self._item(edge.target, "", again=True),)))
        return tuple(ways)

    def _leaving(self, name: str) -> list[Edge]:
        """Return the arrows that leave a step, port by port as they are drawn."""
        ports = self._graph.nodes[name].ports
        edges = [self._graph.edges[index] for index in self._graph.outs[name]]
        return sorted(edges, key=lambda edge: ports.index(edge.port) if edge.port in ports else len(ports))

    def _item(self, name: str, word: str, again: bool = False, ways: tuple[Way, ...] = ()) -> Item:
        node = self._graph.nodes[name]
        place = f"{self._scope}.{name}" if self._scope else name
        said = self._said.get(place) or Said(name)
        if again or node.graph is None:
            return Item(place, node, said, word, again, ways=ways)
        inside = _Reader(node.graph, self._said, place).read()
        return Item(place, node, said, word, inside=inside, inside_word=_container(node), ways=ways)


def _container(node: Node) -> str:
    if node.kind is Kind.EACH:
        return f"for each {node.config.get('as') or 'item'}"
    return "again and again, until it may stop" if node.kind is Kind.REPEAT else "inside"


def _word(node: Node, edge: Edge, together: bool) -> str:
    """Return what an arrow means, as a word before the step that it leads to."""
    words = {_FIRST: "then", "error": "if it fails", "time": "when the time comes", "timeout": "if nothing comes"}
    said = words.get(edge.port) or f"if {edge.port.removeprefix('event_').replace('_', ' ')}"
    if edge.port == _FIRST and len(node.own_ports) > 1 and not together:
        return "if all is well"
    if not together:
        return said
    return "in parallel" if edge.port == _FIRST else f"{said}, in parallel"


def meeting_points(graph: Graph) -> Mapping[str, str | None]:
    """Return for each step the next one that every way from it comes to; END where its ways never meet again.

    Immediate post-dominators of an acyclic graph, in one pass from its end
    (Cooper, Harvey, Kennedy, "A Simple, Fast Dominance Algorithm", 2001).
    """
    rank = {name: number for number, name in enumerate(graph.order)}
    meets: dict[str, str | None] = {}

    def common(one: str | None, other: str | None) -> str | None:
        while one != other:
            if one is None or other is None:
                return END
            if rank[one] < rank[other]:
                one = meets[one]
            else:
                other = meets[other]
        return one

    for name in reversed(graph.order):
        targets = [graph.edges[index].target for index in graph.outs[name]]
        found: str | None = targets[0] if targets else END
        for target in targets[1:]:
            found = common(found, target)
        meets[name] = found
    return meets
