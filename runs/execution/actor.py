"""A run in its owner's memory: facts in, decisions written, steps carried out. The only writer of the run.

One turn: take what the mailbox holds, decide, start the new steps up to their first call, write everything in one
commit, then let the calls go. Nothing leaves the process before the commit that announces it.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from psycopg_pool import PoolTimeout

from runs import allowance, boards, talks
from runs.cache import Kept
from runs.engine import decide
from runs.engine.decision import Decision, Start
from runs.engine.facts import (
    BoardSeen,
    CancelForced,
    ErrorClass,
    Fact,
    LimitReached,
    StepError,
    StepFailed,
    Tick,
    from_json,
)
from runs.execution import results
from runs.execution.context import CallIntent, CallOutcome, StepAborted
from runs.execution.host import Host
from runs.execution.mail import RESULTS, AfterCommit, Begin, Finish, FromInbox, Mail
from runs.execution.owned import OwnedRun
from runs.execution.step_context import CANCELLED, AttemptContext, never_made
from runs.execution.steps import carry_out
from runs.store import TRANSIENT, Fenced
from runs.talks import Summary, Turn

log = logging.getLogger("baton.actor")

FORCE_AFTER = 30.0
PARK_BEYOND = 30.0


class Actor:
    def __init__(self, host: Host, run: OwnedRun) -> None:
        self._host = host
        self.run = run
        self._mail: list[Mail] = []
        self._news = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._contexts: dict[str, AttemptContext] = {}
        self._next: dict[str, Start] = {}  # by path: what begins when the attempt before it has ended
        self._stopping: dict[str, float] = {}  # by path: when it is cut off
        self._seen: set[int] = set()
        self._leaving = False
        self.left_mail = self.was_handed_over = False
        self._left = asyncio.Event()

    # -- the mailbox ------------------------------------------------------------------------------------------------

    def post(self, mail: Mail) -> None:
        """Put something in the mailbox; the next turn takes it."""
        self._mail.append(mail)
        self._news.set()

    async def hold(self, intent: CallIntent) -> None:
        """Hold a model call to the budgets of its pipeline and workspace; raise StepAborted when one refuses.

        What the run's earlier calls left of their holds is given back first: it may be what this one needs.
        """
        await self._committed()
        wanted = allowance.Wanted(self.run.id, self.run.epoch, intent.key, intent.name, intent.reserve_micros)
        held = await self._host.hold(wanted)
        self.run.announce(held.alerts)
        if held.refusal:
            if held.beyond:
                self.run.execution.refusals[intent.path] = held.beyond
            raise StepAborted(held.refusal)

    async def cached(self, key: str) -> Kept | None:
        """Return what was kept under a key in the run's workspace; what this run has just come to is kept first."""
        await self._committed()
        return await self._host.cached(self.run.workspace_id, key)

    async def heard(self, trusts: dict[str, str]) -> list[Turn]:
        """Return what earlier steps of the run were asked and answered."""
        await self._committed()
        return await self._host.ask(lambda connection: talks.heard(connection, self.run.id, trusts))

    async def said(self, key: str) -> list[Turn]:
        """Return a session of the run's workspace; what this run has just said in it is written first."""
        await self._committed()
        return await self._host.ask(lambda connection: talks.said(connection, self.run.workspace_id, key))

    async def summaries(self, key: str) -> list[Summary]:
        """Return what a talk of the run's workspace was summed up to."""
        await self._committed()
        return await self._host.ask(lambda connection: talks.summaries(connection, self.run.workspace_id, key))

    async def change_board(self, wanted: boards.Wanted) -> boards.Made | StepError:
        """Make a change of the board that the run shares; that the step is under way is written first."""
        await self._committed()
        return await self._host.ask(lambda connection: boards.change(connection, self.run.board, wanted))

    async def _board_news(self) -> list[Fact]:
        """Return what others have done to a board that the run shares, so that no decision overlooks it."""
        if not self.run.shares_board:
            return []
        board, before = self.run.board.board, self.run.board_seen
        seen = await self._host.ask(lambda connection: boards.look(connection, board, before))
        self.run.board_seen = seen.upto
        return [BoardSeen(seen.changes)] if seen.changes else []

    async def _committed(self) -> None:
        """Return once all that was decided before is durable."""
        settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.post(AfterCommit(settled))
        await settled

    def begin(self, intent: CallIntent, prepare: Callable[[], None] | None) -> asyncio.Future[None]:
        """Ask for a call; the future is done when its intent is durable, or fails with StepAborted."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if intent.path in self._stopping:
            future.set_exception(StepAborted(CANCELLED))
        else:
            self.post(Begin(intent, future, prepare))
        return future

    def finish(self, intent: CallIntent, outcome: CallOutcome) -> None:
        self.post(Finish(intent, outcome))

    def deliver(self, inbox: Iterable[tuple[int, object]]) -> None:
        """Take facts from inbox rows, each once, however often they are read."""
        for row_id, data in inbox:
            if row_id not in self._seen:
                self._seen.add(row_id)
                self.post(FromInbox(row_id, from_json(data)))  # type: ignore[arg-type]

    def now(self) -> datetime:
        """Return the database's time, as the worker knows it."""
        return self._host.now()

    async def look_into_inbox(self) -> None:
        """Read the news. While the database is away there are none: the rows stay and the poll finds them."""
        try:
            self.deliver(await self._host.read_inbox(self.run.id))
        except (*TRANSIENT, PoolTimeout) as error:
            log.warning("The inbox of run %s waits for the database: %s", self.run.id, error)

    # -- life -------------------------------------------------------------------------------------------------------

    async def live(self) -> None:
        """Own the run until it ends, is parked or is taken away. Always leaves no task behind."""
        try:
            while not await self._turn():
                await self._wait()
        except Fenced:
            log.warning("Run %s has another owner now.", self.run.id)
        finally:
            await self._abandon()
            self._left.set()

    @property
    def is_busy(self) -> bool:
        """Whether a step is being carried out."""
        return bool(self._tasks)

    @property
    def is_leaving(self) -> bool:
        """Whether no further call may be made here."""
        return self._leaving

    def leave(self) -> None:
        """Begin nothing more and release the run once the calls under way have come back; at once where there are none.

        An attempt between two calls is cut off: the next owner goes on with it, and finds in the journal what it had.
        """
        if self._leaving:
            return
        self._leaving = True
        for path, context in self._contexts.items():
            if not context.is_calling:
                self._tasks[path].cancel()
        self._news.set()

    async def hand_over(self) -> None:
        """Cut off what runs, write it down and release the run, so that another worker takes it at once."""
        self._leaving = True
        for task in self._tasks.values():
            task.cancel()
        self._news.set()
        await self._left.wait()

    async def _abandon(self) -> None:
        """Stop every step where it stands; what was not committed never happened."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for mail in self._mail:
            if isinstance(mail, Begin) and not mail.granted.done():
                mail.granted.cancel()

    async def _wait(self) -> None:
        """Sleep until there is mail or a timer is due."""
        now = self._host.now()
        due = [self.run.wake_at] if self.run.wake_at else []
        if (force_at := min(self._stopping.values(), default=math.inf)) < math.inf:
            due.append(now + timedelta(seconds=max(0.0, force_at - time.monotonic())))
        timeout = max(0.0, (min(due) - now).total_seconds()) if due else None
        try:
            await asyncio.wait_for(self._news.wait(), timeout)
        except TimeoutError:
            self.post(self._timer_fact())

    def _timer_fact(self) -> Fact:
        """Cut off what did not end in its time. A run that is being cancelled waits for that no longer; to one that
        goes on, where a next attempt may stand at that path, `CancelForced` says no more than a tick."""
        late = [path for path, until in self._stopping.items() if until <= time.monotonic()]
        for path in late:
            self._stopping[path] = math.inf
            if task := self._tasks.get(path):  # none while the run is being handed over
                task.cancel()
        return Tick() if self.run.execution.running.isdisjoint(late) else CancelForced()

    # -- one turn ---------------------------------------------------------------------------------------------------

    async def _turn(self) -> bool:
        """Decide on the mail and commit; return True when the run left this worker."""
        now = self._host.now()
        facts = await self._board_news()
        mail = self._drain()
        taken: list[int] = []
        begins: list[Begin] = []
        told: list[AfterCommit] = []
        for item in mail:
            match item:
                case Begin():
                    begins.append(item)
                case AfterCommit():
                    told.append(item)
                case Finish(intent, outcome):
                    self.run.settle(intent, outcome, now)
                case FromInbox(row_id, fact):
                    taken.append(row_id)
                    facts.append(fact)
                case fact:
                    facts.append(fact)
                    self._forget_task(fact)
        if too_long := self.run.beyond_limits:
            facts.append(LimitReached(too_long))
        decision = decide.decide(self.run.execution, facts, now)
        self._stop(decision.cancels)
        granted = self._admit(begins, now)
        if starts := self._in_turn(decision.starts):
            granted += await self._start_all(starts, now)
        left = await self._commit(decision, granted, taken, now)
        for waiting in told:
            if not waiting.done.done():
                waiting.done.set_result(None)
        return left

    async def _commit(self, decision: Decision, granted: list[Begin], taken: list[int], now: datetime) -> bool:
        leaves = self._may_leave(decision, now)
        self.run.wake_at = now if self._leaving else decision.wake_at
        commit = self.run.commit(decision, taken, now, release=leaves)
        if commit is not None:
            for begin in granted:
                if begin.prepare:
                    begin.prepare()
            waiting = await self._host.commit(commit)
            self._host.committed(self.run, decision)
        else:
            waiting = False
        for begin in granted:
            if begin.granted.done():  # its step was cancelled while the intent was written: the call is never made
                self.finish(begin.intent, never_made(begin.intent, now))
            else:
                begin.granted.set_result(None)
        if leaves and commit is not None:
            self.left_mail = waiting or bool(self._mail)  # read or posted while the commit was under way
            self.was_handed_over = self._leaving and not decision.run.is_terminal
            return True
        if waiting:
            await self.look_into_inbox()
        return False

    def _may_leave(self, decision: Decision, now: datetime) -> bool:
        if self._tasks or self._mail:
            return False
        if decision.run.is_terminal or self._leaving:
            return True
        timer_is_far = decision.wake_at is None or (decision.wake_at - now).total_seconds() > PARK_BEYOND
        return decision.idle and timer_is_far

    def _drain(self) -> list[Mail]:
        mail, self._mail = self._mail, []
        self._news.clear()
        return mail

    def _take_begins(self) -> list[Begin]:
        begins = [item for item in self._mail if isinstance(item, Begin)]
        if begins:
            self._mail = [item for item in self._mail if not isinstance(item, Begin)]
            if not self._mail:
                self._news.clear()
        return begins

    def _admit(self, begins: list[Begin], now: datetime) -> list[Begin]:
        """Reserve each call's money; refuse what would pass a cap. Return the calls that may go after the commit."""
        granted = []
        for begin in begins:
            if begin.granted.done():
                continue
            refusal = CANCELLED if begin.intent.path in self._stopping else self.run.reserve(begin.intent, now)
            if refusal is None:
                granted.append(begin)
            else:
                begin.granted.set_exception(StepAborted(refusal))
        return granted

    # -- steps ------------------------------------------------------------------------------------------------------

    def _in_turn(self, starts: Iterable[Start]) -> list[Start]:
        """Return the steps to begin now: an attempt waits for the end of a cancelled one at the same path, so that
        what that has done stands in the journal."""
        self._next |= {start.path: start for start in starts}
        if self._leaving:
            return []
        return [self._next.pop(path) for path in list(self._next) if path not in self._tasks]

    async def _start_all(self, starts: Iterable[Start], now: datetime) -> list[Begin]:
        """Start the steps, each up to its first call, and return those calls: their intents join the commit."""
        for start in starts:
            context = self._contexts[start.path] = AttemptContext(self, self._host, start)
            self._tasks[start.path] = asyncio.create_task(self._carry(context), name=f"{self.run.id}/{start.path}")
        await asyncio.sleep(0)
        return self._admit(self._take_begins(), now)

    async def _carry(self, context: AttemptContext) -> None:
        start = context.start
        try:
            ended: Fact = results.bounded(await carry_out(context))
            self.run.bring(results.brought(context, ended))
        except asyncio.CancelledError:
            context.lose_open_calls()
            ended = StepFailed(start.path, start.attempt, replace(CANCELLED, maybe_done=True))
            if self._leaving:
                context.ended(ended)
                self._tasks.pop(start.path, None)
                self._news.set()
                return
        except BaseException as broken:
            # A panic in a native library, or a tool that calls sys.exit: it ends the step, not the worker.
            log.exception("Step %s of run %s broke out", start.path, self.run.id)
            context.lose_open_calls()
            message = f"Baton itself failed at this step: {type(broken).__name__}. The worker's log has the details."
            error = StepError(ErrorClass.INTERNAL, "internal", message, maybe_done=True)
            ended = StepFailed(start.path, start.attempt, error)
        context.ended(ended)
        self.post(ended)

    def _stop(self, paths: Iterable[str]) -> None:
        """Let calls that are under way finish, so that their cost is known, but make no further one; what has not begun
        never does."""
        until = time.monotonic() + FORCE_AFTER
        for path in paths:
            if never := self._next.pop(path, None):
                self.post(StepFailed(path, never.attempt, CANCELLED))
            if path in self._tasks:
                self._stopping.setdefault(path, until)
                self._contexts[path].stop()

    def _forget_task(self, fact: Fact) -> None:
        """Forget the attempt that has ended with this fact, if it is one that had begun."""
        if not isinstance(fact, RESULTS):
            return
        context = self._contexts.get(fact.path)
        if context and context.start.attempt == fact.attempt:
            del self._contexts[fact.path]
            self._tasks.pop(fact.path, None)
            self._stopping.pop(fact.path, None)
