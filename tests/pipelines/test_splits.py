"""A pipeline's name may stand for several versions: new runs share them by a stable hash of their ids."""

from collections import Counter
from typing import Any

import pytest

from accounts.access import Actor
from accounts.errors import Forbidden, Invalid, NotFound
from accounts.ids import new_id
from pipelines import drafts, publish, splits
from pipelines.models import Draft, Pipeline
from runs.models import Run
from runs.services import Order, start_run
from tests.people import Team, acting, bearer
from tests.pipelines.builders import a_document, a_published_pipeline, prompting

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(team: Team) -> Actor:
    return acting(team.alice)


@pytest.fixture
def pipeline(alice: Actor) -> Pipeline:
    """A pipeline with two versions, the second of them published."""
    pipeline = a_published_pipeline(alice)
    revision = Draft.objects.get(pipeline=pipeline).revision
    drafts.save(alice, pipeline, prompting(a_document(), "Anew: ${input.topic | default('it')}."), revision)
    publish.publish(alice, pipeline)
    return Pipeline.objects.select_related("published").get(pk=pipeline.pk)


def test_runs_share_the_versions_as_the_arms_say_and_record_theirs(alice: Actor, pipeline: Pipeline) -> None:
    splits.put(alice, pipeline, [(1, 30), (2, 70)])
    runs = [start_run(alice, pipeline, Order({})) for _ in range(40)]
    assert {run.arm for run in runs} <= {"A", "B"}
    for run in runs:
        arm = splits.arm_of(pipeline, run.pk)
        assert arm is not None
        assert (run.arm, run.version.number) == (arm.name, arm.version)
        assert {"A": 1, "B": 2}[arm.name] == arm.version


def test_an_id_always_belongs_to_the_same_arm_and_many_are_spread_as_wanted(alice: Actor, pipeline: Pipeline) -> None:
    splits.put(alice, pipeline, [(1, 10), (2, 90)])
    ids = [new_id() for _ in range(4_000)]
    arms = [splits.arm_of(pipeline, run_id) for run_id in ids]
    assert arms == [splits.arm_of(pipeline, run_id) for run_id in ids]
    counts = Counter(arm.name for arm in arms if arm)
    assert sum(counts.values()) == len(ids)
    assert 300 <= counts["A"] <= 500, "10 % of 4,000, within five standard deviations"


def test_a_named_version_and_a_pipeline_without_a_split_have_no_arm(alice: Actor, pipeline: Pipeline) -> None:
    assert start_run(alice, pipeline, Order({})).arm is None
    splits.put(alice, pipeline, [(1, 100)])
    assert start_run(alice, pipeline, Order({})).version.number == 1
    named = start_run(alice, pipeline, Order({}, version=2))
    assert (named.arm, named.version.number) == (None, 2)


def test_publishing_and_ending_give_new_runs_one_version_again(alice: Actor, pipeline: Pipeline) -> None:
    splits.put(alice, pipeline, [(1, 100)])
    publish.publish(alice, pipeline)
    pipeline = Pipeline.objects.select_related("published").get(pk=pipeline.pk)
    assert pipeline.split == []
    assert start_run(alice, pipeline, Order({})).version.number == 3
    splits.put(alice, pipeline, [(1, 100)])
    splits.end(alice, pipeline)
    assert start_run(alice, pipeline, Order({})).arm is None


@pytest.mark.parametrize("arms", [[], [(1, 99)], [(1, 50), (1, 50)], [(1, 0), (2, 100)], [(1, -1), (2, 101)]])
def test_arms_that_do_not_share_a_hundred_are_refused(alice: Actor, pipeline: Pipeline, arms: Any) -> None:
    with pytest.raises(Invalid) as refused:
        splits.put(alice, pipeline, arms)
    assert (refused.value.code, refused.value.where) == ("bad_split", "/arms")


def test_only_who_publishes_splits_and_only_what_is_there(alice: Actor, team: Team, pipeline: Pipeline) -> None:
    with pytest.raises(NotFound):
        splits.put(alice, pipeline, [(1, 50), (9, 50)])
    with pytest.raises(Forbidden):
        splits.put(acting(team.bob), pipeline, [(1, 100)])


def test_the_api_sets_shows_and_ends_a_split(client: Any, alice: Actor, team: Team, pipeline: Pipeline) -> None:
    headers = bearer(team.alice, team.workspace)
    body = {"arms": [{"version": 1, "percent": 20}, {"version": 2, "percent": 80}]}
    path = f"/api/v1/pipelines/{pipeline.slug}"
    shown = client.put(f"{path}/split", body, "application/json", headers=headers).json()
    assert shown["split"] == [
        {"arm": "A", "version": 1, "percent": 20},
        {"arm": "B", "version": 2, "percent": 80},
    ]
    started = client.post(f"{path}/runs", {"input": {}}, "application/json", headers=headers).json()
    assert started["arm"] == Run.objects.get().arm
    client.force_login(team.alice)
    assert (
        "20 % use version 1 (arm A) and 80 % use version 2 (arm B)"
        in client.get(f"/pipelines/{pipeline.slug}/run/").content.decode()
    )
    assert client.delete(f"{path}/split", headers=headers).status_code == 204
    assert client.get(path, headers=headers).json()["split"] == []
