"""What a forked run begins with: which steps of the other run it takes over as they ended, and which are left to run.

What comes after the chosen step, or after an output given by hand, runs anew; what had ended before stays; what had
not ended is simply run.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pipelines.graph.model import Graph, Json, Kind, Node
from runs.engine import joins, paths, spread
from runs.engine.decision import StepRecord
from runs.engine.given import GIVEN
from runs.engine.settling import CONTAINED
from runs.engine.status import StepState

REUSED = "reused"
# In the memo of a container that goes on with items of another run.
REOPENED = "reopened"


class NoSuchStep(Exception):
    """A path that names no step of the pipeline, or none of an item that the other run had begun."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class RunsAnew(Exception):
    """An output given for a step inside a container that runs anew as a whole, so that there is no such item yet."""

    def __init__(self, path: str, container: str) -> None:
        super().__init__(path)
        self.path, self.container = path, container


@dataclass(slots=True)
class Takeover:
    """`carried` are the paths whose rows are taken over as they ended; `opened` are containers that go on with some of
    their items; `begun` are the rows that the new run has beside the carried ones."""

    carried: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    begun: list[StepRecord] = field(default_factory=list)


def take_over(
    graph: Graph, records: Iterable[StepRecord], starts: Iterable[str], given: Mapping[str, Json], now: datetime
) -> Takeover:
    """Return what a fork keeps when `starts` and all that follows run anew and the outputs in `given` stand.

    `records` need no output. What follows a given output runs anew too. Raises NoSuchStep and RunsAnew.
    """
    plan = _Plan(graph, {record.path: record for record in records}, given, now)
    for path in starts:
        plan.run_anew(path, itself=path not in given)
    for path in given:
        plan.run_anew(path, itself=False)
    for path in given:
        plan.check_containers(path)
    plan.walk(graph, "")
    return plan.found


class _Plan:
    """`anew` are the nodes that run anew by their scope's prefix, `touched` the scopes in which something does."""

    def __init__(
        self, graph: Graph, records: Mapping[str, StepRecord], given: Mapping[str, Json], now: datetime
    ) -> None:
        self.graph, self.records, self.given, self.now = graph, records, given, now
        self.found = Takeover()
        self.anew: defaultdict[str, set[str]] = defaultdict(set)
        self.touched: set[str] = set()
        self._position = max((record.position for record in records.values()), default=0)
        self._inside: defaultdict[str, list[str]] = defaultdict(list)
        self._items: defaultdict[str, list[str]] = defaultdict(list)
        for path in records:
            for container in paths.containers_of(path):
                self._inside[container].append(path)
        self._scopes = {paths.prefix_of(path) for path in records}
        for prefix in sorted(self._scopes):
            if prefix.endswith("]."):
                self._items[paths.container_of(prefix)].append(prefix)

    def run_anew(self, path: str, *, itself: bool) -> None:
        """Mark what follows a step, in its scope and around it, and the step `itself`."""
        graph, node = self._find(path)
        prefix = paths.prefix_of(path)
        self.touched.add(prefix)
        self.anew[prefix] |= _after(graph, node.id) | ({node.id} if itself else set())
        self._ask_again(graph, prefix)
        if prefix:
            self.run_anew(paths.container_of(prefix), itself=False)

    def check_containers(self, path: str) -> None:
        for container in paths.containers_of(path):
            if container in self.given or self._is_anew(container):
                raise RunsAnew(path, container)

    def walk(self, graph: Graph, prefix: str, *, as_it_was: bool = False) -> None:
        """Decide on each step of a scope, those it waits for first."""
        kept: set[str] = set()
        for name in graph.order:
            path = prefix + name
            record = self.records.get(path)
            if path in self.given:
                self.found.begun.append(self._by_hand(path, graph.nodes[name]))
            elif record is None:
                continue
            elif self._stays(graph, record, kept, as_it_was=as_it_was):
                kept.add(name)
                self.found.carried += [path, *self._inside[path]]
            elif self._goes_on(record):
                self._open(graph.nodes[name], record)
            elif prefix:  # without any row an item would count as never begun
                self.found.begun.append(_fresh(record))

    def _find(self, path: str) -> tuple[Graph, Node]:
        graph, prefix = self.graph, ""
        *around, last = path.split(".")
        for part in around:
            container = graph.nodes.get(part.partition("[")[0])
            prefix += f"{part}."
            inner = spread.graph_in(container) if container else None
            if inner is None or prefix not in self._scopes:
                raise NoSuchStep(path)
            graph = inner
        if last not in graph.nodes:
            raise NoSuchStep(path)
        return graph, graph.nodes[last]

    def _ask_again(self, graph: Graph, prefix: str) -> None:
        """Run the Person steps anew that guard a step which runs anew: an approval is for one call."""
        for name, node in graph.nodes.items():
            guarded = node.config.get("guards") if node.kind is Kind.HUMAN else None
            if guarded in self.anew[prefix] and name not in self.anew[prefix]:
                self.run_anew(prefix + name, itself=True)

    def _is_anew(self, path: str) -> bool:
        return paths.node_of(path) in self.anew[paths.prefix_of(path)]

    def _stays(self, graph: Graph, record: StepRecord, kept: set[str], *, as_it_was: bool) -> bool:
        """Tell whether a step is taken over as it ended. `as_it_was`: its item is, so a failure stays a failure."""
        if self._is_anew(record.path) or self._is_touched(record.path):
            return False
        after_kept = as_it_was or all(graph.edges[index].source in kept for index in graph.ins[record.node])
        match record.state:
            case StepState.SUCCEEDED:
                return True
            case StepState.FAILED:
                return after_kept and (as_it_was or CONTAINED in record.flags or bool(record.ports))
            case StepState.SKIPPED:
                return after_kept
            case StepState.CANCELLED:
                return self._lost_its_race(graph, record)
        return False

    def _lost_its_race(self, graph: Graph, record: StepRecord) -> bool:
        """Tell whether a step was cancelled for a join that went on without it, and that stays."""
        prefix = paths.prefix_of(record.path)
        return any(
            (join := self.records.get(prefix + name)) is not None
            and join.state is StepState.SUCCEEDED
            and not self._is_anew(join.path)
            and record.node in joins.feeding_only(graph, name)
            for name, node in graph.nodes.items()
            if node.kind is Kind.COMBINE or joins.early_count(node) is not None
        )

    def _is_touched(self, path: str) -> bool:
        return any(prefix in self.touched for prefix in self._items.get(path, ()))

    def _goes_on(self, record: StepRecord) -> bool:
        """Tell whether a container is opened again with the items it had."""
        return (
            record.kind == Kind.EACH
            and not self._is_anew(record.path)
            and isinstance(record.input, dict)
            and bool(self._items.get(record.path))
        )

    def _open(self, node: Node, record: StepRecord) -> None:
        """Open a container again; of one that had succeeded, only the items in which something runs anew."""
        opened = replace(_fresh(record), state=StepState.RUNNING, input=record.input, attempt=1, started_at=self.now)
        opened.memo[REOPENED] = True
        limit = node.config.get("wait_timeout")
        if limit is not None:
            opened.memo["due"] = (self.now + timedelta(seconds=limit)).isoformat()
        self.found.begun.append(opened)
        self.found.opened.append(record.path)
        had_succeeded = record.state is StepState.SUCCEEDED
        for prefix in self._items[record.path]:
            if inner := spread.graph_in(node):
                self.walk(inner, prefix, as_it_was=had_succeeded and prefix not in self.touched)

    def _by_hand(self, path: str, node: Node) -> StepRecord:
        record = self.records.get(path)
        self._position += record is None
        fresh = _fresh(record) if record else StepRecord(path, node.id, node.kind, node.title, position=self._position)
        fresh.memo[GIVEN] = self.given[path]
        return fresh


def _fresh(record: StepRecord) -> StepRecord:
    """Return a step as if nothing had run in it."""
    return StepRecord(record.path, record.node, record.kind, record.title, position=record.position)


def _after(graph: Graph, node: str) -> set[str]:
    """Return every node that can be reached from `node`."""
    seen: set[str] = set()
    stack = [node]
    while stack:
        for index in graph.outs[stack.pop()]:
            target = graph.edges[index].target
            if target not in seen:
                seen.add(target)
                stack.append(target)
    return seen
