"""Who is on the page of a draft, and that it has changed. Heard through the channel layer, without rows, it expires.

All pages of a draft that a process serves share a room. It listens once, tells the rooms of other processes who is in
it, and shows its pages a moment later what has changed meanwhile, at most twenty people by name: what five hundred on
one page cost grows with their number, not with its square.

A lost message costs nothing but a moment: the draft's revision is the truth, and every room says again who is in it.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Any, ClassVar
from uuid import UUID

from asgiref.sync import async_to_sync
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.db import DatabaseError
from redis.exceptions import RedisError

from accounts.access import Actor
from accounts.gate import BROKEN
from accounts.ids import new_id
from pipelines.models import Draft

SAY_SECONDS = 6.0
FORGET_SECONDS = 20.0
DEAF_SECONDS = 2.0
GATHER_SECONDS = 0.2
MOST_FRAMES_A_SECOND = 200
"""In a full room what has changed is gathered for longer, so that its pages are sent no more than this together."""
MOST_SHOWN, MOST_SAID = 20, 100
LONGEST_PLACE = 400
MOST_TEXT = 2_000

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]

log = logging.getLogger("baton.live")


def group_of(pipeline_id: object) -> str:
    return f"draft.{pipeline_id}"


def rooms_of(pipeline_id: object) -> str:
    """Return the group in which rooms hear each other: apart, since a server of before takes no such message."""
    return f"draft.{pipeline_id}.rooms"


def ring(pipeline_id: object, revision: int) -> None:
    """Tell every page of a draft that it now has this revision. Called after the commit; it never fails."""
    try:
        message = {"type": "draft.changed", "rev": revision}
        async_to_sync(get_channel_layer().group_send)(group_of(pipeline_id), message)
    except (OSError, RuntimeError, RedisError) as error:
        log.warning("The channel layer did not take the bell of a draft: %s", error)


def _revision_of(pipeline_id: UUID) -> int | None:
    return Draft.objects.filter(pipeline=pipeline_id).values_list("revision", flat=True).first()


@dataclass(frozen=True, slots=True)
class _Person:
    id: str
    name: str
    at: str


def _each_once(people: Iterable[_Person]) -> list[_Person]:
    """Return each person once, where one of their pages has a step, those with a step first, then by name."""
    found: dict[str, _Person] = {}
    for person in people:
        if person.at or person.id not in found:
            found[person.id] = person
    return sorted(found.values(), key=lambda person: (not person.at, person.name, person.id))


@dataclass(frozen=True, slots=True)
class _Elsewhere:
    """What another process's room said: some of who is in it, and how many more there are."""

    people: tuple[_Person, ...]
    more: int
    heard: float


class Seat:
    """One open page: it tells its room where its person is, and is told who else is there."""

    def __init__(self, send: Send, actor: Actor, pipeline_id: UUID) -> None:
        self._send = send
        self._pipeline = pipeline_id
        self.person = _Person(str(actor.user.pk), str(actor.user), "")
        self.shown = _frame([], 0)
        self._closed = False

    async def sit(self, receive: Callable[[], Awaitable[Message]]) -> None:
        """Take part until the other side leaves."""
        room = Room.of(self._pipeline)
        room.enter(self)
        try:
            while (message := await receive())["type"] != "websocket.disconnect":
                if self._has_moved(message.get("text") or ""):
                    room.call()
        finally:
            self._closed = True
            await room.leave(self)

    async def beat(self) -> None:
        await self.tell(json.dumps({"heartbeat": True}))

    async def close(self, code: int) -> None:
        if not self._closed:
            self._closed = True
            await self._send({"type": "websocket.close", "code": code})

    async def tell(self, frame: str) -> None:
        if not self._closed:
            with contextlib.suppress(OSError, RuntimeError):  # it is closing at this moment
                await self._send({"type": "websocket.send", "text": frame})

    def _has_moved(self, text: str) -> bool:
        """Note the step that this page has open: `{"at": place}`. Anything else it says is ignored."""
        try:
            said = json.loads(text) if len(text) <= MOST_TEXT else None
        except (ValueError, RecursionError):
            return False
        at = said.get("at") if isinstance(said, dict) else None
        if not isinstance(at, str) or len(at) > LONGEST_PLACE or at == self.person.at:
            return False
        self.person = _Person(self.person.id, self.person.name, at)
        return True


class Room:
    """The pages of one draft in this process, and what is known of those in others."""

    _open: ClassVar[dict[tuple[asyncio.AbstractEventLoop, UUID], "Room"]] = {}

    def __init__(self, key: tuple[asyncio.AbstractEventLoop, UUID]) -> None:
        self._key, self._pipeline = key, key[1]
        self._name = new_id().hex
        self._seats: dict[Seat, None] = {}
        self._elsewhere: dict[str, _Elsewhere] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._called = asyncio.Event()
        self._hears = False
        self._said: Message = {}
        self._say_again = 0.0

    @classmethod
    def of(cls, pipeline_id: UUID) -> "Room":
        key = asyncio.get_running_loop(), pipeline_id
        return cls._open.setdefault(key, cls(key))

    def enter(self, seat: Seat) -> None:
        self._seats[seat] = None
        if not self._tasks:  # they see what this seat's workspace shows, which is that of all who come
            self._tasks = [asyncio.create_task(self._or_close(job)) for job in (self._listen, self._speak)]
        elif self._hears:
            self._tasks.append(asyncio.create_task(self._tell_revision([seat])))
            self._tasks[2:] = [task for task in self._tasks[2:] if not task.done()]
        self.call()

    async def leave(self, seat: Seat) -> None:
        """Forget a page; the last one closes the room."""
        del self._seats[seat]
        self.call()
        if not self._seats:
            self._open.pop(self._key, None)
            for task in self._tasks:
                task.cancel()
            await self._say(gone=True)

    def call(self) -> None:
        """Have it said and shown, a moment later, who is here."""
        self._called.set()

    async def _or_close(self, job: Callable[[], Awaitable[None]]) -> None:
        """Do a job of this room; if it breaks, its pages close and come back, and whoever comes then begins anew."""
        try:
            await job()
        except Exception:
            log.exception("The pages of %s broke", group_of(self._pipeline))
            tasks, self._tasks, self._hears = self._tasks, [], False
            for seat in list(self._seats):
                with contextlib.suppress(OSError, RuntimeError):
                    await seat.close(BROKEN)
            for task in tasks:
                task.cancel()

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear()
            except (OSError, RedisError) as error:
                self._hears = False
                log.warning("The bell of %s is not heard: %s", group_of(self._pipeline), error)
                await asyncio.sleep(DEAF_SECONDS)

    async def _hear(self) -> None:
        layer = get_channel_layer()
        channel = await layer.new_channel()
        try:
            for group in (group_of(self._pipeline), rooms_of(self._pipeline)):
                await layer.group_add(group, channel)
            self._hears = True
            await self._say(fresh=True)
            await self._tell_revision(self._seats)  # for what was rung before anybody listened
            while True:
                await self._take(await layer.receive(channel))
        finally:
            for group in (group_of(self._pipeline), rooms_of(self._pipeline)):
                with contextlib.suppress(OSError, RedisError):
                    await layer.group_discard(group, channel)

    async def _take(self, message: Message) -> None:
        if message["type"] == "draft.changed":
            await self._tell_all(json.dumps({"rev": message["rev"]}))
        elif message["type"] == "presence.room" and message["room"] != self._name:
            if message["gone"]:
                self._elsewhere.pop(message["room"], None)
            else:
                people = tuple(_Person(*person[:3]) for person in message["people"])  # a newer server may say more
                self._elsewhere[message["room"]] = _Elsewhere(people, message["more"], monotonic())
            if message["fresh"]:
                self._say_again = 0.0  # it has heard nobody yet
            self.call()

    async def _speak(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._called.wait(), SAY_SECONDS)
            if self._called.is_set():
                await asyncio.sleep(max(GATHER_SECONDS, len(self._seats) / MOST_FRAMES_A_SECOND))
            self._called.clear()
            past = monotonic() - FORGET_SECONDS
            self._elsewhere = {name: one for name, one in self._elsewhere.items() if one.heard > past}
            await self._say()
            await self._show()

    async def _say(self, *, fresh: bool = False, gone: bool = False) -> None:
        """Tell the other rooms who is here, unless that is what they were told a moment ago."""
        people = _each_once(seat.person for seat in self._seats)
        some = [[person.id, person.name, person.at] for person in people[:MOST_SAID]]
        message = {"type": "presence.room", "room": self._name, "people": some, "more": len(people) - len(some)}
        if message == self._said and monotonic() < self._say_again and not (fresh or gone):
            return
        self._said, self._say_again = message, monotonic() + SAY_SECONDS
        try:
            await get_channel_layer().group_send(rooms_of(self._pipeline), {**message, "fresh": fresh, "gone": gone})
        except (OSError, RedisError) as error:
            self._say_again = 0.0
            log.warning("The channel layer did not take who is on a page: %s", error)

    async def _show(self) -> None:
        """Show each page who else is there, if that has changed."""
        known = [person for room in self._elsewhere.values() for person in room.people]
        people = _each_once([*(seat.person for seat in self._seats), *known])
        total = len(people) + sum(room.more for room in self._elsewhere.values())
        first = people[: MOST_SHOWN + 1]
        frames = {person.id: _frame([one for one in first if one.id != person.id], total - 1) for person in first}
        of_the_rest = _frame(first[:MOST_SHOWN], total - 1)
        for seat in list(self._seats):
            frame = frames.get(seat.person.id, of_the_rest)
            if frame != seat.shown:
                seat.shown = frame
                await seat.tell(frame)

    async def _tell_all(self, frame: str) -> None:
        for seat in list(self._seats):
            await seat.tell(frame)

    async def _tell_revision(self, seats: Iterable[Seat]) -> None:
        """Tell the draft's revision: a page that has it need not ask. None, which lets it ask, on failure."""
        try:
            revision = await database_sync_to_async(_revision_of)(self._pipeline)
        except DatabaseError:
            revision = None
        frame = json.dumps({"rev": revision})
        for seat in list(seats):
            await seat.tell(frame)


def _frame(people: list[_Person], others: int) -> str:
    """Return what a page is told of the others: some by name, and how many more there are if there are any."""
    shown = sorted(people[:MOST_SHOWN], key=lambda person: (person.name, person.id))
    said: Message = {"people": [{"name": person.name, "at": person.at} for person in shown]}
    if others > len(shown):
        said["more"] = others - len(shown)
    return json.dumps(said)
