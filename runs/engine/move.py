"""One call of `decide` in progress: what has been decided so far and what is still to be looked at."""

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipelines.graph.model import Json
from runs.engine.decision import Decision, Event, StepRecord, Tell
from runs.engine.facts import CancelRequested, PauseRequested, ResumeRequested, StepError
from runs.engine.origin import child_id
from runs.engine.scope import Scope, Step
from runs.engine.state import Execution
from runs.engine.status import RunState


@dataclass(frozen=True, slots=True)
class Ending:
    """The verdict on the run, to be carried out before anything else."""

    state: RunState
    reason: str | None = None
    error: StepError | None = None
    path: str | None = None
    output: Json = None


class Move:
    """`dirty` are nodes with a newly settled in-edge, `closed` scopes without an unfinished node, `hungry` containers
    that may begin another item or round, `launches` steps prepared for the executor, `unasked` steps that wait for a
    person in a run in which nobody is asked. `unserved`: a question was taken back for whose answer runs below may have
    waited."""

    __slots__ = ("closed", "decision", "dirty", "ending", "hungry", "launches", "now", "run", "unasked", "unserved")

    def __init__(self, run: Execution, now: datetime) -> None:
        self.run = run
        self.now = now
        self.decision = Decision(run.state)
        self.dirty: deque[tuple[Scope, str]] = deque()
        self.closed: deque[Scope] = deque()
        self.hungry: deque[Step] = deque()
        self.launches: deque[Step] = deque()
        self.unasked: deque[Step] = deque()
        self.unserved = False
        self.ending: Ending | None = None

    def log(self, type_: str, path: str | None = None, **payload: Any) -> None:
        self.decision.events.append(Event(type_, path, payload))

    def touch(self, step: Step) -> None:
        """Have the step's record written."""
        self.decision.changed[step.record.path] = step.record

    def stop(self, step: Step) -> bool:
        """Have the executor stop a step. Return False for one that it has not been given yet, and now never will be."""
        starts = [start for start in self.decision.starts if start.path != step.path]
        if len(starts) == len(self.decision.starts):
            self.decision.cancels.append(step.path)
            return True
        self.decision.starts = starts
        self.run.running.discard(step.path)
        return False

    def tell_children(self, record: StepRecord, fact: CancelRequested | PauseRequested | ResumeRequested) -> None:
        """Leave a fact for every run that a step has started and waits for; detached ones go their own way."""
        live = record.memo.get("children", {}).get("live", {})
        for number, child in live.items():
            if not child["detached"]:
                self.decision.tells.append(Tell(child_id(self.run.origin.run, record.path, int(number)), fact))

    def enter(self, scope: Scope) -> None:
        """Look at the nodes of a scope that begins: those that wait for nothing, and, where a fork took steps over,
        those that something has reached."""
        self.dirty.extend((scope, name) for name, counts in scope.counts.items() if not counts[0] or any(counts[1:]))
        self.hungry.extend(step for step in scope.steps.values() if step.path in self.run.containers)
        if not scope.open:
            self.closed.append(scope)
