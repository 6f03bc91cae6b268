"""A crowd of pages that follow one run, each with a session of its own, made to cost the machine little."""

import asyncio
import os
import random
import time
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import count

import orjson
import psutil

from bench.sockets import Page, opened
from runs.models import Run
from runs.services import pause
from tests.api.test_sockets import a_run
from tests.conftest import wait_for
from tests.people import Team, a_member, acting, signed_in_as

SOCKETS = int(os.environ.get("BATON_R8_SOCKETS", "1000"))
PEOPLE = 20
AT_ONCE = 20
# How long a page of ours waits before it knocks again, and the silence after which it does (static/js/live/socket.js).
FIRST_SECONDS, MOST_SECONDS = 0.8, 5.0
SILENCE_SECONDS, LOOK_SECONDS = 30.0, 5.0


@dataclass
class Crowd:
    """Pages that follow the run at this address and note how many seconds after it was decided each event came."""

    run: str
    origin: str
    sessions: list[str]
    at_once: int = AT_ONCE
    late: list[float] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    knocked_again: int = 0
    out_of_order: int = 0

    def __post_init__(self) -> None:
        self.seen = [0] * len(self.sessions)
        self.ended = asyncio.Event()
        self._left = len(self.sessions)
        self._is_live = False
        self._door = asyncio.Semaphore(self.at_once)

    async def enter(self) -> float:
        """Let everybody in; return how many seconds that took. What is decided later is live."""
        began = time.monotonic()
        self.pages = await asyncio.gather(*(self._one(number) for number in range(len(self.sessions))))
        self._is_live = True
        return time.monotonic() - began

    async def stay(self) -> None:
        """Have every page come back whenever it is cut off, from its last event, after a moment as a browser's page."""
        await asyncio.gather(*(self._stay(number) for number in range(len(self.sessions))))

    async def _stay(self, number: int) -> None:
        while not self.ended.is_set():
            await _ended(self.pages[number])
            if not self.ended.is_set():
                await _a_moment(0)
                self.pages[number] = await self._one(number)

    async def _one(self, number: int) -> Page:
        headers = {"Origin": self.origin, "Cookie": f"sessionid={self.sessions[number]}"}
        for tries in count(1):
            address = f"{self.run}?after={self.seen[number]}&format=json"
            try:
                async with self._door:
                    return await opened(address, headers, lambda text: self._hear(number, text))
            except OSError:  # knock until the server has time, as a page does
                self.knocked_again += 1
                await _a_moment(tries)
        raise AssertionError

    def _hear(self, number: int, text: bytes) -> None:
        now = time.time()
        seqs, times, is_last = _read(text)
        self.out_of_order += seqs != range(self.seen[number] + 1, self.seen[number] + 1 + len(seqs))
        self.seen[number] += len(seqs)
        if self._is_live:
            self.late += [now - at for at in times]
        self._left -= is_last
        if not self._left:
            self.ended.set()


async def _ended(page: Page) -> None:
    """Return once a page is closed. Whom a proxy has lost without a word hears nothing more, and closes by itself."""
    while not page.closed.done():
        await asyncio.wait([page.closed], timeout=LOOK_SECONDS)
        if time.monotonic() - page.heard_at > SILENCE_SECONDS:
            page.close()


async def _a_moment(tries: int) -> None:
    await asyncio.sleep(min(MOST_SECONDS, FIRST_SECONDS * 2**tries) * random.uniform(0.7, 1))


@lru_cache(maxsize=256)
def _read(text: bytes) -> tuple[range, list[float], bool]:
    """Return the numbers of a frame's events, their times, and whether the run ended; the same frame is read once."""
    events = orjson.loads(text)["events"]
    if not events:
        return range(0), [], False
    seqs = range(events[0]["seq"], events[-1]["seq"] + 1)
    assert [event["seq"] for event in events] == list(seqs)
    times = [datetime.fromisoformat(event["at"]).timestamp() for event in events]
    return seqs, times, events[-1]["type"] == "run_finished"


def sessions(team: Team, count: int = SOCKETS) -> list[str]:
    """Return the session keys of the pages, over some people of the workspace; half of them are bob's."""
    people = [team.bob, *(a_member(team.workspace, f"viewer-{number}") for number in range(PEOPLE))]
    browsers = (signed_in_as(people[0 if number % 2 else number % len(people)]) for number in range(count))
    return [str(browser.session.session_key) for browser in browsers]


def a_paused_run(team: Team, steps: int) -> Run:
    """Return a run that has begun and waits to be resumed, so that all its later events are live."""
    run = a_run(team, steps=steps)
    pause(acting(team.alice), run)
    wait_for(lambda: Run.objects.filter(pk=run.pk, state="paused").exists(), 30)
    return run


def resident_mb(pid: int) -> float:
    process = psutil.Process(pid)
    return sum(p.memory_info().rss for p in (process, *process.children(recursive=True))) / 1e6
