"""A run in memory: everything `decide` needs, rebuilt from its step rows alone.

`Execution` is the only mutable thing in the engine. Work per decision depends on what changed, never on the number of
steps, items or rounds: each scope counts its own edges, each container its own items or rounds.
"""

import heapq
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pipelines.graph import sharing
from pipelines.graph.lock import Lock
from pipelines.graph.model import Budget, Document, Json, Limits
from runs.engine import paths
from runs.engine.alerts import Told
from runs.engine.board import Board
from runs.engine.budget import RUN, Refusal, Spend, own_part
from runs.engine.decision import Event, StepRecord
from runs.engine.origin import Ancestor, Origin, graph_at
from runs.engine.scope import Container, Outer, Scope, Step
from runs.engine.status import RunState, StepState

NO_ORIGIN = Origin()


@dataclass(slots=True, eq=False)
class Execution:
    """`steps` holds each step's record by path; steps that nothing has reached yet have none.

    `live` is the same with each step's place; `scopes` is by prefix; `containers` holds those under way, by path.
    `running` are the steps the executor has, `ready` those that wait for room, `waiting` those that wait for a person.
    `spend` counts for the whole run, `spends` for each step with caps. `alerts` are events the next decision logs.
    `told_full` are the caps, and their size then, of which somebody was told that nothing is left.
    `children` are the runs that steps have started and that have not ended, by path and number, with the record of the
    step; `child_count` is how many there were. `needs` is what the items of a For each with `spread` read around it.
    `labels` says where each place's input comes from; it never changes, unless a person gave the output of one item
    and not of the others (`has_edits`). `is_in_doubt` says that something in it was or may have been done (`doubts`).
    `shares_board`: what stands on its board is told, not decided here alone.
    """

    document: Document
    lock: Lock
    input: Json
    limits: Limits
    root: Scope
    state: RunState = RunState.QUEUED
    reason: str | None = None
    output: Json = None
    error: Json = None
    steps: dict[str, StepRecord] = field(default_factory=dict)
    live: dict[str, Step] = field(default_factory=dict)
    scopes: dict[str, Scope] = field(default_factory=dict)
    containers: dict[str, Container] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    retrying: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    ready: deque[str] = field(default_factory=deque)
    timers: list[tuple[datetime, str]] = field(default_factory=list)
    spend: Spend = field(default_factory=Spend)
    spends: dict[str, Spend] = field(default_factory=dict)
    caps: dict[str, Budget] = field(default_factory=dict)
    refusals: dict[str, Refusal] = field(default_factory=dict)
    alerts: list[Event] = field(default_factory=list)
    told_full: set[Told] = field(default_factory=set)
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    origin: Origin = NO_ORIGIN
    children: dict[tuple[str, int], StepRecord] = field(default_factory=dict)
    child_count: int = 0
    needs: dict[str, frozenset[str]] = field(default_factory=dict)
    has_edits: bool = False
    is_in_doubt: bool = False
    step_count: int = 0
    promised: int = 0
    position: int = 0
    board: Board = field(default_factory=Board)
    shares_board: bool = False
    ancestry: tuple[Ancestor, ...] | None = None

    @classmethod
    def begin(
        cls, document: Document, lock: Lock, input: Json, budget: Budget, origin: Origin = NO_ORIGIN
    ) -> "Execution":
        """Return a run that has not started: `decide` with RunRequested starts it. `budget` replaces the document's."""
        root = Scope.of(graph_at(document, origin.place))
        root.outer = Outer(origin.labels, input if origin.is_item else {})
        if origin.is_item:
            root.place, input = f"{origin.place}.", input.get("input", {})
        execution = cls(document, lock, input, document.limits, root, origin=origin)
        execution.shares_board = origin.shares_board or sharing.shares_board(document)
        execution.board = Board() if execution.shares_board else Board.of(document.board)
        execution.caps[RUN] = budget
        execution.scopes[""] = root
        execution.promised = len(root.graph.nodes)
        return execution

    @classmethod
    def restore(  # noqa: PLR0913, PLR0917  (what a run's rows are)
        cls,
        document: Document,
        lock: Lock,
        input: Json,
        budget: Budget,
        rows: Iterable[StepRecord],
        run_state: RunState,
        spend: Spend,
        step_spends: Mapping[str, Spend] | None = None,
        origin: Origin = NO_ORIGIN,
    ) -> "Execution":
        """Return the run as its last commit left it; follow with the fact Recovered.

        `budget` is the run's as it was started (what people added since is in the rows). `spend` is the run's;
        `step_spends` what each step path's own calls came to, needed only where steps have caps.
        """
        from runs.engine.restoring import restore_into  # it knows the kinds, which know this class

        execution = cls.begin(document, lock, input, budget, origin)
        execution.state, execution.spend = run_state, own_part(spend)
        restore_into(execution, rows, step_spends or {})
        return execution

    def find(self, path: str) -> Step | None:
        return self.live.get(path)

    def add(self, step: Step) -> None:
        """Make a step known."""
        self.steps[step.path] = step.record
        self.live[step.path] = step
        for number in step.record.memo.get("children", {}).get("live", {}):
            self.children[step.path, int(number)] = step.record  # no longer those of the step that stood here before
        step.scope.steps[step.node.id] = step
        self.step_count += 1
        around = step.scope.container
        if around is None:
            self.promised -= 1
        elif (container := self.containers.get(around.path)) and container.promised:
            container.promised -= 1
            self.promised -= 1

    def open(self, container: Container) -> None:
        """Make a container known that begins, or begins anew."""
        if before := self.containers.get(container.step.path):
            self.promised -= before.promised
        self.containers[container.step.path] = container

    def promise(self, container: Container, steps: int) -> None:
        """Count steps that a container is still to bring."""
        container.promised += steps
        self.promised += steps

    def forget(self, container: Container) -> None:
        """Drop what ran in a finished container; its rows stay in the database."""
        for scope in container.scopes.values():
            self.forget_scope(scope)
        if self.containers.pop(container.step.path, None):
            self.promised -= container.promised

    def forget_scope(self, scope: Scope) -> None:
        """Drop the steps of a finished item or round, and what ran in them."""
        for step in scope.steps.values():
            if step.path in self.containers:
                self.forget(self.containers[step.path])
            if scope.container:
                scope.container.remember(step.record, step.before)
            for known in (self.steps, self.live, self.caps, self.spends):
                known.pop(step.path, None)
        self.scopes.pop(scope.prefix, None)

    def scope_at(self, path: str) -> Scope | None:
        return self.scopes.get(paths.prefix_of(path))

    def chain(self) -> tuple[Ancestor, ...]:
        """Return the ancestors of a child of this run. The digest of its input is worked out once."""
        if self.ancestry is None:
            self.ancestry = self.origin.chain(self.document, self.input)
        return self.ancestry

    def spend_of(self, cap: str) -> Spend:
        """Return the counters of the run ("") or of a capped step."""
        return self.spend if cap == RUN else self.spends.setdefault(cap, Spend())

    def next_position(self) -> int:
        self.position += 1
        return self.position

    def set_timer(self, step: Step, due: datetime) -> None:
        step.record.memo["due"] = due.isoformat()
        heapq.heappush(self.timers, (due, step.path))

    def next_timer(self) -> tuple[datetime, Step] | None:
        """Return the earliest timer that still holds; forget those that were called off."""
        while self.timers:
            due, path = self.timers[0]
            step = self.live.get(path)
            if step and step.record.memo.get("due") == due.isoformat() and not step.record.state.is_terminal:
                return due, step
            heapq.heappop(self.timers)
        return None

    @property
    def has_room(self) -> bool:
        """Tell whether the executor may be given another step now."""
        most = self.limits.max_parallel
        return self.state in (RunState.RUNNING, RunState.WAITING) and (most is None or len(self.running) < most)

    @property
    def is_held(self) -> bool:
        """Tell whether nothing new may begin: the run is paused, ending or ended."""
        return self.state not in (RunState.RUNNING, RunState.WAITING)

    def is_ready(self, path: str) -> bool:
        record = self.steps.get(path)
        return record is not None and record.state is StepState.READY
