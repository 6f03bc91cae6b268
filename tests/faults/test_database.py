"""The database dies in the middle of runs and comes back, on a cluster of the test's own."""

import json
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from django.core.management import call_command
from django.db import connection

from orchestrator_site.embedded import postgres
from orchestrator_site.embedded.postgres import Cluster
from orchestrator_site.processes import stop
from runs.models import Run
from tests.conftest import wait_for
from tests.faults.stage import LEASE_SECONDS, Outside, Stage, books_balance, finished_twice, has_no_gap

AWAY_SECONDS = 10.0

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


class OwnDatabase:
    """An embedded PostgreSQL that this process and the workers of its test use in the place of the test database."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cluster, self._process = postgres.start(folder)
        self._before = dict(connection.settings_dict)
        connection.close()
        connection.close_pool()
        connection.settings_dict.update(_settings(self._cluster))
        call_command("migrate", interactive=False, verbosity=0)

    def die(self) -> None:
        """End at once, as a crash does: no connection is asked, the log has to be replayed."""
        connection.close()
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(20)

    def come_back(self) -> None:
        _, self._process = postgres.start(self._folder)

    def remove(self) -> None:
        connection.close()
        connection.close_pool()
        connection.settings_dict.update(self._before)
        stop(self._process, signal.SIGINT, 10)
        shutil.rmtree(self._cluster.home, ignore_errors=True)


def _settings(cluster: Cluster) -> dict[str, str]:
    parts = urlsplit(cluster.url())
    return {
        "NAME": parts.path[1:],
        "USER": parts.username or "",
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parse_qs(parts.query)["host"][0],
        "PORT": "",
    }


@pytest.fixture
def own_database(no_live_stack: None) -> Iterator[OwnDatabase]:
    folder = Path(tempfile.mkdtemp(prefix="baton-database-"))
    folder.chmod(0o755)
    database = OwnDatabase(folder)
    yield database
    database.remove()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def its_stage(
    own_database: OwnDatabase, tmp_path: Path, _models: Outside, _sink: tuple[Outside, int]
) -> Iterator[Stage]:
    sink, smtp_port = _sink
    for outside in (_models, sink):
        outside.ask("/admin/reset", {})
    stage = Stage(tmp_path, _models, sink, smtp_port)
    yield stage
    for worker in stage.workers:
        worker.stop()


def test_a_database_that_dies_for_ten_seconds_costs_no_run_and_no_second_call(
    its_stage: Stage, own_database: OwnDatabase
) -> None:
    for name in ("w1", "w2"):
        its_stage.worker(name)
    chain = its_stage.chain(4, 1500)
    runs = [its_stage.start(chain, f"r{k}") for k in range(8)]
    its_stage.wait_for_call("a2", "r7")
    own_database.die()
    assert AWAY_SECONDS > LEASE_SECONDS, "every lease runs out meanwhile"
    time.sleep(AWAY_SECONDS)
    before = _calls(its_stage)
    own_database.come_back()
    back = time.monotonic()
    wait_for(lambda: _calls(its_stage) > before, 30, its_stage.logs)
    progress = time.monotonic() - back
    ended = [its_stage.wait(run, seconds=60) for run in runs]
    crashes = sum(run.epoch - 1 for run in ended)
    figures = {"progress_after_s": round(progress, 1), "runs": len(runs), "calls": _calls(its_stage), "moved": crashes}
    print(json.dumps({"database_away": figures}))
    assert progress <= 15
    for k, run in enumerate(ended):
        assert run.state == "succeeded", its_stage.explain(run)
        assert its_stage.asked(f"r{k}") == {"a1": 1, "a2": 1, "a3": 1, "a4": 1}, its_stage.explain(run)
        assert finished_twice(run) == []
        assert has_no_gap(run)
        assert books_balance(run)


def test_a_worker_that_starts_before_its_database_waits_for_it(its_stage: Stage, own_database: OwnDatabase) -> None:
    run = its_stage.start(its_stage.chain(2, 0))
    own_database.die()
    its_stage.hire("w1")
    time.sleep(8)
    own_database.come_back()
    assert its_stage.wait(run, seconds=45).state == "succeeded"
    assert Run.objects.get(pk=run.pk).crashes == 0


def _calls(stage: Stage) -> int:
    return sum(sum(steps.values()) for steps in stage.models.ask("/admin/stats")["markers"].values())
