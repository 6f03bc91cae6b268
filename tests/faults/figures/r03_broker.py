"""R3: runs go on while the broker is dead, by the poll, and bells ring again soon after it is back."""

import time

import pytest

from orchestrator_site.celery import app
from runs.models import Run
from tests.conftest import wait_for
from tests.faults.figures.telling import tell
from tests.faults.own import OwnBroker
from tests.faults.stage import Stage, WorkerProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


def test_r3_a_lost_broker_costs_seconds(stage: Stage, own_broker: OwnBroker) -> None:
    worker = stage.worker("w1", **own_broker.environment)
    chain = stage.chain(2, 0)
    own_broker.die()
    away = [_seconds_to_end(stage, stage.start(chain, f"away-{k}")) for k in range(5)]
    own_broker.come_back()
    back = time.monotonic()
    run = stage.start(chain, "back")
    after = [_seconds_to_end(stage, run)]
    wait_for(lambda: _is_heard(worker, own_broker, run), 60, stage.logs)
    values = {
        "while_away_s": round(max(away), 1),
        "after_return_s": round(max(after), 1),
        "bells_again_s": round(time.monotonic() - back, 1),
    }
    tell("R3", values, while_away_s=30, after_return_s=30, bells_again_s=30)


def _seconds_to_end(stage: Stage, run: Run) -> float:
    began = time.monotonic()
    assert stage.wait(run, seconds=60).state == "succeeded"
    return time.monotonic() - began


def _is_heard(worker: WorkerProcess, broker: OwnBroker, run: Run) -> bool:
    """Ring for a run that has ended, which changes nothing, and look whether the worker's log tells of the bell."""
    with app.connection_for_write(broker.url) as link:
        bell = app.send_task("runs.wake", (str(run.pk), True), queue="baton", connection=link, retry=False)
    time.sleep(0.5)
    return bell.id in worker.log.read_text()
