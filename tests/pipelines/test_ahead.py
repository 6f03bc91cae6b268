"""Whether a draft differs from what runs: by what it says, not by when it was touched."""

import pytest

from pipelines import drafts, publish
from pipelines.ahead import ahead
from pipelines.models import Draft, Pipeline
from tests.people import Team, acting
from tests.pipelines.builders import a_document, a_pipeline, a_published_pipeline, prompting


def edit(team: Team, pipeline: Pipeline, prompt: str) -> None:
    revision = Draft.objects.get(pipeline=pipeline).revision
    drafts.save(acting(team.alice), pipeline, prompting(a_document(), prompt), revision)


def test_a_draft_differs_once_it_says_something_else_and_no_longer_when_it_is_taken_back(team: Team) -> None:
    pipeline = a_published_pipeline(acting(team.alice))
    assert ahead([pipeline]) == set()
    edit(team, pipeline, "Other")
    assert ahead([pipeline]) == {pipeline.pk}
    edit(team, pipeline, a_document()["graph"]["nodes"]["write"]["prompt"])
    assert ahead([pipeline]) == set()


def test_moving_boxes_is_no_difference(team: Team) -> None:
    pipeline = a_published_pipeline(acting(team.alice))
    drafts.apply_ops(acting(team.alice), pipeline, 1, "m", [{"op": "move", "positions": {"start": [4, 2]}}])
    assert ahead([pipeline]) == set()


def test_after_a_rollback_the_draft_differs_though_nobody_touched_it(team: Team) -> None:
    pipeline = a_published_pipeline(acting(team.alice))
    edit(team, pipeline, "Worse")
    publish.publish(acting(team.alice), pipeline)
    assert ahead([pipeline]) == set()
    publish.rollback(acting(team.alice), pipeline, 1)
    assert ahead([pipeline]) == {pipeline.pk}


@pytest.mark.django_db
def test_what_was_never_published_differs_from_nothing_and_all_are_compared_at_once(
    team: Team, django_assert_num_queries: object
) -> None:
    published, never = a_published_pipeline(acting(team.alice)), a_pipeline(acting(team.alice), "never")
    edit(team, published, "Other")
    with django_assert_num_queries(1):  # type: ignore[operator]
        assert ahead([published, never]) == {published.pk}
