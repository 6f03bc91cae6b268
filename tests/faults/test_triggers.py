"""Schedules over outages and deaths of workers: once for what was due, never lost, never doubled."""

import time
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from accounts.clock import database_now
from runs.models import Firing, Run, Trigger
from runs.triggers import definitions
from runs.triggers.definitions import TriggerFields
from tests.conftest import wait_for
from tests.faults.stage import Stage

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]
MANY = 30


def schedules(stage: Stage, number: int) -> list[Trigger]:
    """Make schedules that have been due for three days, each of them every minute."""
    pipeline = stage.chain(1, 0)
    made = [
        definitions.create(
            stage.composer,
            TriggerFields(f"s{k}", "schedule", pipeline.slug, input={"run": f"s{k}"}, cron="* * * * *", zone="UTC"),
        )
        for k in range(number)
    ]
    Trigger.objects.update(next_at=Now() - timedelta(days=3))
    return made


def test_a_schedule_goes_off_once_after_an_outage_of_days_with_two_workers(stage: Stage) -> None:
    (trigger,) = schedules(stage, 1)
    stage.hire("w1")
    stage.hire("w2")
    wait_for(lambda: Run.objects.filter(via="trigger:s0", state="succeeded").exists(), 60, stage.logs)
    missed = Firing.objects.filter(trigger=trigger).filter(key__lt=f"due:{_an_hour_ago()}")
    time.sleep(5)  # two more looks of each
    assert missed.count() == 1
    run = missed.get().run
    assert run is not None
    assert run.via == "trigger:s0"
    assert Trigger.objects.filter(pk=trigger.pk, next_at__gt=Now() - timedelta(seconds=5)).exists()


def test_a_worker_killed_while_it_starts_runs_of_schedules_loses_none_and_doubles_none(stage: Stage) -> None:
    made = schedules(stage, MANY)
    first = stage.worker("w1")
    wait_for(Run.objects.exists, 60, stage.logs)
    first.kill()
    stage.worker("w2")
    earlier = Firing.objects.filter(trigger__in=made, key__lt=f"due:{_an_hour_ago()}")
    wait_for(lambda: earlier.filter(state="started").count() == MANY, 60, stage.logs)
    assert earlier.count() == MANY
    runs = set(earlier.values_list("run", flat=True))
    assert len(runs) == MANY
    assert None not in runs
    wait_for(lambda: not Run.objects.filter(pk__in=runs).exclude(state="succeeded").exists(), 90, stage.logs)


def _an_hour_ago() -> str:
    return (database_now() - timedelta(hours=1)).isoformat()
