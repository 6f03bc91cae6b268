"""All who follow one run, or one workspace, in this process: its bell is heard once, and each frame is made once."""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import lru_cache
from time import monotonic
from typing import Any
from uuid import UUID

import orjson
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from redis.exceptions import RedisError

from accounts.access import Actor
from accounts.errors import Refused
from accounts.gate import BROKEN
from runs import live
from runs.api import shapes
from runs.feed import Feed
from runs.views import fragments

FRAME_SECONDS = 0.05
DEAF_SECONDS = 2.0
AT_A_TIME = 50
KEPT_FRAMES = 8
NOWHERE = -1  # the place in the log of somebody who follows none

Send = Callable[[dict[str, Any]], Awaitable[None]]
Events = Sequence[dict[str, Any]]

log = logging.getLogger("baton.live")


class Follower:
    """An open socket: what it wants to hear, up to which event it has heard, and whether it is catching up."""

    def __init__(self, send: Send, seq: int = NOWHERE, *, as_json: bool = False) -> None:
        self.seq = seq
        self.as_json = as_json
        self.behind: asyncio.Task[None] | None = None
        self._send = send
        self._closed = False

    async def tell(self, text: str) -> None:
        """Send a frame. Daphne takes it at once, however slowly the other side reads: nobody waits for anybody."""
        if not self._closed:
            with contextlib.suppress(OSError, RuntimeError):  # it is closing at this moment
                await self._send({"type": "websocket.send", "text": text})

    async def beat(self) -> None:
        await self.tell(heartbeat(self.seq))

    async def close(self, code: int) -> None:
        if not self._closed:
            self.leave()
            await self._send({"type": "websocket.close", "code": code})

    def leave(self) -> None:
        self._closed = True
        if self.behind:
            self.behind.cancel()


@lru_cache(maxsize=64)
def heartbeat(seq: int) -> str:
    """Return the frame that says nothing but that the socket is alive: the same text for all who heard the same."""
    place = {} if seq == NOWHERE else {"seq": seq, "from": seq + 1, "events": []}
    return orjson.dumps({"heartbeat": True, **place}).decode()


class Audience:
    """Followers of one group, with one ear at the channel layer and one voice."""

    # Apart from each other, or all that came back after an outage would ask the database together for ever.
    poll_seconds = (6.5, 8.0)

    def __init__(self, group: str) -> None:
        self.group = group
        self._followers: set[Follower] = set()
        self._changed = asyncio.Event()
        self._pause = FRAME_SECONDS
        self._tasks: list[asyncio.Task[None]] = []

    async def join(self, follower: Follower) -> None:
        self._followers.add(follower)
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._or_close(job)) for job in (self._listen, self._speak)]

    def leave(self, follower: Follower) -> None:
        follower.leave()
        self._followers.discard(follower)
        if not self._followers:
            tasks, self._tasks = self._tasks, []
            for task in tasks:
                task.cancel()

    @property
    def is_empty(self) -> bool:
        return not self._followers

    async def news(self) -> None:
        """Tell the followers what they have not heard."""
        raise NotImplementedError

    async def to_each(self, tell: Callable[[Follower], Awaitable[None]]) -> None:
        """Do this for each follower; when they are many, let others have their turn in between."""
        began = monotonic()
        for number, follower in enumerate(list(self._followers), start=1):
            await tell(follower)
            if number % AT_A_TIME == 0:
                await asyncio.sleep(0)
        self._pause = max(self._pause, monotonic() - began)

    async def _or_close(self, job: Callable[[], Awaitable[None]]) -> None:
        """Do a job of this audience; if it breaks, its sockets close, and whoever follows comes back and asks anew.

        Otherwise a database that is away for a moment would leave sockets that are open and silent.
        """
        try:
            await job()
        except Exception:
            log.exception("The sockets of %s broke", self.group)
            tasks, self._tasks = self._tasks, []  # who joins from now on starts anew
            await self.to_each(lambda follower: follower.close(BROKEN))
            for task in tasks:
                task.cancel()

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear()
            except (OSError, RedisError) as error:
                log.warning("The bell of %s is not heard: %s", self.group, error)
                await asyncio.sleep(DEAF_SECONDS)

    async def _hear(self) -> None:
        layer = get_channel_layer()
        channel = await layer.new_channel()
        try:
            await layer.group_add(self.group, channel)
            while True:
                self._changed.set()  # the first time for what was rung before anybody listened
                await layer.receive(channel)
        finally:
            with contextlib.suppress(OSError, RedisError):
                await layer.group_discard(self.group, channel)

    async def _speak(self) -> None:
        """Tell the news at the first ring; then pause for a frame, or for as long as telling all took if that is more.

        So half of the time is left to everybody else, however many follow.
        """
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(random.uniform(*self.poll_seconds)):  # noqa: S311 nothing secret
                    await self._changed.wait()
            self._changed.clear()
            self._pause = FRAME_SECONDS
            await self.news()
            await asyncio.sleep(self._pause)


class WorkspaceAudience(Audience):
    """Everybody is told to look again: a page fetches its own counts, which differ by person."""

    poll_seconds = (25.0, 35.0)  # each page answers with a request

    def __init__(self, actor: Actor) -> None:
        super().__init__(live.workspace_group(actor.workspace.pk))
        self._frame = orjson.dumps(fragments.workspace_frame(actor)).decode()
        self._has_spoken = False

    async def join(self, follower: Follower) -> None:
        await super().join(follower)
        if self._has_spoken:
            await follower.tell(self._frame)

    async def news(self) -> None:
        self._has_spoken = True
        await self.to_each(lambda follower: follower.tell(self._frame))


class RunAudience(Audience):
    """Everybody hears every event of the run once and in order, as JSON or as fragments of its page."""

    def __init__(self, run_id: UUID, actor: Actor) -> None:
        """`actor` is whoever came first: frames depend on the workspace alone, and all who follow may read it."""
        super().__init__(live.run_group(run_id))
        self._run_id = str(run_id)
        self._actor = actor
        self._feed = Feed(self._run_id)
        self._head: int | None = None  # who is not behind has heard everything up to here
        self._frames: dict[tuple[bool, int, int], asyncio.Task[str | None]] = {}

    async def join(self, follower: Follower) -> None:
        await super().join(follower)
        self._keep_up(follower)
        self._changed.set()

    async def news(self) -> None:
        if self._head is None:
            self._head = await database_sync_to_async(live.last_seq)(self._run_id)
            for follower in self._followers:
                self._keep_up(follower)
        await self._feed.refresh()
        while events := await self._feed.after(self._head):
            await self._tell_all(events)

    async def _tell_all(self, events: Events) -> None:
        first, last = events[0]["seq"], events[-1]["seq"]
        self._head = last  # whoever joins from here on catches up by themselves
        wanted = {one.as_json for one in self._followers if one.behind is None}
        frames = {as_json: await self._frame(events, as_json=as_json) for as_json in wanted}

        async def tell(one: Follower) -> None:
            if one.behind is None and one.seq == first - 1 and one.as_json in frames:
                await self._pass_on(one, last, frames[one.as_json])
            else:
                self._keep_up(one)

        await self.to_each(tell)

    async def _pass_on(self, follower: Follower, last: int, frame: str | None) -> None:
        follower.seq = last
        if frame is not None:
            await follower.tell(frame)

    def _keep_up(self, follower: Follower) -> None:
        """Let a follower who lacks events catch up beside the others, who do not wait for it."""
        if self._lacks(follower) and follower.behind is None:
            follower.behind = asyncio.create_task(self._catch_up(follower))

    def _lacks(self, follower: Follower) -> bool:
        return self._head is not None and follower.seq < self._head

    async def _catch_up(self, follower: Follower) -> None:
        try:
            while self._lacks(follower) and (events := await self._feed.after(follower.seq)):
                frame = await self._frame(events, as_json=follower.as_json)
                await self._pass_on(follower, events[-1]["seq"], frame)
            follower.behind = None
        except Exception:
            log.exception("A socket of %s broke", self.group)
            await follower.close(BROKEN)

    async def _frame(self, events: Events, *, as_json: bool) -> str | None:
        """Return the frame that stands for these events, made once for all who ask for the same ones."""
        key = as_json, events[0]["seq"], events[-1]["seq"]
        if key not in self._frames:
            self._frames[key] = asyncio.create_task(self._json(events) if as_json else self._fragments(events))
            while len(self._frames) > KEPT_FRAMES:
                del self._frames[next(iter(self._frames))]
        try:
            return await asyncio.shield(self._frames[key])
        except Exception:
            self._frames.pop(key, None)
            raise

    async def _json(self, events: Events) -> str:
        frame = {"seq": events[-1]["seq"], "from": events[0]["seq"], "events": list(events)}
        return orjson.dumps(frame, shapes.time, orjson.OPT_PASSTHROUGH_DATETIME).decode()

    async def _fragments(self, events: Events) -> str | None:
        """Return the changed parts of the run's page; None when there is no such run any more."""
        paths = {event["path"] for event in events if event["path"]}
        span = events[0]["seq"], events[-1]["seq"]
        try:
            frame = await database_sync_to_async(fragments.frame)(self._actor, self._run_id, paths, span)
        except Refused:
            return None
        return orjson.dumps(frame).decode()


_AUDIENCES: dict[str, Audience] = {}


@contextlib.asynccontextmanager
async def joined(fresh: Audience, follower: Follower) -> AsyncIterator[None]:
    """Have a follower in the process's audience of a group: the one there is, else this one, until all have left."""
    audience = _AUDIENCES.setdefault(fresh.group, fresh)
    await audience.join(follower)
    try:
        yield
    finally:
        audience.leave(follower)
        if audience.is_empty and _AUDIENCES.get(fresh.group) is audience:
            del _AUDIENCES[fresh.group]
