"""The safe zones: where a failure is contained by a join that tolerates it (`then: auto`, engine.md §3)."""

from collections.abc import Mapping

from pipelines.graph.model import Document, Graph, Kind, Node
from pipelines.graph.places import places

SKIP = "skip"
STOP_RUN = "stop_run"


def zones(document: Document) -> Mapping[str, str]:
    """Return what `then: auto` means at each dotted place that says so: "skip" or "stop_run"."""
    contained: dict[int, frozenset[str]] = {}
    found: dict[str, str] = {}
    for place in places(document):
        if id(place.graph) not in contained:
            contained[id(place.graph)] = _contained(place.graph)
        if place.node.on_error.then == "auto":
            found[place.name] = SKIP if place.node.id in contained[id(place.graph)] else STOP_RUN
    return found


def _contained(graph: Graph) -> frozenset[str]:
    """Return the nodes from which every way forward meets a tolerant combine before it ends."""
    if not any(map(_tolerates, graph.nodes.values())):
        return frozenset()
    safe: set[str] = set()
    for name in reversed(graph.order):
        ahead = [graph.nodes[graph.edges[index].target] for index in graph.outs[name]]
        if ahead and all(_tolerates(node) or node.id in safe for node in ahead):
            safe.add(name)
    return frozenset(safe)


def _tolerates(node: Node) -> bool:
    return node.kind is Kind.COMBINE and node.on_failed_input == "tolerate"
