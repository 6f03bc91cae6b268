"""Each run says how it was started: by which door, or by which of them it was made."""

import json
from io import StringIO
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounts.access import Actor
from accounts.roles import Role
from pipelines.library import agents
from pipelines.library.agents import AgentFields
from pipelines.models import Pipeline
from runs import agent_tests, launch
from runs.forks import Fork, fork
from runs.models import Run
from runs.services import Order, start_run
from tests.people import a_member, a_workspace, acting, bearer
from tests.pipelines.builders import a_published_pipeline
from tests.runs.builders import a_run
from tests.runs.test_children import a_start, births, commit

INPUT = {"topic": "tides"}


@pytest.fixture
def alice(db: Any) -> Actor:
    workspace = a_workspace("acme")
    return acting(a_member(workspace, "alice", Role.COMPOSER), workspace)


@pytest.fixture
def pipeline(alice: Actor) -> Pipeline:
    return a_published_pipeline(alice)


def test_the_form_starts_a_run_and_a_test(alice: Actor, pipeline: Pipeline) -> None:
    assert launch.start(alice, pipeline.slug, INPUT).via == "form"
    assert launch.start(alice, pipeline.slug, INPUT, is_test=True).via == "test"


def test_the_api_says_how_a_run_was_started(alice: Actor, pipeline: Pipeline, client: Client) -> None:
    path = f"/api/v1/pipelines/{pipeline.slug}/runs"
    headers = bearer(alice.user, alice.workspace)
    answer = client.post(path, {"input": INPUT}, content_type="application/json", headers=headers)
    assert answer.json()["via"] == "api"
    other = start_run(alice, pipeline, Order(INPUT, via="trigger:nightly"))
    found = client.get("/api/v1/runs?via=trigger:nightly", headers=headers).json()["items"]
    assert [run["id"] for run in found] == [str(other.pk)]


def test_the_command_starts_a_run(alice: Actor, pipeline: Pipeline) -> None:
    out = StringIO()
    call_command("run_pipeline", pipeline.slug, input=json.dumps(INPUT), workspace="acme", stdout=out)
    assert Run.objects.get().via == "command"


def test_a_test_of_an_agent_is_a_test(alice: Actor) -> None:
    spare = agents.create(alice, "spare", AgentFields("demo/echo"))
    assert agent_tests.start(alice, spare.agent, spare, "Say something.").via == "test"


def test_a_fork_is_one_however_the_first_run_was_started(alice: Actor, pipeline: Pipeline) -> None:
    run = start_run(alice, pipeline, Order(INPUT, via="trigger:nightly"))
    Run.objects.filter(pk=run.pk).update(state="succeeded", finished_at=timezone.now())
    run.refresh_from_db()
    assert run.via == "trigger:nightly"
    assert fork(alice, run, Fork()).via == "fork"


@pytest.mark.django_db(transaction=True)
async def test_a_child_was_started_by_a_pipeline() -> None:
    parent = await sync_to_async(a_run)(owner="w/1", epoch=1, via="form")
    await commit(parent, 1, await sync_to_async(births)(parent, a_start(parent)))
    assert (await Run.objects.aget(parent=parent)).via == "pipeline"
