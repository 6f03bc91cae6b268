"""R8: a thousand pages follow one run: how late an event is, what that costs, and when they are closed.

Each page has a session of its own. The pages share the machine with the server, so they are made to cost little, and
what they do cost is told: `pages_cpu_s` beside `web_cpu_s`, over `seconds`.
"""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from django.contrib.sessions.models import Session
from django.db import connection

from accounts.models import Membership
from bench.meter import cpu
from runs.models import Event, Run
from runs.services import resume
from tests.api.test_sockets import run_path
from tests.conftest import LiveStack
from tests.faults.figures.crowd import SOCKETS, Crowd, a_paused_run, resident_mb, sessions
from tests.faults.figures.telling import spread, tell
from tests.people import Team, a_team, acting

STEPS = 25
JOIN_SECONDS = 300
CLOSED_SECONDS = 10.0
"""Within which a socket is closed that may no longer be open."""
LIMITS = {"p99_s": 2, "web_mb": 400, "missing": (0, 0), "out_of_order": (0, 0), "closed_after_s": CLOSED_SECONDS}

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults, pytest.mark.timeout(JOIN_SECONDS + 240)]


def test_r8_a_thousand_sockets(live_stack: LiveStack) -> None:
    tell("R8", watched(Door(live_stack.url, [live_stack.web.pid or 0]), a_team(), SOCKETS), **LIMITS)


@dataclass(frozen=True)
class Door:
    """Where the crowd comes in, and the web servers' processes; `led` tells where those who came were led."""

    url: str
    webs: Sequence[int]
    led: Callable[[], dict[str, int]] = dict

    def web_mb(self) -> float:
        """Return the megabytes of the largest."""
        return max(map(resident_mb, self.webs))


def watched(door: Door, team: Team, sockets: int) -> dict[str, float]:
    """Have so many pages follow a run and lose the right to; return what was seen."""
    before = door.web_mb()
    run = a_paused_run(team, STEPS)
    crowd = Crowd(f"{door.url.replace('http', 'ws', 1)}{run_path(run)}", door.url, sessions(team, sockets))
    values = asyncio.run(_watch(door, crowd, team, run))
    return values | {"web_mb_before": round(before), "load_1m": round(os.getloadavg()[0], 2)}


async def _watch(door: Door, crowd: Crowd, team: Team, run: Run) -> dict[str, float]:
    """Let the crowd in, resume the run, hear it to its end, take everybody's right to look; return what was seen."""
    async with asyncio.timeout(JOIN_SECONDS):
        joined_after = await crowd.enter()
    led = door.led()
    began, web, own = time.monotonic(), cpu(door.webs), time.process_time()
    await asyncio.to_thread(_resume, team, run)
    most = 0.0
    while not crowd.ended.is_set() and time.monotonic() < began + JOIN_SECONDS:
        most = max(most, door.web_mb())
        await asyncio.sleep(0.25)
    seconds, web, own = time.monotonic() - began, cpu(door.webs) - web, time.process_time() - own
    events = await asyncio.to_thread(_events_of, run)
    closed_after = await _turned_out(crowd, team)
    return {
        "sockets": len(crowd.sessions),
        **led,
        "events": events,
        "delivered": sum(crowd.seen),
        "missing": len(crowd.sessions) * events - sum(crowd.seen),
        "out_of_order": crowd.out_of_order,
        "joined_after_s": round(joined_after, 1),
        "knocked_again": crowd.knocked_again,
        **spread(crowd.late),
        "closed_after_s": round(closed_after, 1),
        "seconds": round(seconds, 1),
        "web_cpu_s": round(web, 1),
        "pages_cpu_s": round(own, 1),
        "web_mb": round(most),
    }


async def _turned_out(crowd: Crowd, team: Team) -> float:
    """Sign half of the people out and take the others' roles; return the seconds until the last page was closed."""
    await asyncio.to_thread(_take_rights, team)
    began = time.monotonic()
    done, _ = await asyncio.wait([page.closed for page in crowd.pages], timeout=3 * CLOSED_SECONDS)
    seconds = time.monotonic() - began
    codes = [page.result() for page in done]
    assert sorted(set(codes)) == [4401, 4403], codes
    return seconds if len(done) == len(crowd.pages) else float("inf")


def _take_rights(team: Team) -> None:
    Membership.objects.filter(workspace=team.workspace).exclude(user=team.bob).delete()
    keys = [
        row.session_key for row in Session.objects.all() if row.get_decoded().get("_auth_user_id") == str(team.bob.pk)
    ]
    Session.objects.filter(session_key__in=keys).delete()
    connection.close()


def _events_of(run: Run) -> int:
    try:
        return Event.objects.filter(run=run).count()
    finally:
        connection.close()


def _resume(team: Team, run: Run) -> None:
    resume(acting(team.alice), run)
    connection.close()
