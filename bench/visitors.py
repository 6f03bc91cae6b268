"""Many people at once, in one process: pages that are asked for at a steady rate, and sockets that follow runs.

A page is due when it is due: its time counts from then, also when all connections are still busy with those before it.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import count
from typing import Any

import aiohttp
import orjson

from bench.sockets import Page, opened
from bench.table import spread

KNOCK_AT_ONCE = 20
CONNECTIONS = 64
ANSWER_SECONDS = 30
AGAIN_SECONDS = (0.5, 1.5)


@dataclass(frozen=True)
class Plan:
    """Whom to visit: `webs` and `sessions` in turn, `sockets` over the `runs`, `rate` of the `pages` for `seconds`."""

    webs: Sequence[str]
    sessions: Sequence[str]
    reader: str
    runs: Sequence[str]
    pages: Sequence[str]
    sockets: int
    rate: float
    seconds: float


@dataclass
class Followers:
    """Sockets that note how late each event came, and come back from their last event when they are cut off."""

    plan: Plan
    late_ms: list[float] = field(default_factory=list)
    out_of_order: int = 0
    came_back: int = 0

    def __post_init__(self) -> None:
        self.seen: list[int | None] = [None] * self.plan.sockets
        self._door = asyncio.Semaphore(KNOCK_AT_ONCE)
        self._is_live = False

    async def enter(self) -> list[Page]:
        """Let every socket in; what is decided from then on counts."""
        pages = await asyncio.gather(*(self._one(number) for number in range(self.plan.sockets)))
        self._is_live = True
        return pages

    async def stay(self, pages: list[Page]) -> None:
        await asyncio.gather(*(self._stay(number, page) for number, page in enumerate(pages)))

    async def _stay(self, number: int, page: Page) -> None:
        while True:
            await page.closed
            self.came_back += 1
            await asyncio.sleep(random.uniform(*AGAIN_SECONDS))
            page = await self._one(number)

    async def _one(self, number: int) -> Page:
        plan = self.plan
        web = plan.webs[number % len(plan.webs)]
        headers = {"Origin": web, "Cookie": f"sessionid={plan.sessions[number % len(plan.sessions)]}"}
        run = plan.runs[number % len(plan.runs)]
        address = f"{web.replace('http', 'ws')}/ws/runs/{run}?after={self.seen[number] or 0}&format=json"
        async with self._door:
            while True:
                try:
                    return await opened(address, headers, lambda text: self._hear(number, text))
                except OSError:
                    await asyncio.sleep(random.uniform(*AGAIN_SECONDS))

    def _hear(self, number: int, text: bytes) -> None:
        now = time.time()
        first, last, times = _read(text)
        if not times:
            return
        before = self.seen[number]
        self.out_of_order += before is not None and first != before + 1
        self.seen[number] = last
        if self._is_live:
            self.late_ms += [1000 * (now - at) for at in times]


@lru_cache(maxsize=1024)
def _read(text: bytes) -> tuple[int, int, list[float]]:
    """Return the first and the last number of a frame's events, and their times; what many hear is read once."""
    events = orjson.loads(text)["events"]
    times = [datetime.fromisoformat(event["at"]).timestamp() for event in events]
    return (events[0]["seq"], events[-1]["seq"], times) if events else (0, 0, [])


@dataclass
class Readers:
    """People who open pages, each as it is due."""

    plan: Plan
    took_ms: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    async def read(self) -> None:
        plan = self.plan
        began, asked = time.monotonic(), set[asyncio.Task[None]]()
        connector = aiohttp.TCPConnector(limit=CONNECTIONS)
        timeout = aiohttp.ClientTimeout(ANSWER_SECONDS)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, headers={"Cookie": f"sessionid={plan.reader}"}
        ) as browser:
            for number in count():
                due = began + number / plan.rate
                if due > began + plan.seconds:
                    break
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                asked.add(task := asyncio.create_task(self._one(browser, number, due)))
                task.add_done_callback(asked.discard)
            await asyncio.gather(*asked)

    async def _one(self, browser: aiohttp.ClientSession, number: int, due: float) -> None:
        plan = self.plan
        page = plan.pages[number % len(plan.pages)]
        try:
            async with browser.get(plan.webs[number % len(plan.webs)] + page, allow_redirects=False) as answer:
                await answer.read()
                if answer.status != 200:
                    self.errors[f"{answer.status} {page}"] += 1
        except (aiohttp.ClientError, TimeoutError) as error:
            self.errors[f"{type(error).__name__} {page}"] += 1
        took = 1000 * (time.monotonic() - due)
        self.took_ms.append(took)


def visit(plan: Plan) -> dict[str, Any]:
    """Follow and read as the plan says; return what the visitors saw, and where each socket stands in its run's log."""
    return asyncio.run(_visit(plan))


async def _visit(plan: Plan) -> dict[str, Any]:
    followers, readers = Followers(plan), Readers(plan)
    began = time.monotonic()
    pages = await followers.enter()
    entered = time.monotonic() - began
    staying = asyncio.create_task(followers.stay(pages))
    await readers.read()
    await asyncio.sleep(2)
    staying.cancel()
    return {
        "entered_s": round(entered, 1),
        "socket": spread(followers.late_ms),
        "frames": len(followers.late_ms),
        "out_of_order": followers.out_of_order,
        "came_back": followers.came_back,
        "page": spread(readers.took_ms),
        "pages": len(readers.took_ms),
        "page_errors": dict(readers.errors),
        "seen": [[plan.runs[number % len(plan.runs)], seen or 0] for number, seen in enumerate(followers.seen)],
    }
