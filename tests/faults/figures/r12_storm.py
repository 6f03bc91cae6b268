"""R12: the web server is killed under a thousand pages, which all come back at once, each from its last event."""

import asyncio
import os
import signal
import time

import pytest
from django.db import connection

from runs.models import Event, Run
from runs.services import resume
from tests.api.test_sockets import run_path
from tests.conftest import LiveStack, wait_for
from tests.faults.figures.crowd import Crowd, a_paused_run, resident_mb, sessions
from tests.faults.figures.telling import tell
from tests.people import Team, a_team, acting

STEPS = 25
BEFORE_SECONDS = 3.0
BACK_SECONDS = 60
JOIN_SECONDS = 300

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults, pytest.mark.timeout(2 * JOIN_SECONDS)]


def test_r12_a_thousand_pages_come_back_at_once(live_stack: LiveStack) -> None:
    team = a_team()
    run = a_paused_run(team, STEPS)
    url = f"ws://127.0.0.1:{live_stack.port}{run_path(run)}"
    crowd = Crowd(url, live_stack.url, sessions(team), at_once=10_000)
    values = asyncio.run(_storm(live_stack, crowd, team, run))
    tell("R12", values, back_s=BACK_SECONDS, web_mb=400, missing=(0, 0), out_of_order=(0, 0))


async def _storm(stack: LiveStack, crowd: Crowd, team: Team, run: Run) -> dict[str, float]:
    """Kill the server in the middle of the run and start it again; return what every page has seen in the end."""
    async with asyncio.timeout(JOIN_SECONDS):
        await crowd.enter()
    await asyncio.to_thread(_resume, team, run)
    await asyncio.sleep(BEFORE_SECONDS)
    seen = sum(crowd.seen)
    staying = asyncio.create_task(crowd.stay())
    killed, most, knocked = time.monotonic(), 0.0, crowd.knocked_again
    os.kill(stack.web.pid or 0, signal.SIGKILL)
    await asyncio.to_thread(_again, stack)
    while not crowd.ended.is_set() and time.monotonic() < killed + JOIN_SECONDS:
        most = max(most, resident_mb(stack.web.pid or 0))
        await asyncio.sleep(0.1)
    back = time.monotonic() - killed
    staying.cancel()
    events = await asyncio.to_thread(_events_of, run)
    return {
        "sockets": len(crowd.sessions),
        "events": events,
        "seen_before": seen,
        "missing": len(crowd.sessions) * events - sum(crowd.seen),
        "out_of_order": crowd.out_of_order,
        "knocked_again": crowd.knocked_again - knocked,
        "back_s": round(back, 1),
        "web_mb": round(most),
        "load_1m": round(os.getloadavg()[0], 2),
    }


def _again(stack: LiveStack) -> None:
    wait_for(lambda: not stack.web.running, 10)
    stack.start()


def _resume(team: Team, run: Run) -> None:
    resume(acting(team.alice), run)
    connection.close()


def _events_of(run: Run) -> int:
    try:
        return Event.objects.filter(run=run).count()
    finally:
        connection.close()
