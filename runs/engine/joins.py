"""When a step's incoming edges let it run, or say that it never will (engine.md §2.2-2.3). Pure functions."""

from enum import Enum

from pipelines.graph.model import Graph, Kind, Node
from runs.engine.scope import EdgeState


class Verdict(Enum):
    WAIT = "wait"
    RUN = "run"
    SKIP = "skip"
    SKIP_FAILED = "skip_failed"
    NOT_ENOUGH = "not_enough"


def verdict(node: Node, counts: list[int]) -> Verdict:
    """Return what a node does now; `counts` is how many of its in-edges are in each EdgeState."""
    if not any(counts):
        return Verdict.RUN
    early = early_count(node)
    if early is not None and counts[EdgeState.TAKEN] >= early:
        return Verdict.RUN
    if counts[EdgeState.OPEN]:
        return Verdict.WAIT
    if counts[EdgeState.FAILED] and node.on_failed_input == "propagate":
        return Verdict.SKIP_FAILED
    if counts[EdgeState.TAKEN] >= max(1, needed(node, sum(counts))):
        return Verdict.RUN
    return Verdict.NOT_ENOUGH if counts[EdgeState.FAILED] else Verdict.SKIP


def early_count(node: Node) -> int | None:
    """Return k when the step runs at its k-th taken edge, None when it waits for all edges to settle.

    Where k have become impossible, it waits for all of them too, and what has come then decides.
    """
    if node.wait_for == "first":
        return 1
    return node.wait_for if isinstance(node.wait_for, int) else None


def needed(node: Node, edges: int) -> int:
    """Return how many taken edges are enough once all have settled."""
    if node.wait_for == "all":
        return edges
    return int(node.config.get("min_ok", 1)) if node.kind is Kind.COMBINE else 1


def cancels_rest(node: Node) -> bool:
    return bool(node.config.get("cancel_rest", True))


def feeding_only(graph: Graph, node: str) -> frozenset[str]:
    """Return the nodes from which every way forward goes through `node`: nobody else will miss them."""
    escaping = {name for name in graph.nodes if name != node and not graph.outs[name]}
    stack = list(escaping)
    while stack:
        for index in graph.ins[stack.pop()]:
            source = graph.edges[index].source
            if source != node and source not in escaping:
                escaping.add(source)
                stack.append(source)
    return graph.ancestors(node) - escaping
