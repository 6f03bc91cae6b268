"""POST /agents/{slug}/test: a rehearsal like any run, kept out of sight, started by whoever may run."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from accounts.roles import Scope
from pipelines.library import agents
from pipelines.library.agents import AgentFields
from pipelines.models import Agent, Pipeline
from runs.models import Run
from tests.people import Team, a_team, acting, bearer
from tests.pipelines.builders import a_writer

pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Team:
    team = a_team()
    a_writer(acting(team.alice), instructions="As it was.")
    return team


def call(team: Team, person: User, body: Any, *scopes: Scope, slug: str = "writer") -> Any:
    workspace = team.elsewhere if person == team.charlie else team.workspace
    headers = bearer(person, workspace, *scopes)
    return Client().post(f"/api/v1/agents/{slug}/test", body, "application/json", headers=headers)


def test_an_agent_is_tried_in_a_rehearsal_of_its_newest_version(team: Team) -> None:
    agents.new_version(acting(team.alice), Agent.objects.get(slug="writer"), AgentFields("demo/echo"))

    newest = call(team, team.alice, {"prompt": "Say ${input.prompt}."})
    older = call(team, team.alice, {"prompt": "Hello.", "version": 1})

    assert (newest.status_code, older.status_code) == (202, 202)
    runs = [Run.objects.get(pk=answer.json()["id"]) for answer in (newest, older)]
    assert all(run.rehearsal for run in runs)
    assert runs[0].input == {"prompt": "Say ${input.prompt}."}
    assert [list(run.version.lock["agents"]) for run in runs] == [["writer@2"], ["writer@1"]]
    assert len({run.pipeline_id for run in runs}) == 1


def test_tests_are_not_among_the_pipelines(team: Team) -> None:
    call(team, team.alice, {"prompt": "Hello."})

    listed = Client().get("/api/v1/pipelines", headers=bearer(team.alice, team.workspace)).json()["items"]

    assert [item for item in listed if item["archived_at"] is None] == []
    assert Pipeline.objects.get().slug == "TEST-writer"


def test_who_may_not_run_may_not_try(team: Team) -> None:
    for person in (team.bob, team.carol, team.erin):
        assert call(team, person, {"prompt": "Hello."}).status_code == 403
    assert call(team, team.alice, {"prompt": "Hello."}, Scope.READ).status_code == 403
    assert call(team, team.charlie, {"prompt": "Hello."}).status_code == 404
    assert call(team, team.alice, {"prompt": "Hello."}, slug="nobody").status_code == 404
    assert call(team, team.alice, {"prompt": "Hello.", "version": 9}).status_code == 404
    assert call(team, team.alice, {"prompt": ""}).status_code == 422
    assert not Run.objects.exists()


def test_an_agent_that_cannot_be_reached_says_so_before_it_runs(team: Team) -> None:
    a_writer(acting(team.alice), "lost", model="nowhere/model")

    answer = call(team, team.alice, {"prompt": "Hello."}, slug="lost")

    assert (answer.status_code, answer.json()["code"]) == (422, "not_publishable")
    assert answer.json()["problems"][0]["code"] == "unknown_model"
