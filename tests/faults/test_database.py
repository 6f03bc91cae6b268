"""The database dies in the middle of runs and comes back, on a cluster of the test's own."""

import json
import time

import pytest
from django.test import Client

from runs.models import Run
from tests.conftest import wait_for
from tests.faults.own import OwnDatabase
from tests.faults.stage import LEASE_SECONDS, Stage, books_balance, finished_twice, has_no_gap
from tests.people import a_team, bearer, signed_in_as

AWAY_SECONDS = 10.0

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


def a_death_of_ten_seconds(stage: Stage, database: OwnDatabase) -> dict[str, float]:
    """Kill the database under eight runs, bring it back, return the figures: nothing is lost, nothing paid twice."""
    chain = stage.chain(4, 1500)
    runs = [stage.start(chain, f"r{k}") for k in range(8)]
    stage.wait_for_call("a2", "r7")
    database.die()
    time.sleep(AWAY_SECONDS)
    before = _calls(stage)
    database.come_back()
    back = time.monotonic()
    wait_for(lambda: _calls(stage) > before, 60, stage.logs)
    progress = time.monotonic() - back
    ended = [stage.wait(run, seconds=60) for run in runs]
    for k, run in enumerate(ended):
        assert run.state == "succeeded", stage.explain(run)
        assert stage.asked(f"r{k}") == {"a1": 1, "a2": 1, "a3": 1, "a4": 1}, stage.explain(run)
        assert finished_twice(run) == []
        assert has_no_gap(run)
        assert books_balance(run)
    return {
        "away_s": AWAY_SECONDS,
        "progress_after_s": round(progress, 1),
        "runs": len(runs),
        "lost": 0,
        "moved": sum(run.epoch - 1 for run in ended),
    }


def test_a_database_that_dies_for_ten_seconds_costs_no_run_and_no_second_call(
    its_stage: Stage, own_database: OwnDatabase
) -> None:
    assert AWAY_SECONDS > LEASE_SECONDS, "every lease runs out meanwhile"
    for name in ("w1", "w2"):
        its_stage.worker(name)
    print(json.dumps({"database_away": a_death_of_ten_seconds(its_stage, own_database)}))


def test_a_worker_that_starts_before_its_database_waits_for_it(its_stage: Stage, own_database: OwnDatabase) -> None:
    run = its_stage.start(its_stage.chain(2, 0))
    own_database.die()
    its_stage.hire("w1")
    time.sleep(8)
    own_database.come_back()
    assert its_stage.wait(run, seconds=45).state == "succeeded"
    assert Run.objects.get(pk=run.pk).crashes == 0


def test_programs_and_people_hear_that_it_is_the_database_and_when_to_come_back(own_database: OwnDatabase) -> None:
    team = a_team()
    program = Client(headers=bearer(team.alice, team.workspace), raise_request_exception=False)
    person = signed_in_as(team.alice)
    person.raise_request_exception = False
    own_database.die()
    told, page = program.get("/api/v1/runs"), person.get("/runs/")
    part = person.get("/runs/", headers={"HX-Request": "true"})
    own_database.come_back()
    assert told.json()["code"] == "database_away"
    for answer in (told, page, part):
        assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert b"cannot reach its database" in page.content
    assert b"<html" in page.content
    assert b"cannot reach its database" in part.content
    assert b"<html" not in part.content
    assert (program.get("/api/v1/runs").status_code, person.get("/runs/").status_code) == (200, 200)


def _calls(stage: Stage) -> int:
    return sum(sum(steps.values()) for steps in stage.models.ask("/admin/stats")["markers"].values())
