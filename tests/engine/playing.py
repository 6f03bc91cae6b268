"""A scripted executor: carries starts out as a test says, keeps rows as a database would, and can crash anywhere."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from pipelines.graph.model import Budget, Document
from runs.engine.budget import Spend
from runs.engine.decide import decide
from runs.engine.decision import Decision, Event, Start, StepRecord
from runs.engine.facts import (
    Answered,
    ErrorClass,
    Fact,
    PipelineWanted,
    Recovered,
    RunRequested,
    StepBlocked,
    StepError,
    StepFailed,
    StepSucceeded,
    Tick,
)
from runs.engine.origin import Origin
from runs.engine.state import Execution
from runs.engine.status import RunState, StepState
from tests.engine.building import NOON, a_document, a_graph, a_lock

Script = Mapping[str, Any]


class Fails:
    """An attempt that fails; `cls` is an error class by name."""

    def __init__(self, cls: str = "tool_error", code: str = "broken", **more: Any) -> None:
        self.error = StepError(ErrorClass(cls), code, f"It is {code}.", **more)


class Player:
    """`script` maps a path, or else a node, to what it comes to: a value, Fails, a list of them by turn, or a function
    of the Start. What is not in it comes to the path itself.

    With `lingers` a cancelled attempt goes on until its call has answered, as a worker's does: it is in `late`, and
    another attempt at its path waits in `next` for its end."""

    lingers = False

    def __init__(self, document: Document, script: Script | None = None, input: Any = None, **more: Any) -> None:
        self.document, self.script = document, dict(script or {})
        self.lock = more.get("lock") or a_lock(document)
        self.input = input or {}
        self.budget: Budget = more.get("budget") or document.budget
        self.now: datetime = NOON
        self.origin: Origin = more.get("origin") or Origin("root")
        self.run = Execution.begin(self.document, self.lock, self.input, self.budget, self.origin)
        self.rows: dict[str, dict[str, Any]] = {}
        self.events: list[Event] = []
        self.started: list[Start] = []
        self.open: dict[str, Start] = {}
        self.late: dict[str, Start] = {}
        self.next: dict[str, Start] = {}
        self.cancelled: list[str] = []
        self.last: Decision = Decision(RunState.QUEUED)
        self.turns: dict[str, int] = {}
        self.step_spends: dict[str, Spend] = {}

    # -- one decision -----------------------------------------------------------------------------------------------

    def tell(self, *facts: Fact) -> Decision:
        """Decide on facts and keep what a database and an executor would."""
        decision = decide(self.run, facts, self.now)
        self.last = decision
        self.events += decision.events
        for path, record in decision.changed.items():
            self.rows[path] = json.loads(json.dumps(asdict(record), default=str))
        for path in decision.cancels:
            self._call_off(path)
        for start in decision.starts:
            self._take(start)
        return decision

    def _call_off(self, path: str) -> None:
        self.cancelled.append(path)
        self.next.pop(path, None)
        start = self.open.pop(path, None)
        if start and self.lingers:
            self.late[path] = start

    def _take(self, start: Start) -> None:
        self.started.append(start)
        if before := self.late.get(start.path):
            assert start.attempt > before.attempt, f"{start.path} would be taken for its own earlier attempt"
            self.next[start.path] = start
        else:
            is_open = self.lingers and isinstance(self.open.get(start.path), Start)
            assert not is_open, f"{start.path} would be carried out twice at once"
            self.open[start.path] = start

    def begin(self) -> Decision:
        return self.tell(RunRequested())

    def finish(self, path: str) -> Decision:
        """End an open attempt as the script says."""
        return self.tell(self.outcome(self.open.pop(path)))

    def end_late(self, path: str) -> Decision:
        """Let a cancelled attempt's call answer at last; what waited for that begins."""
        decision = self.tell(self.outcome(self.late.pop(path)))
        if start := self.next.pop(path, None):
            self.open[path] = start
        return decision

    def outcome(self, start: Start) -> StepSucceeded | StepFailed | StepBlocked | PipelineWanted:
        said = self.script.get(start.path, self.script.get(start.node.id, start.path))
        if isinstance(said, list):
            turn = self.turns.get(start.path, 0)
            self.turns[start.path] = turn + 1
            said = said[min(turn, len(said) - 1)]
        if callable(said):
            said = said(start)
        if isinstance(said, StepSucceeded | StepFailed | StepBlocked | PipelineWanted):
            return said
        if isinstance(said, Fails):
            return StepFailed(start.path, start.attempt, said.error, jitter=0.5)
        return StepSucceeded(start.path, start.attempt, said)

    # -- many -------------------------------------------------------------------------------------------------------

    def play(
        self,
        choose: Callable[[Sequence[str]], str] = lambda paths: paths[0],
        each_time: Callable[["Player"], None] = lambda player: None,
    ) -> "Player":
        """Carry out everything there is to do, timers included, until the run ends or waits for a person."""
        if self.run.state is RunState.QUEUED:
            self.begin()
        for _ in range(100_000):
            each_time(self)
            if self.open:
                self.finish(choose(sorted(self.open)))
            elif self.last.wake_at and not self.last.run.is_terminal:
                self.now = max(self.now, self.last.wake_at)
                self.tell(Tick())
            else:
                return self
        raise AssertionError("The run never ends.")

    def in_any_order(self, seed: int) -> "Player":
        return self.play(random.Random(seed).choice)

    def wait(self, seconds: float) -> Decision:
        self.now += timedelta(seconds=seconds)
        return self.tell(Tick())

    def crash(self, *, crashed: bool = True) -> Decision:
        """Lose all memory and come back from the rows."""
        for tasks in (self.open, self.late, self.next):
            tasks.clear()
        self.run = Execution.restore(
            self.document,
            self.lock,
            self.input,
            self.budget,
            self.records(),
            self.run.state,
            self.run.spend,
            self.step_spends,
            origin=self.origin,
        )
        return self.tell(Recovered(crashed=crashed))

    def records(self) -> list[StepRecord]:
        return [_record(row) for row in self.rows.values()]

    # -- people -----------------------------------------------------------------------------------------------------

    def asked(self) -> list[Mapping[str, Any]]:
        """Return the open questions, oldest first."""
        found: dict[str, Mapping[str, Any]] = {}
        for event in self.events:
            if event.type == "approval_requested":
                found[event.payload["request"]] = event.payload
            elif event.type == "approval_decided":
                found.pop(event.payload["request"], None)
        return list(found.values())

    def answer(self, decision: str, payload: Any = None, *, path: str = "", **more: Any) -> Decision:
        """Answer the oldest open question (of a path)."""
        question = next(q for q in self.asked() if q["request"].startswith(path))
        request = str(question["request"])
        return self.tell(Answered(request, f"approval-of-{request}", decision, payload, by="bob@example.com", **more))

    # -- what to look at --------------------------------------------------------------------------------------------

    def states(self) -> dict[str, str]:
        return {path: row["state"] for path, row in sorted(self.rows.items())}

    def state(self, path: str) -> str:
        return str(self.rows[path]["state"])

    def row(self, path: str) -> dict[str, Any]:
        return self.rows[path]

    def paths_started(self) -> list[str]:
        return [start.path for start in self.started]

    def types(self, path: str | None = None) -> list[str]:
        return [event.type for event in self.events if path is None or event.path == path]


def _record(row: Mapping[str, Any]) -> StepRecord:
    fields = dict(row)
    fields["state"] = StepState(row["state"])
    fields["ports"] = tuple(row["ports"])
    for name in ("started_at", "finished_at"):
        fields[name] = datetime.fromisoformat(row[name]) if row[name] else None
    return StepRecord(**fields)


def a_run(drawing: str, script: Script | None = None, **nodes: Any) -> Player:
    """Return a run of a drawn pipeline, not started. `document` and `input` are the document's fields and the input."""
    fields = nodes.pop("document", {})
    given = nodes.pop("input", {})
    more = {name: nodes.pop(name) for name in ("budget",) if name in nodes}
    return Player(a_document(a_graph(drawing, **nodes), **fields), script, given, **more)


def spent(cost: int) -> Spend:
    return Spend(cost=cost)
