"""A database that is far away, or of which nothing is heard any more although no connection was closed."""

from collections.abc import Iterator

import pytest
from django.db import connection

from runs.models import Run
from tests.conftest import wait_for
from tests.faults.proxy import Proxy
from tests.faults.stage import NOBODY_DIES, Stage, books_balance, finished_twice, has_no_gap

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


@pytest.fixture
def proxy(transactional_db: None) -> Iterator[Proxy]:
    if not connection.settings_dict["HOST"].startswith("/"):
        pytest.skip("the test database has no unix socket to stand in front of")
    proxy = Proxy()
    yield proxy
    proxy.remove()


def test_a_database_two_hundred_milliseconds_away_only_costs_time(stage: Stage, proxy: Proxy) -> None:
    proxy.delay = 0.1  # each way
    chain = stage.chain(3, 200)
    stage.worker("far", DATABASE_URL=proxy.url, **NOBODY_DIES)
    runs = [stage.start(chain, f"r{k}") for k in range(2)]
    for k, run in enumerate(runs):
        now = stage.wait(run, seconds=90)
        assert (now.state, now.epoch, now.crashes) == ("succeeded", 1, 0), stage.explain(run)
        assert set(stage.asked(f"r{k}").values()) == {1}
        assert has_no_gap(now)
        assert books_balance(now)


def test_a_worker_that_hears_nothing_of_its_database_loses_its_runs_to_another(stage: Stage, proxy: Proxy) -> None:
    deaf = stage.worker("deaf", DATABASE_URL=proxy.url)
    run = stage.start(stage.chain(3, 1500))
    stage.wait_for_call("a2")
    proxy.fall_silent()
    stage.worker("well")
    wait_for(lambda: (Run.objects.get(pk=run.pk).owner or "").startswith("well"), 60, stage.logs)
    proxy.hang_up()
    now = stage.wait(run, seconds=60)
    assert now.state == "succeeded"
    assert has_no_gap(now)
    assert finished_twice(now) == []
    assert books_balance(now)
    next_run = stage.wait(stage.start(stage.chain(2, 0), "r2"), seconds=60)
    assert next_run.state == "succeeded"
    assert deaf.is_running
