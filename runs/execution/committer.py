"""Writes decisions: a few connections, each taking whatever decisions are ready and sending them in one statement."""

import asyncio
import logging
from typing import Any

from psycopg import AsyncConnection

from runs import store
from runs.store import TRANSIENT, Commit, Fenced

log = logging.getLogger("baton.committer")

MOST_IN_ONE_STATEMENT = 32
FIRST_DELAY, LONGEST_DELAY = 0.05, 2.0


class Committer:
    """`commit` returns once the rows are durable.

    Decisions of different runs that are ready at the same moment share a transaction; when such a group fails, each is
    tried alone, so that only the culprit fails. The connection that was busy last is busy next, for its server has all
    at hand; another joins in only while it is busy. While the database is away, commits wait and are tried again: a
    commit whose answer was lost is recognised by its revision.
    """

    def __init__(self, conninfo: str, connections: int = 2) -> None:
        self._conninfo = conninfo
        self._ready: list[tuple[Commit, asyncio.Future[bool]]] = []
        self._idle: list[asyncio.Event] = []  # of the connections that have nothing to do; the one since last is last
        self._tasks = [asyncio.create_task(self._serve(), name=f"committer-{n}") for n in range(connections)]

    async def commit(self, commit: Commit) -> bool:
        """Write one decision; return whether facts wait in the run's inbox. Raise Fenced when the run was taken."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._ready.append((commit, future))
        if self._idle:
            self._idle.pop().set()
        return await future

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self) -> None:
        connection: AsyncConnection[Any] | None = None
        woken = asyncio.Event()
        while True:
            while not self._ready:
                woken.clear()
                self._idle.append(woken)
                await woken.wait()
            batch, self._ready = self._ready[:MOST_IN_ONE_STATEMENT], self._ready[MOST_IN_ONE_STATEMENT:]
            try:
                connection = await self._write(connection, batch)
            except Exception as error:
                log.exception("A batch of %d decisions broke off.", len(batch))
                connection = None
                for _, future in batch:
                    _fail(future, error)

    async def _write(
        self, connection: AsyncConnection[Any] | None, batch: list[tuple[Commit, asyncio.Future[bool]]]
    ) -> AsyncConnection[Any]:
        delay, retrying = FIRST_DELAY, False
        while True:
            try:
                connection = connection or await self._connect()
                if retrying:
                    batch = await self._without_written(connection, batch)
                await self._write_once(connection, batch)
                return connection
            except TRANSIENT as error:
                log.warning("The database did not take %d decisions, trying again: %s", len(batch), error)
                if connection:
                    await connection.close()
                connection, retrying = None, True
                await asyncio.sleep(delay)
                delay = min(delay * 2, LONGEST_DELAY)

    async def _write_once(
        self, connection: AsyncConnection[Any], batch: list[tuple[Commit, asyncio.Future[bool]]]
    ) -> None:
        if not batch:
            return
        try:
            held = await store.write(connection, [commit for commit, _ in batch])
        except Exception as error:  # also what cannot be put into JSON: whoever else is served here must not suffer
            if store.is_transient(error):
                raise
            if len(batch) == 1:
                _fail(batch[0][1], error)
                return
            for item in batch:
                await self._write_once(connection, [item])
            return
        for commit, future in batch:
            run_id = str(commit.run["id"])
            if run_id in held:
                _answer(future, held[run_id])
            else:
                _fail(future, Fenced())

    async def _without_written(
        self, connection: AsyncConnection[Any], batch: list[tuple[Commit, asyncio.Future[bool]]]
    ) -> list[tuple[Commit, asyncio.Future[bool]]]:
        left = []
        for commit, future in batch:
            try:
                if await store.is_written(connection, commit):
                    _answer(future, True)
                else:
                    left.append((commit, future))
            except Fenced as error:
                _fail(future, error)
        return left

    async def _connect(self) -> AsyncConnection[Any]:
        connection = await AsyncConnection.connect(self._conninfo, autocommit=True, connect_timeout=5)
        # The statements never profit from knowing their parameters; planning one costs as much as running it.
        await connection.execute("set plan_cache_mode = force_generic_plan")
        # Nor may a plan made while the tables were still small read them whole for as long as the connection lives.
        await connection.execute("set enable_seqscan = off")
        return connection


def _answer(future: asyncio.Future[bool], mail: bool) -> None:
    if not future.done():
        future.set_result(mail)


def _fail(future: asyncio.Future[bool], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
