"""One scope instance in memory: its edges, how many of each node's in-edges settled how, and its steps so far."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple

from pipelines.graph.model import Edge, Graph, Json, Kind, Node
from runs.engine.decision import StepRecord
from runs.engine.status import StepState

# In the memo of a step that no document has: what it is (`runs.engine.turns`).
MADE = "made"


class EdgeState(IntEnum):
    """The values index `Scope.counts`."""

    OPEN = 0
    TAKEN = 1
    SKIPPED = 2
    FAILED = 3


class Life(NamedTuple):
    """What counts of a step that is forgotten, should there be one at its path again."""

    attempt: int
    memo: dict[str, Json]
    args: Json

    @classmethod
    def of(cls, record: StepRecord) -> "Life":
        """`args` are those of an action that has ended well."""
        is_done = record.kind == Kind.TOOL and record.state is StepState.SUCCEEDED
        return cls(record.attempt, record.memo, record.input["args"] if is_done and record.input else None)


@dataclass(slots=True, eq=False)
class Step:
    """A record together with where it stands.

    `before` are the lives of the steps that were inside it and are forgotten, by path, where it may run once more.
    """

    scope: "Scope"
    node: Node
    record: StepRecord
    before: dict[str, Life] = field(default_factory=dict)

    def remember(self, record: StepRecord, inside: Mapping[str, Life] = MappingProxyType({})) -> None:
        """Keep what counts of a step in this one that is forgotten, and of what was `inside` it."""
        if self.scope.container:
            self.before |= {**inside, record.path: Life.of(record)}

    @property
    def path(self) -> str:
        return self.record.path

    @property
    def place(self) -> str:
        """Return the dotted place in the document, the same for every item."""
        return self.scope.place + self.node.id

    @property
    def is_made(self) -> bool:
        """Tell whether the step was made as the run went, so that no document has it."""
        return MADE in self.record.memo


@dataclass(frozen=True, slots=True)
class Outer:
    """What the steps of a child run see beyond it: whose words it was given, by name, and, in an item of a For each,
    the values around the item."""

    labels: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Json] = field(default_factory=dict)


NOTHING_OUTSIDE = Outer()


@dataclass(slots=True, eq=False)
class Scope:
    """`container` is the step whose instance this is, None for the pipeline's own graph; `index` says which.

    `open` counts unfinished nodes. `outer` is what a run's own graph has around it.
    """

    graph: Graph
    prefix: str = ""
    place: str = ""
    container: Step | None = None
    index: int = 0
    item: Json = None
    edges: list[EdgeState] = field(default_factory=list)
    counts: dict[str, list[int]] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)
    open: int = 0
    outer: Outer = NOTHING_OUTSIDE

    @classmethod
    def of(cls, graph: Graph, container: Step | None = None, prefix: str = "", index: int = 0) -> "Scope":
        """Return a fresh scope in which no edge has settled."""
        return cls(
            graph=graph,
            prefix=prefix,
            place=f"{container.place}." if container else "",
            container=container,
            index=index,
            edges=[EdgeState.OPEN] * len(graph.edges),
            counts={name: [len(ins), 0, 0, 0] for name, ins in graph.ins.items()},
            open=len(graph.nodes),
        )

    @property
    def outermost(self) -> "Scope":
        """Return the scope of the run's own graph."""
        scope = self
        while scope.container:
            scope = scope.container.scope
        return scope

    def grow(self, nodes: Mapping[str, Node], edges: Sequence[Edge]) -> None:
        """Take in further nodes, and edges between them."""
        self.graph = Graph({**self.graph.nodes, **nodes}, (*self.graph.edges, *edges))
        self.edges += [EdgeState.OPEN] * len(edges)
        self.counts |= {name: [len(self.graph.ins[name]), 0, 0, 0] for name in nodes}
        self.open += len(nodes)

    def settle(self, node: str, choose: Callable[[str], EdgeState]) -> list[str]:
        """Settle the open edges that leave a node, by port; return the nodes they lead to."""
        reached = []
        for index in self.graph.outs[node]:
            if self.edges[index] is EdgeState.OPEN:
                edge = self.graph.edges[index]
                state = choose(edge.port)
                self.edges[index] = state
                counts = self.counts[edge.target]
                counts[EdgeState.OPEN] -= 1
                counts[state] += 1
                reached.append(edge.target)
        return reached

    def arrived(self, node: str) -> list[Step]:
        """Return the steps whose edge into this node was taken, in the order the edges are listed."""
        found = {
            self.graph.edges[index].source: None
            for index in self.graph.ins[node]
            if self.edges[index] is EdgeState.TAKEN
        }
        return [self.steps[name] for name in found]

    def is_wired(self, node: str, port: str) -> bool:
        """Tell whether an edge leaves this port."""
        return any(self.graph.edges[index].port == port for index in self.graph.outs[node])


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one item or round ended: status is succeeded, failed, skipped or cancelled."""

    status: str
    value: Json = None
    error: Json = None


@dataclass(slots=True, eq=False, kw_only=True)
class Container:
    """A container that is under way: `scopes` are the instances of its graph that may still be read, by index.

    `next` is the first that has not begun; `active` counts those with unfinished steps. `promised` counts the steps
    that its instances are still to bring.
    """

    step: Step
    next: int = 0
    active: int = 0
    promised: int = 0
    scopes: dict[int, Scope] = field(default_factory=dict)


@dataclass(slots=True, eq=False, kw_only=True)
class Items(Container):
    """An `each` that is under way. `needed` successes satisfy it.

    `left` are items before `next` that a fork took over in part and that nothing of this run has happened in yet.
    """

    values: list[Json]
    needed: int
    left: deque[int] = field(default_factory=deque)
    succeeded: int = 0
    failed: int = 0
    outcomes: dict[int, Outcome] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Round:
    """How one round of a `repeat` ended; `is_good` when `until` was true, `score` by what rounds are compared."""

    number: int
    outcome: Outcome
    is_good: bool = False
    metric: float | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a `repeat` stands after some rounds: the newest, the newest with a value, and the best of those.

    `peak` is the highest metric so far, `stale` how many rounds it has not risen.
    """

    last: Round | None = None
    kept: Round | None = None
    best: Round | None = None
    peak: float | None = None
    stale: int = 0


@dataclass(slots=True, eq=False, kw_only=True)
class Rounds(Container):
    """A `repeat` that is under way. `before` is how it stood one round ago; `log` has an entry per ended round."""

    next: int = 1
    standing: Standing = Standing()
    before: Standing = Standing()
    log: list[Json] = field(default_factory=list)
