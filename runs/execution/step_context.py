"""What one attempt holds of its run: the journal, the lock, and the way to announce a call before making it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

from pipelines.graph.lock import Price
from pipelines.graph.tools import ToolSpec
from runs.boards import Made, Wanted
from runs.cache import Kept
from runs.engine.budget import Refusal
from runs.engine.decision import Start
from runs.engine.facts import ErrorClass, Fact, StepError
from runs.execution.admission import Asked, Attempt, is_cut
from runs.execution.context import MODEL, CallIntent, CallOutcome, JournalEntry, StepAborted
from runs.execution.host import Host
from runs.talks import Summary, Turn

if TYPE_CHECKING:
    from runs.execution.actor import Actor

CANCELLED = StepError(ErrorClass.INTERNAL, "cancelled", "The step was cancelled.")


class AttemptContext:
    """Implements `context.StepContext` for one attempt. A call holds one of the worker's slots while it is open."""

    def __init__(self, actor: "Actor", host: Host, start: Start) -> None:
        self._actor, self._slots, self._admission = actor, host.slots, host.admission
        self._stopped = False
        self._in_line: asyncio.Future[None] | None = None
        self._open: dict[str, CallIntent] = {}
        run = actor.run
        self.run_id, self.workspace_id, self.pipeline_id = run.id, run.workspace_id, run.pipeline_id
        self.rehearsal = run.rehearsal
        self.start = start
        self._attempt = Attempt.of(self.workspace_id, self.run_id, start)
        self.journal: Sequence[JournalEntry] = run.journal_of(start.path)
        self.prices: Mapping[str, Price | None] = run.lock.prices
        self.windows: Mapping[str, int] = run.lock.windows
        self.tools: Mapping[str, ToolSpec] = run.lock.tools
        self.origin: Kept | None = None

    async def cached(self, key: str) -> Kept | None:
        return await self._actor.cached(key)

    async def heard(self, trusts: dict[str, str]) -> Sequence[Turn]:
        return await self._actor.heard(trusts)

    async def said(self, key: str) -> Sequence[Turn]:
        return await self._actor.said(key)

    async def summaries(self, key: str) -> Sequence[Summary]:
        return await self._actor.summaries(key)

    def keep_summary(self, key: str, summary: Summary) -> None:
        self._actor.run.keep_summary(key, summary, self.now())

    async def change_board(self, wanted: Wanted) -> Made | StepError:
        return await self._actor.change_board(wanted)

    def stop(self) -> None:
        """Make no further call: one that waits for its turn at a connection gives up."""
        self._stopped = True
        if self._in_line:
            self._in_line.cancel()

    def stop_at(self, refusal: Refusal) -> NoReturn:
        self._actor.run.execution.refusals[self.start.path] = refusal
        raise StepAborted(StepError(ErrorClass.BUDGET, refusal.code, refusal.message))

    @property
    def is_calling(self) -> bool:
        """Whether a call is out."""
        return bool(self._open)

    async def begin(self, intent: CallIntent, prepare: Callable[[], None] | None = None) -> None:
        if self._actor.is_leaving:
            raise asyncio.CancelledError
        asked = Asked(self.workspace_id, self.run_id, intent, self.start.seconds_left, self._attempt)
        if self._admission.concerns(asked):
            await self._stand_in_line(asked)
        try:
            await self._reserve(intent, prepare)
        except BaseException:
            self._admission.never_made(asked)
            raise
        self._open[intent.key] = intent

    async def _stand_in_line(self, asked: Asked) -> None:
        self._in_line = asyncio.ensure_future(self._admission.enter(asked))
        try:
            await self._in_line
        except asyncio.CancelledError:
            if self._stopped:
                raise StepAborted(CANCELLED) from None
            raise
        finally:
            self._in_line = None

    async def _reserve(self, intent: CallIntent, prepare: Callable[[], None] | None) -> None:
        if not self._slots.take_now():
            await self._slots.take(self.run_id)
        try:
            if intent.kind == MODEL and self._actor.run.budgeted:
                await self._actor.hold(intent)
            await self._announce(intent, prepare)
        except BaseException:
            self._slots.give()
            self._actor.run.let_go(intent)
            raise

    async def _announce(self, intent: CallIntent, prepare: Callable[[], None] | None) -> None:
        """Return once the intent is durable. Cut off at the very moment it became so, the call is settled unmade."""
        granted = self._actor.begin(intent, prepare)
        try:
            await granted
        except BaseException:
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                self._actor.finish(intent, never_made(intent, self.now()))
            raise

    def finish(self, intent: CallIntent, outcome: CallOutcome) -> None:
        if self._open.pop(intent.key, None):
            self._slots.give()
            self._admission.ended(Asked(self.workspace_id, self.run_id, intent, is_cut=is_cut(self.start)), outcome)
            self._actor.finish(intent, outcome)

    def ended(self, fact: Fact) -> None:
        """Take note of how the attempt went."""
        if self._attempt:
            self._admission.attempt_ended(self._attempt, fact)

    def lose_open_calls(self) -> None:
        """The attempt was cut off: nobody will know what these calls did, so their reservations stay."""
        for intent in list(self._open.values()):
            error = StepError(ErrorClass.INTERNAL, "lost", "The step was stopped before the answer came.")
            self.finish(intent, _outcome(error, self.now(), lost=True))

    def now(self) -> datetime:
        return self._actor.now()


def never_made(intent: CallIntent, now: datetime) -> CallOutcome:
    """Return the outcome of a call that was announced and then not made: it cost nothing."""
    error = StepError(ErrorClass.INTERNAL, "cancelled", f"{intent.name} was not called: the step was cancelled.")
    return _outcome(error, now, lost=False)


def _outcome(error: StepError, now: datetime, *, lost: bool) -> CallOutcome:
    return CallOutcome(
        response=None,
        error=error,
        input_tokens=None,
        output_tokens=None,
        cost_micros=None,
        attributes={},
        started=now,
        finished=now,
        lost=lost,
    )
