"""R3: runs go on while the broker is dead, by the poll, and bells ring again soon after it is back."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator_site.celery import app
from runs.models import Run
from tests.conftest import wait_for
from tests.faults.figures.telling import tell
from tests.faults.own import OwnBroker
from tests.faults.stage import Stage

LIMITS = dict.fromkeys(("while_away_s", "after_return_s", "bells_again_s"), 30)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


def test_r3_a_lost_broker_costs_seconds(stage: Stage, own_broker: OwnBroker) -> None:
    stage.worker("w1", **own_broker.environment)
    tell("R3", a_loss(stage, own_broker), **LIMITS)


def a_loss(stage: Stage, broker: OwnBroker) -> dict[str, Any]:
    """Kill the broker, bring it back after five runs and ring until every worker has heard; return the figures."""
    chain = stage.chain(2, 0)
    broker.die()
    try:
        away = [_seconds_to_end(stage, stage.start(chain, f"away-{k}")) for k in range(5)]
    finally:
        broker.come_back()
    back = time.monotonic()
    run = stage.start(chain, "back")
    after = _seconds_to_end(stage, run)
    wait_for(_ringing(stage, broker, run), 60, stage.logs)
    again = time.monotonic() - back
    return {"while_away_s": round(max(away), 1), "after_return_s": round(after, 1), "bells_again_s": round(again, 1)}


def _seconds_to_end(stage: Stage, run: Run) -> float:
    began = time.monotonic()
    assert stage.wait(run, seconds=60).state == "succeeded"
    return time.monotonic() - began


def _ringing(stage: Stage, broker: OwnBroker, run: Run) -> Callable[[], bool]:
    """Return what rings for a run that has ended, which changes nothing, and tells whether all workers' logs have one
    of the bells.
    """
    bells: list[str] = []

    def are_heard() -> bool:
        with app.connection_for_write(broker.url) as link:
            bell = app.send_task("runs.wake", (str(run.pk), True), queue="baton", connection=link, retry=False)
        bells.append(bell.id)
        time.sleep(0.5)
        return all(any(bell in log for bell in bells) for log in (worker.log.read_text() for worker in stage.workers))

    return are_heard
