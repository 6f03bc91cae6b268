"""R2: how long after kill -9 of its worker a step is taken up again, with the lease of an installation (30 s)."""

import os
import time
from collections.abc import Iterable

import pytest

from runs.models import Call, Run
from tests.conftest import wait_for
from tests.faults.figures.telling import spread, tell
from tests.faults.stage import Stage

LEASE = 30
ROUNDS = int(os.environ.get("BATON_R2_ROUNDS", "2"))
AT_ONCE = 20
ON_ITS_WAY = 5.0
"""Seconds within which a call arrives that was announced before, also when many were at once."""
LIMITS = {"p99_s": 40, "steps": (AT_ONCE, 10_000)}

pytestmark = [pytest.mark.faults, pytest.mark.timeout(ROUNDS * 120 + 60)]


def test_r2_a_dead_workers_step_is_reclaimed_in_time(stage: Stage) -> None:
    seconds: list[float] = []
    chain = stage.chain(2, 1500)
    worker = stage.worker("w0", BATON_LEASE_SECONDS=str(LEASE))
    for number in range(ROUNDS):
        markers = [f"r{number}-{k}" for k in range(AT_ONCE)]
        runs = [stage.start(chain, marker) for marker in markers]
        wait_for(lambda runs=runs: under_way(runs) == AT_ONCE, 60, stage.logs)
        worker.kill()
        killed = time.time()
        began = time.monotonic()
        worker = stage.worker(f"w{number + 1}", BATON_LEASE_SECONDS=str(LEASE))
        ready = time.monotonic() - began
        assert ready < LEASE - 5, f"the next worker took {ready:.0f} s to start, so it would measure that"
        seconds += taken_up(stage, runs, killed)
    tell("R2", {"lease_s": LEASE, "steps": len(seconds), **spread(seconds)}, **LIMITS)


def taken_up(stage: Stage, runs: Iterable[Run], since: float) -> list[float]:
    """Wait for the runs to end; return how many seconds after this moment the next call of each reached its model.

    What had answered before needed nobody. The journal would not do: a worker that is cut off has written down when
    it meant to call, and does so once it can.
    """
    markers = {stage.wait(run, seconds=90).input["run"] for run in runs}
    first: dict[str, float] = {}
    for call in stage.models.ask("/admin/calls"):
        if call["marker"][0] in markers and call["at"] > since + ON_ITS_WAY:
            first.setdefault(call["marker"][0], call["at"] - since)
    return list(first.values())


def under_way(runs: Iterable[Run]) -> int:
    return Call.objects.filter(run__in=runs, state="started").count()
