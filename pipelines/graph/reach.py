"""Which steps have certainly succeeded when another one runs: what may be read without a default.

Sets of steps are bit masks, so that two thousand steps cost milliseconds.
"""

from collections.abc import Iterable
from functools import reduce
from operator import and_, or_

from pipelines.graph.model import Edge, Graph, Node


class Reach:
    """What is certain in one scope. `contained` names the steps whose failure does not stop the run."""

    def __init__(self, graph: Graph, contained: frozenset[str] = frozenset()) -> None:
        self._graph = graph
        self._bit = {name: 1 << index for index, name in enumerate(graph.nodes)}
        self._before: dict[str, int] = {}
        self._pulled: dict[str, int] = {}
        self._sure: dict[str, int] = {}
        self._first = sum(bit for name, bit in self._bit.items() if not graph.ins[name])
        for name in graph.order:
            self._add(name)
        self._at_end = self._certain_at_end(contained)

    def is_before(self, name: str, step: str) -> bool:
        """Say whether `step` waits for `name`."""
        return bool(self._before[step] & self._bit[name])

    def is_certain(self, name: str, step: str | None) -> bool:
        """Say whether `name` has succeeded whenever `step` runs; None is the end of the scope."""
        return bool((self._at_end if step is None else self._sure[step]) & self._bit[name])

    def _add(self, name: str) -> None:
        node, edges = self._graph.nodes[name], [self._graph.edges[index] for index in self._graph.ins[name]]
        self._before[name] = _any(self._before[edge.source] | self._bit[edge.source] for edge in edges)
        pulls = [self._pull(edge) for edge in edges]
        self._pulled[name] = self._bit[name] | (_all(pulls) if _needs_all(node, len(edges)) else _any(pulls))
        self._sure[name] = self._certain(node, edges)

    def _pull(self, edge: Edge) -> int:
        """Return the steps whose running makes this edge taken or failed, never skipped."""
        return self._pulled[edge.source] if self._is_sure_port(self._graph.nodes[edge.source]) else 0

    def _is_sure_port(self, node: Node) -> bool:
        """Say whether success always takes the same port, so that no edge of the step is skipped by choice."""
        wired = {self._graph.edges[index].port for index in self._graph.outs[node.id]}
        ports = [port for port in node.ports if port in wired or port not in node.optional_ports]
        return len(ports) == 1 and not node.disabled

    def _certain(self, node: Node, edges: list[Edge]) -> int:
        if not edges:
            return 0
        brought = [self._brings(edge) for edge in edges]
        if _needs_all(node, len(edges)):
            return _any(brought)
        certain = _all(brought)
        if node.wait_for != "settled" or node.on_failed_input == "tolerate":
            return certain
        # No edge failed, else the step would not run; one that something certain pulls was not skipped either.
        undecided = [(self._pull(edge), mask) for edge, mask in zip(edges, brought, strict=True)]
        while True:
            known = certain | self._first
            certain |= _any(mask for pull, mask in undecided if pull & known)
            rest = [(pull, mask) for pull, mask in undecided if not pull & known]
            if len(rest) == len(undecided):
                return certain
            undecided = rest

    def _brings(self, edge: Edge) -> int:
        """Return what has succeeded when this edge is taken."""
        source = self._graph.nodes[edge.source]
        own = 0 if edge.port == "error" or source.disabled else self._bit[edge.source]
        return self._sure[edge.source] | own

    def _certain_at_end(self, contained: frozenset[str]) -> int:
        loose = _any(self._bit[name] for name in contained)
        certain = 0
        for name, node in self._graph.nodes.items():
            may_fail = (self._before[name] | self._bit[name]) & loose
            if (
                self._pulled[name] & self._first
                and not may_fail
                and not node.disabled
                and node.on_error.then != "route"
            ):
                certain |= self._bit[name]
        return certain


def _needs_all(node: Node, edges: int) -> bool:
    if node.config.get("wait_timeout") is not None:
        return False
    if node.wait_for == "all":
        return True
    least = int(node.config.get("min_ok", 1))
    if node.wait_for != "settled":  # it runs at its k-th branch, or with fewer once so many cannot come any more
        least = min(least, 1 if node.wait_for == "first" else int(node.wait_for))
    return least >= edges


def _any(masks: Iterable[int]) -> int:
    return reduce(or_, masks, 0)


def _all(masks: Iterable[int]) -> int:
    found = list(masks)
    return reduce(and_, found) if found else 0
