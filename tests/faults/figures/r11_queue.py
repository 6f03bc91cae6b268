"""R11: how long a run waits from its order to its first step when twenty are ordered at once."""

import pytest

from runs.models import Run
from tests.faults.figures.telling import spread, tell
from tests.faults.stage import Stage

AT_ONCE = 20
ROUNDS = 5

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


def test_r11_a_run_starts_soon(stage: Stage) -> None:
    chain = stage.chain(5, 200)
    stage.worker("w1")
    stage.wait(stage.start(chain, "warm-up"), seconds=60)
    seconds: list[float] = []
    for number in range(ROUNDS):
        runs = [stage.start(chain, f"r{number}-{k}") for k in range(AT_ONCE)]
        for run in runs:
            assert stage.wait(run, seconds=60).state == "succeeded"
        rows = Run.objects.filter(pk__in=[run.pk for run in runs]).values_list("created_at", "started_at")
        seconds += [(started - created).total_seconds() for created, started in rows]
    tell("R11", {"at_once": AT_ONCE, "runs": len(seconds), **spread(seconds)}, p99_s=2)
