"""Who is on the page of a draft, and that it has changed. Heard through the channel layer, without rows, it expires.

A lost message costs nothing but a moment: the draft's revision is the truth, and every page says again where it is.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.db import DatabaseError
from redis.exceptions import RedisError

from accounts.access import Actor
from accounts.ids import new_id
from pipelines.models import Draft

SAY_SECONDS = 6.0
FORGET_SECONDS = 20.0
DEAF_SECONDS = 2.0
LONGEST_PLACE = 400
MOST_TEXT = 2_000

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]

log = logging.getLogger("baton.live")


def group_of(pipeline_id: object) -> str:
    return f"draft.{pipeline_id}"


def ring(pipeline_id: object, revision: int) -> None:
    """Tell every page of a draft that it now has this revision. Called after the commit; it never fails."""
    try:
        message = {"type": "draft.changed", "rev": revision}
        async_to_sync(get_channel_layer().group_send)(group_of(pipeline_id), message)
    except (OSError, RuntimeError, RedisError) as error:
        log.warning("The channel layer did not take the bell of a draft: %s", error)


def _revision_of(pipeline_id: UUID) -> int | None:
    return Draft.objects.filter(pipeline=pipeline_id).values_list("revision", flat=True).first()


@dataclass(slots=True)
class _Other:
    person: str
    name: str
    at: str
    heard: float


class Seat:
    """One open page: it tells the others where its person is, and its page who else is there."""

    def __init__(self, send: Send, actor: Actor, pipeline_id: UUID) -> None:
        self._send = send
        self._pipeline = pipeline_id
        self._group = group_of(pipeline_id)
        self._me = {"seat": new_id().hex, "person": str(actor.user.pk), "name": str(actor.user)}
        self._at = ""
        self._others: dict[str, _Other] = {}
        self._told: list[Mapping[str, str]] = []
        self._closed = False

    async def sit(self, receive: Callable[[], Awaitable[Message]]) -> None:
        """Take part until the other side leaves."""
        tasks = [asyncio.create_task(self._hear()), asyncio.create_task(self._repeat())]
        try:
            while (message := await receive())["type"] != "websocket.disconnect":
                await self._moved(message.get("text") or "")
        finally:
            self._closed = True
            for task in tasks:
                task.cancel()
            await self._say(gone=True)

    async def beat(self) -> None:
        await self._tell({"heartbeat": True})

    async def close(self, code: int) -> None:
        if not self._closed:
            self._closed = True
            await self._send({"type": "websocket.close", "code": code})

    async def _moved(self, text: str) -> None:
        """Note the step that this page has open: `{"at": place}`. Anything else it says is ignored."""
        try:
            said = json.loads(text) if len(text) <= MOST_TEXT else None
        except (ValueError, RecursionError):
            return
        at = said.get("at") if isinstance(said, dict) else None
        if isinstance(at, str) and len(at) <= LONGEST_PLACE and at != self._at:
            self._at = at
            await self._say()

    async def _hear(self) -> None:
        layer = get_channel_layer()
        while True:
            channel = await layer.new_channel()
            try:
                await layer.group_add(self._group, channel)
                await self._say(fresh=True)
                await self._tell({"rev": await self._revision()})  # for what was rung before anybody listened
                while True:
                    await self._take(await layer.receive(channel))
            except (OSError, RedisError) as error:
                log.warning("The bell of %s is not heard: %s", self._group, error)
                await asyncio.sleep(DEAF_SECONDS)
            finally:
                with contextlib.suppress(OSError, RedisError):
                    await layer.group_discard(self._group, channel)

    async def _revision(self) -> int | None:
        """Return the draft's revision: a page that has it need not ask. None, which lets it ask, on failure."""
        try:
            found: int | None = await database_sync_to_async(_revision_of)(self._pipeline)
        except DatabaseError:
            return None
        return found

    async def _take(self, message: Message) -> None:
        if message["type"] == "draft.changed":
            await self._tell({"rev": message["rev"]})
            return
        if message["seat"] == self._me["seat"]:
            return
        if message["gone"]:
            self._others.pop(message["seat"], None)
        else:
            other = _Other(message["person"], message["name"], message["at"], monotonic())
            self._others[message["seat"]] = other
            if message["fresh"]:
                await self._say()
        await self._show()

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(SAY_SECONDS)
            await self._say()
            past = monotonic() - FORGET_SECONDS
            self._others = {seat: other for seat, other in self._others.items() if other.heard > past}
            await self._show()

    async def _show(self) -> None:
        """Tell the page who is there, when that has changed: each person once, where one of their pages has a step."""
        people: dict[str, Mapping[str, str]] = {}
        for other in sorted(self._others.values(), key=lambda other: bool(other.at)):
            if other.person != self._me["person"]:
                people[other.person] = {"name": other.name, "at": other.at}
        shown = sorted(people.values(), key=lambda person: person["name"])
        if shown != self._told:
            self._told = shown
            await self._tell({"people": shown})

    async def _say(self, *, fresh: bool = False, gone: bool = False) -> None:
        message = {"type": "presence", **self._me, "at": self._at, "fresh": fresh, "gone": gone}
        try:
            await get_channel_layer().group_send(self._group, message)
        except (OSError, RedisError) as error:
            log.warning("The channel layer did not take who is on a page: %s", error)

    async def _tell(self, frame: Message) -> None:
        if not self._closed:
            with contextlib.suppress(OSError, RuntimeError):  # it is closing at this moment
                await self._send({"type": "websocket.send", "text": json.dumps(frame)})
