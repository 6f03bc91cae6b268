"""R11: how long a run waits from its order to its first step when twenty are ordered at once."""

from typing import Any

import pytest

from runs.models import Run
from tests.faults.figures.telling import spread, tell
from tests.faults.stage import Stage

AT_ONCE = 20
ROUNDS = 5
LIMITS = {"p99_s": 2}

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


def test_r11_a_run_starts_soon(stage: Stage) -> None:
    stage.worker("w1")
    tell("R11", queued(stage), **LIMITS)


def queued(stage: Stage) -> dict[str, Any]:
    """Order twenty runs at once, several times; return how long they waited for their start."""
    chain = stage.chain(5, 200)
    stage.wait(stage.start(chain, "warm-up"), seconds=60)
    seconds: list[float] = []
    for number in range(ROUNDS):
        runs = stage.start_all(chain, [f"r{number}-{k}" for k in range(AT_ONCE)])
        for run in runs:
            assert stage.wait(run, seconds=60).state == "succeeded"
        rows = Run.objects.filter(pk__in=[run.pk for run in runs]).values_list("created_at", "started_at")
        seconds += [(started - created).total_seconds() for created, started in rows]
    return {"at_once": AT_ONCE, "runs": len(seconds), **spread(seconds)}
