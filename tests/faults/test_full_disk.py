"""The database has no room for a while. It says so for each statement, as PostgreSQL does when its disk is full."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection

from runs.models import Event, Run
from tests.conftest import wait_for
from tests.faults.stage import Stage, books_balance, finished_twice, has_no_gap

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

_FULL = """
create function no_room() returns trigger language plpgsql as $$ begin
  raise exception 'could not extend file: No space left on device' using errcode = 'disk_full';
end $$;
create trigger no_room before insert on {table} for each statement execute function no_room();
"""


@contextmanager
def no_room_in(*tables: str) -> Iterator[None]:
    """Have every insertion into these tables fail as on a full disk (SQLSTATE 53100)."""
    with connection.cursor() as cursor:
        for number, table in enumerate(tables):
            cursor.execute(_FULL.replace("no_room", f"no_room_{number}").format(table=table))
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            for number, _ in enumerate(tables):
                cursor.execute(f"drop function no_room_{number} cascade")


def test_a_full_disk_costs_time_and_no_run(stage: Stage) -> None:
    chain = stage.chain(3, 200)
    worker = stage.worker("w1")
    runs = [stage.start(chain, f"r{k}") for k in range(3)]
    stage.wait_for_call("a1", "r2")
    with no_room_in("runs_event", "runs_call"):
        wait_for(lambda: "No space left" in worker.log.read_text(), 30, stage.logs)
        before = Event.objects.count()
        time.sleep(4)
        assert Event.objects.count() == before, "nothing is decided that could not be written"
        assert not Run.objects.filter(pk__in=[run.pk for run in runs], state="failed").exists()
    for k, run in enumerate(runs):
        now = stage.wait(run, seconds=60)
        assert now.state == "succeeded", stage.explain(run)
        assert set(stage.asked(f"r{k}").values()) == {1}
        assert finished_twice(now) == []
        assert has_no_gap(now)
        assert books_balance(now)
