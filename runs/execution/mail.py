"""What an actor's mailbox holds: facts, calls that wish to begin or have ended, and who waits for a commit."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from runs.engine.facts import Fact, PipelineWanted, StepBlocked, StepFailed, StepSucceeded
from runs.execution.context import CallIntent, CallOutcome


@dataclass(frozen=True, slots=True)
class Begin:
    """A call that wishes to begin. `prepare` is called while its intent is being written."""

    intent: CallIntent
    granted: asyncio.Future[None]
    prepare: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    intent: CallIntent
    outcome: CallOutcome


@dataclass(frozen=True, slots=True)
class AfterCommit:
    """Asks to be told once all that came before it is durable."""

    done: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class FromInbox:
    id: int
    fact: Fact


Mail = Fact | Begin | Finish | AfterCommit | FromInbox
RESULTS = StepSucceeded | StepFailed | StepBlocked | PipelineWanted
