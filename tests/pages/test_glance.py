"""How far runs have come in a line: what the database counts is what the steps say, and costs the same for many."""

import random
import re
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.access import actor_for
from runs import glance, health
from runs.models import Run, Step
from runs.views import fragments
from tests.pages.builders import World, a_run_of, an_event
from tests.people import signed_in_as

STATES = ("pending", "ready", "running", "waiting", "retrying", "succeeded", "failed", "cancelled", "skipped")
FLAGS: tuple[list[str], ...] = ([], ["degraded"], ["cached"], ["contained"], ["reused", "edited"])
WAITS = (None, "approval", "timer", "budget", "lock")
PORTS = (None, "approved", "rejected", "expired", "done")


def given_steps(run: Run, count: int, dice: random.Random, **fields: Any) -> None:
    """Give the run steps of every look; some share a position, as steps do that became ready at once."""
    Step.objects.bulk_create(
        Step(
            run=run,
            path=f"s{number}",
            **{
                "node": f"step_{number}",
                "title": dice.choice(("", "Look it up")),
                "kind": dice.choice(("agent", "human", "tool")),
                "state": dice.choice(STATES),
                "wait_reason": dice.choice(WAITS),
                "flags": dice.choice(FLAGS),
                "port": dice.choice(PORTS),
                "position": dice.randrange(count),
                **fields,
            },
        )
        for number in range(count)
    )


@pytest.mark.parametrize("count", [0, 1, 2, 11, 12, 13, 23, 24, 25, 40, 100, 131])
def test_what_the_database_counts_is_what_the_steps_say(world: World, count: int) -> None:
    for seed in range(4):
        run = a_run_of(world.pipeline, world.team, state="running")
        given_steps(run, count, random.Random(f"{count} {seed}"))
        counted = glance.of_runs([run.pk]).get(run.pk, glance.Glance())
        assert counted == glance.of_steps(list(Step.objects.filter(run=run).order_by("position", "id")))
        assert (counted.total, len(counted.segments)) == (count, min(count, glance.SEGMENTS))


def test_each_run_has_its_own_steps(world: World) -> None:
    runs = [a_run_of(world.pipeline, world.team, state="running") for _ in range(3)]
    for run, count in zip(runs, (3, 0, 20), strict=True):
        given_steps(run, count, random.Random(count), state="waiting", wait_reason="approval", title=f"Of {count}")
    lines = health.progress(runs)
    assert [(line.total, line.doing, line.badge.word) for line in lines] == [
        (3, "Of 3 and 2 more", "Needs you"),
        (0, "", "Running"),
        (20, "Of 20 and 19 more", "Needs you"),
    ]


def test_steps_that_share_a_segment_show_the_most_telling(world: World) -> None:
    run = a_run_of(world.pipeline, world.team, state="running")
    given_steps(run, 24, random.Random(1), state="succeeded", kind="agent", flags=[])
    for number, step in enumerate(Step.objects.filter(run=run).order_by("position", "id")):
        Step.objects.filter(pk=step.pk).update(state="failed" if number == 3 else "succeeded")
    assert health.one(run).segments == ["ok", "bad", *["ok"] * 10]


def test_a_frame_reads_no_more_for_a_longer_run_and_no_document(world: World) -> None:
    actor = actor_for(world.team.bob, world.team.workspace.slug)
    asked = []
    for count in (3, 300):
        run = a_run_of(world.pipeline, world.team, state="running")
        given_steps(run, count, random.Random(count), state="succeeded", kind="agent")
        an_event(run, "step_succeeded", "s1")
        for _ in range(2):  # the first one draws the picture of the version
            with CaptureQueriesContext(connection) as queries:
                fragments.frame(actor, run.pk, {"s1"}, (1, 1))
        asked.append([query["sql"] for query in queries])
    assert len(asked[0]) == len(asked[1]) <= 9
    assert not any('"document"' in statement or '"runs_run"."input"' in statement for statement in asked[1])


def test_the_list_of_runs_looks_at_no_steps_but_those_it_shows(world: World) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert signed_in_as(world.team.bob).get("/runs/").status_code == 200
    of_steps = [query["sql"] for query in queries if re.search(r'from "?runs_step', query["sql"], re.IGNORECASE)]
    assert len(of_steps) == 1
    assert "run_id = any(" in of_steps[0]
