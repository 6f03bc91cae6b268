"""A full page of a draft: what is told of who is there grows with the people, not with their square."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from channels.layers import get_channel_layer
from redis.exceptions import RedisError

from accounts.access import Actor
from accounts.gate import BROKEN
from accounts.ids import new_id
from accounts.models import User, Workspace
from pipelines import presence
from pipelines.presence import GATHER_SECONDS, MOST_FRAMES_A_SECOND, MOST_SHOWN, Room, Seat, rooms_of

PEOPLE = 500


class Page:
    """An open page of somebody: what it says is put into `says`, what it is told stands in `told`."""

    def __init__(self, number: int, pipeline: UUID) -> None:
        self.says: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.told: list[dict[str, Any]] = []
        self.closed_with = 0
        actor = Actor(User(name=f"Person {number:03}"), Workspace(), frozenset())
        self._task = asyncio.create_task(Seat(self._hear, actor, pipeline).sit(self.says.get))

    async def _hear(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.close":
            self.closed_with = message["code"]
        else:
            self.told.append(json.loads(message["text"]))

    @property
    def people(self) -> dict[str, Any]:
        """Return the last it was told of who is there."""
        return next((frame for frame in reversed(self.told) if "people" in frame), {"people": []})

    def go(self, place: str) -> None:
        self.says.put_nowait({"type": "websocket.receive", "text": json.dumps({"at": place})})

    async def leave(self) -> None:
        self.says.put_nowait({"type": "websocket.disconnect"})
        await self._task


@asynccontextmanager
async def pages(count: int, pipeline: UUID) -> AsyncIterator[list[Page]]:
    opened = [Page(number, pipeline) for number in range(count)]
    try:
        yield opened
    finally:
        await asyncio.gather(*(page.leave() for page in opened))


async def until(holds: Any, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.05)


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> UUID:
    """A pipeline without rows: nobody asks for its draft's revision here."""
    monkeypatch.setattr(presence, "_revision_of", lambda pipeline_id: None)
    return new_id()


class Ear:
    """Counts what rooms tell each other of a draft."""

    def __init__(self, pipeline: UUID) -> None:
        self._group = rooms_of(pipeline)
        self.heard: list[dict[str, Any]] = []

    async def __aenter__(self) -> "Ear":
        self._layer = get_channel_layer()
        channel = await self._layer.new_channel()
        await self._layer.group_add(self._group, channel)
        self._task = asyncio.create_task(self._listen(channel))
        return self

    async def _listen(self, channel: str) -> None:
        while True:
            self.heard.append(await self._layer.receive(channel))

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()


async def test_five_hundred_people_who_all_move_are_told_of_in_a_few_messages(pipeline: UUID) -> None:
    gathering = PEOPLE / MOST_FRAMES_A_SECOND
    async with Ear(pipeline) as ear, pages(PEOPLE, pipeline) as opened:
        await until(lambda: all(page.people.get("more") == PEOPLE - 1 - MOST_SHOWN for page in opened))
        said, frames = len(ear.heard), sum(len(page.told) for page in opened)
        assert said <= 4, "of five hundred who came"
        assert frames <= 4 * PEOPLE
        for page in opened:
            page.go("write")
            page.go("publish")
        await until(lambda: all({one["at"] for one in page.people["people"]} == {"publish"} for page in opened))
        await asyncio.sleep(gathering)
        assert len(ear.heard) - said <= 3
        assert sum(len(page.told) for page in opened) - frames <= 2 * PEOPLE
    largest = max(len(json.dumps(frame)) for page in opened for frame in page.told)
    assert largest < 60 * (MOST_SHOWN + 1), largest
    assert len(ear.heard[-1]["people"]) <= presence.MOST_SAID


async def test_a_full_page_names_whoever_has_a_step_open_first(pipeline: UUID) -> None:
    async with pages(MOST_SHOWN + 30, pipeline) as opened:
        last = opened[-1]
        await until(lambda: "more" in opened[0].people)
        assert last.people["people"][0]["name"] == "Person 000"
        last.go("write")
        wanted = {"name": "Person 049", "at": "write"}
        await until(lambda: all(wanted in page.people["people"] for page in opened[:-1]))
        assert wanted not in last.people["people"], "who looks is nobody else"
        assert all(page.people["more"] == 29 for page in opened)


async def test_the_last_who_leaves_closes_the_room_and_says_so(pipeline: UUID) -> None:
    async with Ear(pipeline) as ear:
        async with pages(2, pipeline) as opened:
            await until(lambda: all(len(page.people["people"]) == 1 for page in opened))
            assert len(Room._open) == 1
        await until(lambda: ear.heard[-1]["gone"])
        assert Room._open == {}
        await asyncio.sleep(GATHER_SECONDS * 2)
        assert ear.heard[-1]["gone"], "nothing is said after that"


async def test_a_room_that_opens_while_the_broker_is_away_hears_when_it_is_back(
    pipeline: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, calls = get_channel_layer(), []
    real = layer.new_channel

    async def away_once(*args: Any) -> str:
        calls.append(args)
        if len(calls) == 1:
            raise RedisError("away")
        return str(await real(*args))

    monkeypatch.setattr(layer, "new_channel", away_once)
    monkeypatch.setattr(presence, "DEAF_SECONDS", 0.1)
    async with pages(1, pipeline) as [page]:
        await until(lambda: {"rev": None} in page.told)
        await layer.group_send(presence.group_of(pipeline), {"type": "draft.changed", "rev": 7})
        await until(lambda: {"rev": 7} in page.told)


async def test_a_room_that_breaks_closes_its_pages_and_the_next_begins_anew(
    pipeline: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pages(1, pipeline) as [page]:
        await until(lambda: {"rev": None} in page.told)
        with monkeypatch.context() as patch:
            patch.setattr(Room, "_tell_all", None)
            await get_channel_layer().group_send(presence.group_of(pipeline), {"type": "draft.changed", "rev": 7})
            await until(lambda: page.closed_with == BROKEN)
        async with pages(1, pipeline) as [next_page]:
            await until(lambda: {"rev": None} in next_page.told)


async def test_rooms_of_two_processes_tell_each_other_some_and_how_many_more(pipeline: UUID) -> None:
    """The other process is what it says: a room there, with more people than it names."""
    there = {"type": "presence.room", "room": "there", "fresh": False, "gone": False}
    async with Ear(pipeline) as ear, pages(1, pipeline) as [page]:
        await until(lambda: bool(ear.heard))
        tell = get_channel_layer().group_send
        await tell(rooms_of(pipeline), {**there, "people": [["9", "Zoe", "write"]], "more": 40})
        await until(lambda: page.people == {"people": [{"name": "Zoe", "at": "write"}], "more": 40})
        heard = len(ear.heard)
        await tell(rooms_of(pipeline), {**there, "people": [], "more": 0, "fresh": True})
        await until(lambda: page.people == {"people": []})
        # Whoever is new is answered, before the room says again anyway who is there.
        await until(lambda: any(one["room"] != "there" for one in ear.heard[heard:]), presence.SAY_SECONDS / 2)
