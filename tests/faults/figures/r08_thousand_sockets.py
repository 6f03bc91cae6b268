"""R8: a thousand pages follow one run: how late an event is, and what the web server needs for it.

The clients share the machine with the server; what they cost is in the seconds too.
"""

import asyncio
import json
import os
import time
from datetime import datetime
from urllib.parse import urlencode

import psutil
import pytest
from django.db import connection
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage

from runs.models import Event, Run
from runs.services import pause, resume
from tests.api.test_sockets import a_run, run_path
from tests.conftest import LiveStack, wait_for
from tests.faults.figures.telling import spread, tell
from tests.people import Team, a_team, acting, signed_in_as

SOCKETS = int(os.environ.get("BATON_R8_SOCKETS", "1000"))
AT_ONCE = 20
STEPS = 25
JOIN_SECONDS = 300

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults, pytest.mark.timeout(JOIN_SECONDS + 240)]


class Crowd:
    """Sockets that follow one run and note how many seconds after it was decided each event came."""

    def __init__(self, address: str, headers: dict[str, str], origin: str) -> None:
        self._address, self._headers, self._origin = address, headers, origin
        self.late: list[float] = []
        self.seen = [0] * SOCKETS
        self.joined_after = 0.0
        self.knocked_again = 0
        self.joined = asyncio.Event()
        self._open = 0
        self._door = asyncio.Semaphore(AT_ONCE)

    async def follow(self) -> None:
        await asyncio.gather(*(self._one(number) for number in range(SOCKETS)))

    async def _one(self, number: int) -> None:
        async with self._door:
            link = await self._let_in()
        self._open += 1
        if self._open == SOCKETS:
            self.joined.set()
        try:
            await self._read(link, number)
        except ConnectionClosed:
            return
        finally:
            await link.close()

    async def _let_in(self) -> ClientConnection:
        """Knock until the server has time, as a page does."""
        while True:
            try:
                return await connect(
                    self._address,
                    origin=self._origin,  # type: ignore[arg-type]
                    additional_headers=self._headers,
                    open_timeout=60,
                    ping_interval=None,
                    compression=None,
                )
            except (InvalidMessage, TimeoutError, OSError):
                self.knocked_again += 1
                await asyncio.sleep(0.5)

    async def _read(self, link: ClientConnection, number: int) -> None:
        while True:
            frame = json.loads(await link.recv())
            if frame.get("heartbeat"):
                continue
            now = time.time()
            for event in frame["events"]:
                self.seen[number] += 1
                if self.joined.is_set():  # what was decided while the doors were crowded is not a live event
                    self.late.append(now - datetime.fromisoformat(event["at"]).timestamp())
                if event["type"] == "run_finished":
                    return


def test_r8_a_thousand_sockets(live_stack: LiveStack) -> None:
    team = a_team()
    pid = live_stack.web.pid
    assert pid
    cookie = f"sessionid={signed_in_as(team.bob).session.session_key}"
    before = _resident_mb(pid)
    run = _a_paused_run(team)
    query = urlencode({"after": 0, "format": "json"})
    address = f"ws://127.0.0.1:{live_stack.port}{run_path(run)}?{query}"
    most, crowd = asyncio.run(_watch(Crowd(address, {"Cookie": cookie}, live_stack.url), pid, team, run))
    events = Event.objects.filter(run=run).count()
    values = {
        "sockets": SOCKETS,
        "events": events,
        "delivered": sum(crowd.seen),
        "missing": SOCKETS * events - sum(crowd.seen),
        "joined_after_s": round(crowd.joined_after, 1),
        "knocked_again": crowd.knocked_again,
        **spread(crowd.late),
        "web_mb_before": round(before),
        "web_mb": round(most),
    }
    tell("R8", values, p99_s=2, web_mb=400, missing=(0, 0))


def _a_paused_run(team: Team) -> Run:
    """Return a run that has begun and waits to be resumed, so that all its later events are live."""
    run = a_run(team, steps=STEPS)
    pause(acting(team.alice), run)
    wait_for(lambda: Run.objects.filter(pk=run.pk, state="paused").exists(), 30)
    return run


async def _watch(crowd: Crowd, pid: int, team: Team, run: Run) -> tuple[float, Crowd]:
    """Let the crowd in, resume the run, and return the web server's largest size with the crowd."""
    following = asyncio.create_task(crowd.follow())
    joined = asyncio.create_task(crowd.joined.wait())
    began = time.monotonic()
    await asyncio.wait([following, joined], timeout=JOIN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    if following.done():
        await following  # a socket was refused: this says why
    assert joined.done(), f"not all {SOCKETS} sockets were let in within {JOIN_SECONDS} s"
    crowd.joined_after = time.monotonic() - began
    await asyncio.to_thread(_resume, team, run)
    most = 0.0
    while not following.done():
        most = max(most, _resident_mb(pid))
        await asyncio.wait([following], timeout=0.5)
    await following
    return most, crowd


def _resume(team: Team, run: Run) -> None:
    resume(acting(team.alice), run)
    connection.close()


def _resident_mb(pid: int) -> float:
    process = psutil.Process(pid)
    return sum(p.memory_info().rss for p in (process, *process.children(recursive=True))) / 1e6
