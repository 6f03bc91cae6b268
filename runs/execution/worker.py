"""One event loop per worker process: it claims runs, owns them as actors, and gives them back.

Celery rings (`wake`), the poll finds what no bell announced, the heartbeat keeps the leases.
"""

import asyncio
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import datetime
from typing import Any, TypeVar

import uvloop
from asgiref.sync import sync_to_async
from django import db
from django.conf import settings
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from accounts.ids import new_id
from pipelines.graph import parse
from pipelines.graph.lock import Lock
from runs import allowance, boards, cache, claims, live
from runs.claims import Claim, Claimed
from runs.engine.decision import Decision, Event
from runs.engine.facts import Recovered
from runs.engine.status import RunState
from runs.execution import background
from runs.execution.actor import Actor
from runs.execution.admission import Admission
from runs.execution.clock import DatabaseClock, Reading
from runs.execution.committer import Committer
from runs.execution.heartbeat import Heartbeat
from runs.execution.models import registry
from runs.execution.owned import OwnedRun, Pinned
from runs.execution.quarantine import Quarantine
from runs.execution.slots import Slots
from runs.store import TRANSIENT, Commit

log = logging.getLogger("baton.worker")
Answer = TypeVar("Answer")

HAND_OVER_SECONDS = 5.0
ASK_AGAIN_SECONDS = 0.5
KEPT_VERSIONS = 256
HOPELESS_AFTER = 8
MOST_RUNS = 1000
LIST_EVENTS = frozenset({"run_started", "run_waiting", "run_resumed", "run_finished", "run_cancelling", "run_paused",
                         "approval_requested", "approval_decided"})  # fmt: skip
MEETING_EVENTS = frozenset({"event_sent", "lock_released"})


class Worker:
    """Lives on one event loop; `wake`, `drain` and `stop` may be called from any thread."""

    def __init__(self, node: str) -> None:
        self.owner = f"{node}/{new_id().hex[-12:]}"
        self.slots = Slots(settings.WORKER_CONCURRENCY)
        self.admission = Admission(self.owner, self.ask, self._spawn)
        self._actors: dict[str, Actor] = {}
        self._claiming: set[str] = set()  # from the question until the actor lives
        self._tasks: set[asyncio.Task[None]] = set()
        self._versions: OrderedDict[str, Pinned] = OrderedDict()
        self._draining = False
        self._quarantine = Quarantine()
        self._clock = DatabaseClock()
        self._stopped = False
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, name="runs", daemon=True)
        self._ready = threading.Event()

    # -- from any thread --------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()

    def wake(self, run_id: str, *, forwarded: bool) -> None:
        """Look after a run: hand its owner the news, or claim it."""
        self.loop.call_soon_threadsafe(self._spawn, self._wake(run_id, forwarded))

    def drain(self) -> None:
        """Claim nothing more; what runs may finish until `stop`."""
        self._draining = True

    def stop(self) -> None:
        """Let calls under way come back for as long as is set, give every run back, end the loop. Blocks until done."""
        self._draining = self._stopped = True
        future = asyncio.run_coroutine_threadsafe(self._shut_down(), self.loop)
        future.result(settings.DRAIN_SECONDS + 10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)

    # -- what actors need -------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """Return the database's time: this machine's own clock may be wrong, and may jump."""
        return self._clock.now()

    async def commit(self, commit: Commit) -> bool:
        return await self._committer.commit(commit)

    async def hold(self, wanted: allowance.Wanted) -> allowance.Held:
        """Hold a call to its budgets; while the database is away the call waits, for unheld it must not be made."""
        return await self.ask(lambda connection: allowance.hold(connection, wanted))

    async def cached(self, workspace_id: str, key: str) -> cache.Kept | None:
        """Return the result kept under a key."""
        return await self.ask(lambda connection: cache.look_up(connection, workspace_id, key))

    async def ask(self, question: Callable[[AsyncConnection[Any]], Awaitable[Answer]]) -> Answer:
        """Return the database's answer; while it is away, wait."""
        while True:
            try:
                async with self._pool.connection() as connection:
                    return await question(connection)
            except (*TRANSIENT, PoolTimeout) as error:
                log.warning("A call waits for the database: %s", error)
                await asyncio.sleep(ASK_AGAIN_SECONDS)

    async def read_inbox(self, run_id: str) -> list[tuple[int, object]]:
        async with self._pool.connection() as connection:
            return await claims.read_inbox(connection, run_id)

    def committed(self, run: OwnedRun, decision: Decision) -> None:
        lists = any(event.type in LIST_EVENTS for event in decision.events)
        self._bell.changed(run.id, run.workspace_id, lists=lists)
        if any(self._is_about_others(event) for event in decision.events):
            self._meeting.call()
        told = {*(child.id for child in decision.children), *(tell.child for tell in decision.tells)}
        if run.parent_id and (decision.asks or any(event.type == "run_finished" for event in decision.events)):
            told.add(run.parent_id)
        if told:
            self._spawn(self._tell(told))

    @staticmethod
    def _is_about_others(event: Event) -> bool:
        """Tell whether something began or ended that other runs may wait for: then nobody need wait for the poll."""
        return event.type in MEETING_EVENTS or bool(event.payload.get("events") or event.payload.get("lock"))

    async def _tell(self, run_ids: Iterable[str]) -> None:
        """Ring the runs that a commit left facts for: my own at once, the others through the broker."""
        mine = [actor for run_id in run_ids if (actor := self._actors.get(run_id))]
        for actor in mine:
            await actor.look_into_inbox()
        others = [run_id for run_id in run_ids if run_id not in self._actors]
        if others:
            await sync_to_async(background.ring, thread_sensitive=False)(others)

    # -- the loop ---------------------------------------------------------------------------------------------------

    def _run_loop(self) -> None:
        try:
            asyncio.set_event_loop(self.loop)
            self.loop.run_until_complete(self._set_up())
            self._ready.set()
            self.loop.run_forever()
        finally:
            if not self._stopped:  # a worker without its loop only swallows bells: end, so that another is started
                log.critical("The event loop has ended: this process ends.", exc_info=True)
                os._exit(os.EX_SOFTWARE)

    async def _set_up(self) -> None:
        conninfo = background.conninfo()
        self._pool = AsyncConnectionPool(
            conninfo,
            min_size=1,
            max_size=4,
            open=False,
            timeout=5,
            reconnect_timeout=5,  # then the next question tries anew: the pauses between attempts must not grow
            kwargs={"autocommit": True},
        )
        await self._pool.open(wait=False)
        is_late = await self._read_clock()
        self._committer = Committer(conninfo)
        self._bell = live.Bell()
        self._meeting = background.Meeting(self._spawn)
        self._heartbeat = Heartbeat(conninfo, self.owner, settings.LEASE_SECONDS, is_late=is_late)
        self._heartbeat.start()
        self._spawn(self._beat())
        self._spawn(background.again_and_again(self._look_around))
        self._spawn(background.again_and_again(sync_to_async(background.run_jobs, thread_sensitive=False)))
        self._spawn(self._warm_up())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _beat(self) -> None:
        while True:
            self._heartbeat.beat()
            await asyncio.sleep(1)

    async def _warm_up(self) -> None:
        """Load the providers' libraries beside the work, where there is a connection: the first call need not wait."""
        await sync_to_async(background.warm_up, thread_sensitive=False)()

    async def _read_clock(self) -> bool:
        """Learn the database's time; wait for a database that is not there yet, and return whether it was not."""
        is_late = False
        while True:
            try:
                async with self._pool.connection() as connection:
                    self._clock.learn(Reading(*await claims.clock(connection)))
                    await self.admission.refresh(connection)
                return is_late
            except (*TRANSIENT, PoolTimeout) as error:
                is_late = True
                log.warning("The worker waits for the database: %s", error)
                await asyncio.sleep(ASK_AGAIN_SECONDS)

    async def _look_around(self) -> None:
        """Find facts and timers that no bell announced, expired leases, and runs that are mine without my knowing."""
        async with self._pool.connection() as connection:
            self._clock.learn(Reading(*await claims.clock(connection)))
            is_back = self._heartbeat.is_back
            if is_back:
                await claims.settle_abandoned(connection)
            await self.admission.refresh(connection)
            mine = list(self._actors)
            mail = await claims.with_mail(connection, mine) if mine else []
            budgeted = await allowance.budgeted(connection, mine) if mine else set()
            room = 0 if self._draining else settings.WORKER_CONCURRENCY
            free = await claims.claimable(connection, self.owner, room, take_over=is_back) if room else []
            await self._forsake_unknown(connection)
        for run_id in mine:
            if actor := self._actors.get(run_id):
                actor.run.budgeted = run_id in budgeted
        for run_id in mail:
            if actor := self._actors.get(run_id):
                await actor.look_into_inbox()
        suspects = [run_id for run_id, crashes in free if crashes >= claims.CRASHES_BEFORE_QUARANTINE]
        self._quarantine.watch(suspects, {run_id: a.run.crashes for run_id, a in self._actors.items()}, self._claiming)
        for run_id, _ in free:
            self._spawn(self._wake(run_id, forwarded=True))

    async def _forsake_unknown(self, connection: AsyncConnection[Any]) -> None:
        """Give up runs that the rows call mine and of which I know nothing: my heartbeat would keep them for ever."""
        for run_id, epoch in await claims.owned(connection, self.owner):
            if run_id not in self._actors and run_id not in self._claiming:
                log.warning("Run %s was mine without my knowing; it is given up.", run_id)
                await claims.forsake(connection, run_id, self.owner, epoch)

    # -- claims -----------------------------------------------------------------------------------------------------

    async def _wake(self, run_id: str, forwarded: bool) -> None:
        try:
            if actor := self._actors.get(run_id):
                await actor.look_into_inbox()
            elif run_id in self._claiming:
                pass  # it is being taken, with all that its inbox holds
            elif not self._is_closed_to(run_id):
                await self._claim(run_id, forwarded)
            elif not forwarded:
                await sync_to_async(background.forward, thread_sensitive=False)(run_id, to_anyone=True)
        except (*TRANSIENT, PoolTimeout, db.Error) as error:
            log.warning("Run %s waits for the database: %s", run_id, error)

    def _is_closed_to(self, run_id: str) -> bool:
        """A full or draining worker claims nothing; one that waits to hold a suspect alone claims only that."""
        if self._draining or self.slots.is_full or len(self._actors) >= MOST_RUNS:
            return True
        return self._quarantine.forbids(run_id, holding=bool(self._actors))

    async def _claim(self, run_id: str, forwarded: bool) -> None:
        self._claiming.add(run_id)
        try:
            alone = not self._actors and self._claiming == {run_id}
            async with self._pool.connection() as connection:
                wanted = Claim(run_id, self.owner, settings.LEASE_SECONDS, alone, self._heartbeat.is_back)
                claimed = await claims.claim(connection, wanted)
            if claimed:
                await self._own(claimed)
                return
        finally:
            self._claiming.discard(run_id)
        self._quarantine.end(run_id)
        if not forwarded:
            await sync_to_async(background.forward, thread_sensitive=False)(run_id)

    async def _pinned(self, claimed: Claimed) -> Pinned:
        """Return the run's version, parsed once per process."""
        version_id = str(claimed.run["version_id"])
        if version_id in self._versions:
            self._versions.move_to_end(version_id)
            return self._versions[version_id]
        async with self._pool.connection() as connection:
            row = await claims.read_version(connection, claimed.run["version_id"])
        editors = tuple(str(editor) for editor in row["editors"])
        pinned = Pinned(version_id, parse.parse(row["document"]), Lock.from_json(row["lock"]), editors)
        self._versions[version_id] = pinned
        if len(self._versions) > KEPT_VERSIONS:
            self._versions.popitem(last=False)
        return pinned

    async def _own(self, claimed: Claimed) -> None:
        """Hold a claimed run until it leaves; whatever goes wrong, it is given back."""
        run_id = str(claimed.run["id"])
        epoch = claimed.run["epoch"]
        try:
            if claimed.run["crashes"] >= HOPELESS_AFTER:
                await self._bury(run_id, epoch)
                return
            run = OwnedRun(claimed, await self._pinned(claimed), self.owner)
            actor = self._actors[run_id] = Actor(self, run)
            self._claiming.discard(run_id)
            if run.shares_board and run.state is RunState.QUEUED:
                first = run.execution.document.board
                await self.ask(lambda connection: boards.begin(connection, run.board, first))
            if claimed.run["revision"]:
                run.lose_started_calls(claimed.calls, self.now())
                actor.post(Recovered(claimed.crashed, claimed.run["crashes"]))  # before any news
            actor.deliver(claimed.inbox)
            await actor.live()
            if actor.was_handed_over:
                log.info("Run %s was handed over.", run_id)
            if actor.left_mail and not self._draining:  # news came while the run was being parked
                self._spawn(self._wake(run_id, forwarded=True))
        except asyncio.CancelledError:
            raise
        except BaseException:  # a panic in a native library too
            log.exception("Run %s could not go on here; it is given back.", run_id)
            await self._give_back(run_id, epoch)
        finally:
            self._actors.pop(run_id, None)
            self._quarantine.end(run_id)

    async def _give_back(self, run_id: str, epoch: int) -> None:
        """Leave the run to its lease: whoever takes it over counts a crash, so a poisonous one ends as dead letter."""
        log.warning("Run %s at epoch %d is left to its lease.", run_id, epoch)
        async with self._pool.connection() as connection:
            await claims.expire(connection, run_id, self.owner, epoch)

    async def _bury(self, run_id: str, epoch: int) -> None:
        """Fail a run that no worker could even load: nothing else would ever end it."""
        log.error("Run %s has stopped %d workers and is failed as a dead letter.", run_id, HOPELESS_AFTER)
        async with self._pool.connection() as connection:
            told = await claims.bury(connection, run_id, self.owner, epoch)
        await self._tell(told)

    # -- the end ----------------------------------------------------------------------------------------------------

    async def _shut_down(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + settings.DRAIN_SECONDS
        while self._is_busy() and loop.time() < deadline:
            for actor in list(self._actors.values()):  # one that was being claimed comes late
                actor.leave()
            await asyncio.sleep(0.05)
        # A run that cannot be written now, or whose step does not stop, is left to its lease.
        leaving = [loop.create_task(actor.hand_over()) for actor in self._actors.values()]
        if leaving:
            await asyncio.wait(leaving, timeout=HAND_OVER_SECONDS)
        for task in list(self._tasks):
            if task is not asyncio.current_task():
                task.cancel()
        self._heartbeat.stop()
        await self._committer.close()
        await registry.close()
        await self._pool.close()

    def _is_busy(self) -> bool:
        held_by_none = self._claiming - self._actors.keys()
        return bool(held_by_none) or any(actor.is_busy for actor in self._actors.values())


_worker: Worker | None = None
_node = f"worker-{os.getpid()}"


def name_node(node: str) -> None:
    """Remember the Celery node's name: its own queue is named after it."""
    global _node  # noqa: PLW0603  (one worker per process, as Celery has it)
    _node = node


def current() -> Worker | None:
    """Return this process's worker, or None in a process that runs no pipelines."""
    return _worker


def start() -> None:
    global _worker  # noqa: PLW0603
    _worker = Worker(_node)
    _worker.start()


def drain() -> None:
    if _worker:
        _worker.drain()


def stop() -> None:
    if _worker:
        _worker.stop()
