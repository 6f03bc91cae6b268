"""The live sockets: each follows rows by seq and is told by the channel layer only that it should look again."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import orjson
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from accounts.access import Actor
from accounts.errors import Refused
from runs import feed, live
from runs.api import shapes
from runs.socket_access import SocketRefused, admit_to_run, admit_to_workspace
from runs.views import fragments

FRAME_SECONDS = 0.05
# Apart from each other, or all that came back after an outage would ask the database at the same moment for ever.
CHECK_SECONDS = (6.5, 8.0)
BROKEN = 1011

log = logging.getLogger("baton.live")


class Follower(AsyncWebsocketConsumer):  # type: ignore[misc]
    """A socket that sends a frame whenever something changed, and closes when its person may no longer look."""

    group = ""

    async def connect(self) -> None:
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        query = parse_qs(self.scope.get("query_string", b"").decode("utf-8", "replace"))
        self.query = {key: values[-1] for key, values in query.items()}
        try:
            await self.admit()
        except SocketRefused as refused:
            await self.accept()
            await self.close(code=refused.code)
            return
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()
        self._changed.set()
        self._tasks = [asyncio.create_task(self._or_close(job)) for job in (self._follow, self._check)]

    async def disconnect(self, code: int) -> None:
        for task in self._tasks:
            task.cancel()
        if self.group:
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Ignore what the browser says: commands go by HTTP."""

    async def look_again(self, message: dict[str, Any]) -> None:
        self._changed.set()

    async def admit(self) -> None:
        """Check the person; set `self.group`. Raise SocketRefused."""
        raise NotImplementedError

    async def send_changes(self) -> None:
        raise NotImplementedError

    def heartbeat(self) -> dict[str, Any]:
        """Return the frame that says nothing but that the socket is alive."""
        return {"heartbeat": True}

    async def _or_close(self, job: Callable[[], Awaitable[None]]) -> None:
        """Run a job of this socket; if it breaks, the socket closes, and whoever follows comes back and asks anew.

        Otherwise a database that is away for a moment would leave a socket that is open, silent and never checked.
        """
        try:
            await job()
        except Exception:
            log.exception("A live socket broke")
            await self.close(code=BROKEN)

    async def _follow(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self.send_changes()
            await asyncio.sleep(FRAME_SECONDS)

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(random.uniform(*CHECK_SECONDS))  # noqa: S311 nothing secret
            try:
                await self.admit()
            except SocketRefused as refused:
                await self.close(code=refused.code)
                return
            await self.send(text_data=orjson.dumps(self.heartbeat()).decode())
            self._changed.set()


class RunConsumer(Follower):
    """`/ws/runs/{id}?after=SEQ[&format=json]`: every event after SEQ once and in order, or the changed fragments."""

    joined = False

    async def admit(self) -> None:
        self.run_id = str(self.scope["url_route"]["kwargs"]["run_id"])
        self.actor: Actor = await database_sync_to_async(admit_to_run)(self.scope, self.query, self.run_id)
        if not self.joined:
            self.group = live.run_group(self.run_id)
            self.seq = live.seq_of(self.query.get("after"))
            self.feed = feed.join(self.run_id)
            self.joined = True

    async def disconnect(self, code: int) -> None:
        await super().disconnect(code)
        if self.joined:
            feed.leave(self.run_id)

    async def send_changes(self) -> None:
        await self.feed.refresh()
        while events := await self.feed.after(self.seq):
            first, last = events[0]["seq"], events[-1]["seq"]
            if self.query.get("format") == "json":
                frame = {"seq": last, "from": first, "events": list(events)}
                await self.send(text_data=orjson.dumps(frame, shapes.time, orjson.OPT_PASSTHROUGH_DATETIME).decode())
            else:
                with contextlib.suppress(Refused):
                    await self.send(text_data=await self._fragments(first, last, events))
            self.seq = last

    def heartbeat(self) -> dict[str, Any]:
        return {**super().heartbeat(), "seq": self.seq, "from": self.seq + 1, "events": []}

    async def _fragments(self, first: int, last: int, events: Any) -> str:
        paths = {event["path"] for event in events if event["path"]}
        frame = await database_sync_to_async(fragments.frame)(self.actor, self.run_id, paths, (first, last))
        return orjson.dumps(frame).decode()


class WorkspaceConsumer(Follower):
    """`/ws/workspace/{slug}`: the counts that every page shows."""

    async def admit(self) -> None:
        slug = self.scope["url_route"]["kwargs"]["slug"]
        self.actor: Actor = await database_sync_to_async(admit_to_workspace)(self.scope, self.query, slug)
        self.group = live.workspace_group(self.actor.workspace.pk)

    async def send_changes(self) -> None:
        frame = await database_sync_to_async(fragments.workspace_frame)(self.actor)
        await self.send(text_data=orjson.dumps(frame).decode())
