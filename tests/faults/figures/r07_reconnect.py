"""R7: a page that lost its connection has every event soon after it is back, each once and in order."""

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from websockets.sync.client import ClientConnection

from runs.models import Event, Run
from tests.api.test_sockets import a_run, by_rest, frames, opened, run_path
from tests.conftest import LiveStack, wait_for
from tests.faults.figures.telling import spread, tell
from tests.faults.site import Site
from tests.people import Team, a_team

TIMES = 20
STEPS = 40
LIMITS = {"missing": (0, 0), "max_s": 2}

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults, pytest.mark.timeout(240)]


def test_r7_all_events_after_a_reconnect(live_stack: LiveStack) -> None:
    tell("R7", reconnected(live_stack, a_team()), **LIMITS)


def hang_up(link: ClientConnection) -> None:
    """Say no goodbye, as a phone that loses its network."""
    link.socket.shutdown(socket.SHUT_RDWR)


def reconnected(
    there: LiveStack | Site, team: Team, lose: Callable[[ClientConnection], None] = hang_up
) -> dict[str, Any]:
    """Follow a run over connections of which each is lost; return the figures once every event came in order."""
    run = a_run(team, STEPS)
    came: list[dict[str, Any]] = []
    seconds: list[float] = []
    for _ in range(TIMES):
        last = came[-1]["seq"] if came else 0
        wait_for(lambda last=last: _newest(run) > last + 1 or _has_ended(run), 60)
        missed = _newest(run)
        back = time.monotonic()
        with opened(there, run_path(run), team.bob, after=last, format="json") as link:
            for frame in frames(link):
                came += frame["events"]
                if came[-1]["seq"] >= missed:
                    break
            seconds.append(time.monotonic() - back)
            lose(link)
    wait_for(lambda: _has_ended(run), 120)
    with opened(there, run_path(run), team.bob, after=came[-1]["seq"], format="json") as link:
        for frame in frames(link, 10):
            came += frame["events"]
            if came[-1]["seq"] >= _newest(run):
                break
    whole = by_rest(team, run)
    assert came == whole
    return {"reconnects": TIMES, "events": len(whole), "missing": len(whole) - len(came), **spread(seconds)}


def _newest(run: Run) -> int:
    return Event.objects.filter(run=run).order_by("-seq").values_list("seq", flat=True)[0]


def _has_ended(run: Run) -> bool:
    return Run.objects.filter(pk=run.pk, finished_at__isnull=False).exists()
