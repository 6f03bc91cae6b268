"""What steps are expected to cost is what they cost in the newest runs, each place for itself."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from django.test.utils import CaptureQueriesContext

from runs import expected
from tests.pages.builders import World, a_run_of, a_step, a_world
from tests.people import acting, signed_in_as

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return a_world()


def a_done_run(world: World, micros: int, unpriced: int = 0) -> None:
    run = a_run_of(world.pipeline, world.team, state="succeeded", cost_micros=3 * micros, unpriced_calls=unpriced)
    a_step(run, "research", "agent", state="succeeded", cost_micros=micros, unpriced_calls=unpriced)
    a_step(run, "all[0].dig", "agent", state="succeeded", cost_micros=micros)
    a_step(run, "all[1].dig", "agent", state="succeeded", cost_micros=micros)
    a_step(run, "chat~1.choose", "agent", state="succeeded", cost_micros=micros)
    a_step(run, "free", "transform", state="succeeded")


def costs(world: World) -> dict[str, tuple[int | None, int | None]]:
    found = expected.of_pipeline(acting(world.team.alice), world.pipeline.slug).steps
    return {place: (cost.least_micros, cost.most_micros) for place, cost in found.items()}


def test_a_step_costs_what_all_its_instances_cost_in_a_run(world: World) -> None:
    a_done_run(world, 1_000)
    a_done_run(world, 4_000)
    assert costs(world) == {
        "research": (1_000, 4_000),
        "all.dig": (2_000, 8_000),
        "all": (2_000, 8_000),
        "chat": (1_000, 4_000),
    }


def test_an_unknown_price_stays_unknown(world: World) -> None:
    a_done_run(world, 0, unpriced=1)
    found = expected.of_pipeline(acting(world.team.alice), world.pipeline.slug)
    assert found.run
    assert found.run.least_micros is None
    assert found.steps["research"].least_micros is None
    html = signed_in_as(world.team.alice).get(f"/pipelines/{world.pipeline.slug}/costs/").content.decode()
    assert "unknown price a run" in html
    assert "$0" not in html


def test_without_a_run_that_succeeded_nothing_is_said(world: World) -> None:
    found = expected.of_pipeline(acting(world.team.alice), world.pipeline.slug)
    assert (found.run, found.steps) == (None, {})


def test_a_child_run_counts_for_the_step_that_started_it(world: World) -> None:
    a_done_run(world, 1_000)
    run = world.pipeline.run_set.get(state="succeeded")
    run.children = 1
    run.save(update_fields=["children"])
    a_run_of(
        world.pipeline,
        world.team,
        state="succeeded",
        parent=run,
        parent_path="all[1].call",
        parent_count=1,
        cost_micros=70,
    )
    assert costs(world)["all.call"] == (70, 70)


def test_children_of_children_count_and_no_child_is_loaded(
    world: World, django_assert_max_num_queries: Callable[[int], AbstractContextManager[CaptureQueriesContext]]
) -> None:
    a_done_run(world, 1_000)
    run = world.pipeline.run_set.get(state="succeeded")
    for number in range(5):
        above = run
        for _ in range(2):
            above = a_run_of(
                world.pipeline,
                world.team,
                state="succeeded",
                parent=above,
                parent_path=f"all[{number}].call",
                parent_count=number + 1,
                cost_micros=10,
                unpriced_calls=number,
            )
    alice = acting(world.team.alice)
    with django_assert_max_num_queries(5) as asked:
        found = expected.of_pipeline(alice, world.pipeline.slug).steps["all.call"]
    assert (found.unpriced, found.least_micros) == (1, None)
    assert not any('"runs_run"."input"' in query["sql"] for query in asked.captured_queries)
    world.pipeline.run_set.exclude(parent=None).update(unpriced_calls=0)
    assert costs(world)["all.call"] == (100, 100)


def test_charlie_learns_no_cost(world: World) -> None:
    assert signed_in_as(world.team.charlie).get(f"/pipelines/{world.pipeline.slug}/costs/").status_code == 404
