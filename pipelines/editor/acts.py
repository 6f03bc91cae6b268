"""What can be done with a step beside changing its form: where others are added, what its arrows are. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipelines.editor.picking import titled
from pipelines.graph.model import Edge, Graph, Json, Kind, Node
from pipelines.graph.places import Place

_DONE = "done"


@dataclass(frozen=True, slots=True)
class Spot:
    """A place for a step, in words, and the arguments of the command that puts it there."""

    word: str
    args: Mapping[str, Json]

    @property
    def as_json(self) -> str:
        return json.dumps(self.args)


@dataclass(frozen=True, slots=True)
class Arrow:
    """An arrow from or to the step: the port in a word, what stands at its other end, and how commands name it."""

    port: str
    title: str
    place: str
    edge: Mapping[str, Json]

    @property
    def as_json(self) -> str:
        return json.dumps({"edges": [self.edge]})


@dataclass(frozen=True, slots=True)
class Acts:
    """`targets` are the steps to which an arrow may be drawn from one of `ports`: names with titles. `groups` are the
    containers it may be put into anew, `moves` those that are there, and the way out of its own."""

    place: str
    scope: str
    name: str
    spots: Sequence[Spot]
    comes: Sequence[Arrow]
    goes: Sequence[Arrow]
    ports: Sequence[tuple[str, str]]
    targets: Sequence[tuple[str, str]]
    groups: Sequence[Spot]
    moves: Sequence[Spot]
    up: bool
    down: bool

    @property
    def begin(self) -> str:
        """Return the fixed arguments of the command `connect`."""
        return json.dumps({"scope": self.scope, "from": self.name})

    @property
    def places(self) -> str:
        return json.dumps({"places": [self.place]})

    @property
    def paste(self) -> str:
        return json.dumps({"scope": self.scope})

    @property
    def upwards(self) -> str:
        return json.dumps({"place": self.place, "by": "up"})

    @property
    def downwards(self) -> str:
        return json.dumps({"place": self.place, "by": "down"})


def acts_of(place: Place, everywhere: Iterable[Place]) -> Acts:
    """Return what can be done with the step at a place; `everywhere` are all places of its document."""
    graph, node = place.graph, place.node
    scope = place.name.rpartition(".")[0]
    into = [graph.edges[index] for index in graph.ins[node.id]]
    out = [graph.edges[index] for index in graph.outs[node.id]]
    above, reached = graph.ancestors(node.id), {edge.target for edge in out}
    targets = [
        (name, titled(other))
        for name, other in graph.nodes.items()
        if name != node.id and name not in above and other.kind is not Kind.INPUT
    ]
    targets.sort(key=lambda target: target[0] in reached)
    return Acts(
        place=place.name,
        scope=scope,
        name=node.id,
        spots=list(_spots(place, scope, into, out)),
        comes=[_arrow(graph, scope, edge, edge.source) for edge in into],
        goes=[_arrow(graph, scope, edge, edge.target) for edge in out],
        ports=[(port, port_word(port)) for port in node.ports],
        targets=targets if node.ports else [],
        groups=list(_groups(place)),
        moves=list(_moves(place, scope, everywhere)),
        up=len(into) == 1 and _may_swap(graph, into[0]),
        down=len(out) == 1 and _may_swap(graph, out[0]),
    )


def port_word(port: str) -> str:
    """Return what leaves by a port, as a person says it."""
    words = {_DONE: "next", "error": "if it fails", "time": "when the time comes", "timeout": "if nothing comes"}
    return words.get(port) or f"if {port.removeprefix('event_').replace('_', ' ')}"


def _spots(place: Place, scope: str, into: Sequence[Edge], out: Sequence[Edge]) -> Iterator[Spot]:
    node = place.node
    for port in node.ports:
        leaving = [edge for edge in out if edge.port == port]
        word = "After it" if port == _DONE else f"After it, {port_word(port)}"
        if len(leaving) == 1:
            yield Spot(word, {"scope": scope, "on_edge": _edge(leaving[0])})
        else:
            word = f"{word}, as one more branch" if leaving else word
            yield Spot(word, {"scope": scope, "after": {"node": place.name, "port": port}})
    if node.kind is not Kind.INPUT:
        yield Spot("Before it", {"before": place.name})
    if into:
        yield Spot("Beside it, in parallel", {"beside": place.name})
    if node.graph is not None:
        yield Spot("Inside it", {"scope": place.name, **_last(node, node.graph, place.name)})


def _last(node: Node, graph: Graph, place: str) -> dict[str, Json]:
    """Return that a step added inside goes on from the one end that there is, if it has a way on."""
    finals = [name for name in graph.order if not graph.outs[name] and graph.nodes[name].ports]
    if len(finals) != 1:
        return {}
    return {"after": {"node": f"{place}.{finals[0]}", "port": graph.nodes[finals[0]].ports[0]}}


def _groups(place: Place) -> Iterator[Spot]:
    if place.node.kind is not Kind.INPUT:
        yield Spot("Into a new For each", {"places": [place.name], "kind": "each"})
        yield Spot("Into a new Repeat", {"places": [place.name], "kind": "repeat"})


def _moves(place: Place, scope: str, everywhere: Iterable[Place]) -> Iterator[Spot]:
    if place.node.kind is Kind.INPUT:
        return
    for other in everywhere:
        takes = other.node.graph is not None and other.name != scope
        if takes and not f"{other.name}.".startswith(f"{place.name}."):
            yield Spot(f"Into “{titled(other.node)}”", {"places": [place.name], "scope": other.name})
    if scope:
        yield Spot("Out of its group", {"places": [place.name], "scope": scope.rpartition(".")[0]})


def _may_swap(graph: Graph, edge: Edge) -> bool:
    """Tell whether the ends of an arrow stand in a chain, and neither has to stay where it is."""
    first, second = graph.nodes[edge.source], graph.nodes[edge.target]
    alone = len(graph.outs[first.id]) == len(graph.ins[second.id]) == 1
    ports = {graph.edges[index].port for index in graph.outs[second.id]}
    return alone and len(ports) < 2 and first.kind is not Kind.INPUT and second.kind is not Kind.OUTPUT


def _arrow(graph: Graph, scope: str, edge: Edge, other: str) -> Arrow:
    place = f"{scope}.{other}" if scope else other
    return Arrow(
        "" if edge.port == _DONE else port_word(edge.port),
        titled(graph.nodes[other]),
        place,
        {"scope": scope, **_edge(edge)},
    )


def _edge(edge: Edge) -> dict[str, Json]:
    return {"from": edge.source, "port": edge.port, "to": edge.target}
