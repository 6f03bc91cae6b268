"""An input too large for its run's row stands beside it: for its owner, its children, its forks, and who reads it."""

from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.test import Client

from accounts.access import Actor
from accounts.errors import Invalid
from accounts.roles import Role
from pipelines.graph.canonical import canonical_json, digest
from pipelines.graph.parse import parse
from pipelines.graph.places import places
from pipelines.models import Agent, Pipeline
from runs import agent_bench, agent_tests, artifacts, claims, dispatch, health, offered, services, step_data, store
from runs.claims import Claim, Claimed
from runs.forks import Fork, fork
from runs.models import Artifact, Event, Inbox, Run, RunCounter, Step
from runs.services import Order, start_run
from tests.people import Team, a_team, bearer
from tests.pipelines.builders import a_published_pipeline
from tests.runs.builders import a_commit, a_connection, a_run
from tests.runs.test_artifacts import a_step, write
from tests.runs.test_children import a_start, births, commit

pytestmark = pytest.mark.django_db
over_connections = pytest.mark.django_db(transaction=True)

INPUT = {"text": "A line about tides, with an é in it.\n" * 28_000, "topic": "tides"}


@pytest.fixture
def team() -> Team:
    return a_team()


@pytest.fixture
def alice(team: Team) -> Actor:
    return Actor(team.alice, team.workspace, frozenset(Role))


@pytest.fixture
def pipeline(alice: Actor) -> Pipeline:
    return a_published_pipeline(alice)


def kept(run: Run) -> list[str]:
    return list(Artifact.objects.filter(run=run).values_list("hash", flat=True))


def started(alice: Actor, pipeline: Pipeline, given: Any = INPUT) -> Run:
    return Run.objects.get(pk=start_run(alice, pipeline, Order(given)).pk)


def forked(alice: Actor, run: Run, order: Fork) -> Run:
    return Run.objects.get(pk=fork(alice, run, order).pk)


# Started


def test_a_run_is_started_with_a_megabyte_and_says_where_that_is(team: Team, pipeline: Pipeline) -> None:
    program, headers = Client(), bearer(team.alice, team.workspace)
    runs = f"/api/v1/pipelines/{pipeline.slug}/runs"
    answer = program.post(runs, {"input": INPUT}, content_type="application/json", headers=headers)

    assert answer.status_code == 202, answer.content
    told = answer.json()
    assert (told["input"], told["artifacts"]["input"]["hash"]) == (None, digest(INPUT))
    assert set(told["artifacts"]["input"]) == {"hash", "size", "url"}
    read = f"/api/v1/runs/{told['id']}"
    assert program.get(read, headers=headers).json()["artifacts"] == told["artifacts"]
    address = f"{read}/artifacts/{digest(INPUT)}"
    assert told["artifacts"]["input"]["url"].endswith(address)
    assert program.get(address, headers=headers).content == canonical_json(INPUT)
    charlies = bearer(team.charlie, team.elsewhere)
    assert program.get(address, headers=charlies).status_code == 404
    assert program.get(read, headers=charlies).status_code == 404


def test_an_input_of_exactly_the_limit_stands_in_its_row(alice: Actor, pipeline: Pipeline) -> None:
    room = artifacts.INLINE - len(canonical_json({"topic": ""}))
    small, large = (started(alice, pipeline, {"topic": "x" * length}) for length in (room, room + 1))
    assert (small.large, len(small.input["topic"]), kept(small)) == (None, room, [])
    assert (large.input, kept(large)) == (None, [digest({"topic": "x" * (room + 1)})])


def test_more_than_the_most_is_refused_with_both_numbers_and_leaves_nothing(alice: Actor, pipeline: Pipeline) -> None:
    given = {"topic": "x" * services.LARGEST_VALUE}
    with pytest.raises(Invalid) as refused:
        start_run(alice, pipeline, Order(given))
    assert (refused.value.code, refused.value.where) == ("input_too_large", "/input")
    assert f"{len(canonical_json(given)):,}" in str(refused.value)
    assert "20,971,520" in str(refused.value)
    assert not any(model.objects.exists() for model in (Run, Artifact, Event, Inbox, RunCounter))


def test_a_run_that_is_not_made_after_all_leaves_no_input(
    alice: Actor, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        assert Artifact.objects.exists()
        raise RuntimeError

    monkeypatch.setattr(dispatch, "report", broken)
    with pytest.raises(RuntimeError):
        start_run(alice, pipeline, Order(INPUT))
    assert not Artifact.objects.exists()


# For its owner


async def claimed(run: Run, owner: str = "w1") -> Claimed:
    await Run.objects.filter(pk=run.pk).aupdate(owner=None)
    async with await a_connection() as connection:
        found = await claims.claim(connection, Claim(str(run.pk), owner, 30, alone=True))
    assert found
    return found


async def come_to(run: Run, revision: int, output: Any) -> Run:
    decision = a_commit(run, owner="w1", epoch=1, revision=revision, events=[])
    decision.run["output"] = output
    async with await a_connection() as connection:
        assert await store.write(connection, [decision])
    return await Run.objects.aget(pk=run.pk)


@over_connections
async def test_an_owner_has_the_input_whole_and_so_has_the_next(alice: Actor, pipeline: Pipeline) -> None:
    run = await sync_to_async(started)(alice, pipeline)
    given = (await claimed(run)).run["input"]
    assert given == INPUT

    start = a_step(run, path="start", node="start", kind="input", output=given)
    await write(run, events=[], steps=[start])
    assert await sync_to_async(kept)(run) == [digest(INPUT)], "what the start comes to is the same value"
    again = await claimed(run, "w2")
    assert again.run["input"] == again.steps[0]["output"] == INPUT


@over_connections
async def test_what_a_run_comes_to_leaves_its_input_where_it_is(alice: Actor, pipeline: Pipeline) -> None:
    run = await sync_to_async(started)(alice, pipeline)
    await claimed(run)
    output = {**INPUT, "topic": "ebbs"}
    large = (await come_to(run, 1, output)).large
    assert {name: one["hash"] for name, one in large.items()} == {"input": digest(INPUT), "output": digest(output)}
    ended = await come_to(run, 2, "short")
    assert (ended.output, set(ended.large)) == ("short", {"input"})
    assert (await claimed(run)).run["input"] == INPUT


@over_connections
async def test_a_run_with_a_small_input_says_of_large_values_what_it_said() -> None:
    run = await sync_to_async(a_run)(owner="w1", epoch=1, input={"topic": "tides"})
    assert (await come_to(run, 1, "short")).large is None
    assert set((await come_to(run, 2, INPUT)).large) == {"output"}
    assert (await claimed(run)).run["input"] == {"topic": "tides"}


# For children


@over_connections
async def test_a_child_is_born_with_a_large_input_once() -> None:
    parent = await sync_to_async(a_run)(owner="w/1", epoch=1)
    rows = await sync_to_async(births)(parent, replace(a_start(parent), input=INPUT))
    await commit(parent, 1, rows)
    await commit(parent, 2, rows)

    child = await Run.objects.aget(parent=parent)
    assert (child.input, child.large["input"]["hash"]) == (None, digest(INPUT))
    assert await sync_to_async(kept)(child) == [digest(INPUT)]
    assert (await claimed(child)).run["input"] == INPUT


@over_connections
async def test_a_child_is_given_a_number_beyond_64_bits() -> None:
    parent = await sync_to_async(a_run)(owner="w/1", epoch=1)
    rows = await sync_to_async(births)(parent, replace(a_start(parent), input={"n": 10**20}))
    await commit(parent, 1, rows)
    assert (await Run.objects.aget(parent=parent)).input == {"n": 1e20}


@over_connections
async def test_a_former_owner_keeps_no_input_of_a_child() -> None:
    parent = await sync_to_async(a_run)(owner="w/2", epoch=2)
    rows = await sync_to_async(births)(parent, replace(a_start(parent), input=INPUT))
    assert await commit(parent, 1, rows) == {}
    assert not await Artifact.objects.aexists()


# For forks


def ended_well(run: Run, output: Any = "It rises.") -> Run:
    """Return the run as a worker would have left it."""
    start = {"output": run.input, "large": run.large and {"output": run.large["input"]}}
    rows = [("start", "input", start), ("write", "agent", {"output": output, "cost_micros": 400})]
    for position, (path, kind, fields) in enumerate(rows):
        Step.objects.create(
            run=run, path=path, node=path, kind=kind, state="succeeded", port="done", position=position, **fields
        )
    Run.objects.filter(pk=run.pk).update(state="succeeded", output=output)
    return Run.objects.get(pk=run.pk)


def test_a_fork_has_the_input_as_its_own_and_takes_over_what_was_paid(alice: Actor, pipeline: Pipeline) -> None:
    run = ended_well(started(alice, pipeline))
    new = forked(alice, run, Fork("result"))
    assert set(Step.objects.filter(run=new).values_list("path", flat=True)) == {"start", "write"}
    assert new.saved_micros == 400
    run.delete()
    assert kept(new) == [digest(INPUT)]
    assert artifacts.input_of(new) == INPUT


def test_a_fork_is_given_another_input_large_or_small(alice: Actor, pipeline: Pipeline) -> None:
    run = ended_well(started(alice, pipeline))
    small = forked(alice, run, Fork(overrides={"start": {"topic": "moons"}}))
    assert (small.input, small.large, kept(small)) == ({"topic": "moons"}, None, [])
    more = {**INPUT, "topic": "suns"}
    large = forked(alice, small, Fork(overrides={"start": more}))
    assert (artifacts.input_of(large), kept(large)) == (more, [digest(more)])
    assert not Step.objects.filter(run__in=[small, large]).exists(), "everything runs anew"


def test_a_number_that_the_database_gives_back_as_an_integer_is_forked_and_handed_on(
    alice: Actor, pipeline: Pipeline
) -> None:
    run = ended_well(started(alice, pipeline, {"topic": "tides", "n": 1e20}))
    assert isinstance(run.input["n"], int)
    assert forked(alice, run, Fork("result")).input == run.input


# For who reads it


def test_lists_name_a_run_by_a_short_text_of_its_input(alice: Actor, pipeline: Pipeline) -> None:
    run = started(alice, pipeline)
    run.asked = ["text", "topic"]  # type: ignore[attr-defined]  # as `health.listed` sets it
    assert health.one(run).about == "tides"
    many = started(alice, pipeline, {**INPUT, **{f"n{number}": "x" for number in range(1_000)}})
    assert len(many.large["input"]["texts"]) == artifacts.MOST_TEXTS


def test_a_step_is_tried_with_values_of_a_large_input(alice: Actor, pipeline: Pipeline) -> None:
    run = started(alice, pipeline)
    place = next(one for one in places(parse(run.version.document)) if one.name == "write")
    topic = ("input", "topic")
    assert step_data.values_in(run, place, [topic], "write") == {topic: "tides"}


def test_the_bench_of_an_agent_offers_a_long_prompt_again(alice: Actor, pipeline: Pipeline) -> None:
    prompt = "𝔗" * agent_tests.LONGEST_PROMPT
    agent = Agent.objects.get(slug="writer")
    run = agent_tests.start(alice, agent, agent.versions.get(), prompt)
    assert kept(run) == [digest({"prompt": prompt})]
    assert agent_bench.bench(alice, "writer").last_prompt == prompt


def test_a_model_that_called_is_told_a_small_output_whatever_it_gave(alice: Actor, pipeline: Pipeline) -> None:
    assert offered.words(ended_well(started(alice, pipeline))) == "It rises."


def test_the_way_back_puts_inputs_into_their_rows(alice: Actor, pipeline: Pipeline) -> None:
    large, small = started(alice, pipeline), started(alice, pipeline, {"topic": "moons"})
    back = import_module("runs.migrations.0027_inputs_beside_their_runs")._BACK
    with connection.cursor() as cursor:
        cursor.execute(back)
    for run, given in ((large, INPUT), (small, {"topic": "moons"})):
        run.refresh_from_db()
        assert (run.input, run.large) == (given, None)
