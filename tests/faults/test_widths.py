"""A pipeline at the limits of the format runs to its end on real rows, and so do random ones with the longest names."""

import asyncio
import json
import random
from typing import Any

import pytest

from runs.execution.models.values import ModelAnswer, ModelRequest, Usage
from runs.models import LedgerEntry, Span, Step, StepDay
from runs.spending import booking
from tests.at_the_limits import LONGEST_TITLE, MOST_ROUTES, a_deep_graph, long, stretched
from tests.engine.mixed import leads, mixed
from tests.engine.test_properties import a_random_graph
from tests.faults.carried import Stand, assert_sound
from tests.faults.mortal import World

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults, pytest.mark.timeout(300)]


class Led(World):
    """Models that lead where they are asked to."""

    async def ask(self, request: ModelRequest, key: str, may_leave: asyncio.Event) -> ModelAnswer:
        answer = leads(request.schema, key.split("/", 1)[1].rsplit("/", 1)[0])
        if answer is None:
            return await super().ask(request, key, may_leave)
        await may_leave.wait()
        self._arrived(key)
        return ModelAnswer(json.dumps(answer), model=request.model, usage=Usage(10, 10))


@pytest.fixture(autouse=True)
def _leaders_lead(stand: Stand) -> None:
    stand.make_world = Led


def test_a_pipeline_drawn_at_the_limits_runs_to_its_end(stand: Stand) -> None:
    run, _ = stand.play(a_deep_graph(), None, name="T" * LONGEST_TITLE)
    assert run.state == "succeeded", run.error
    assert_sound(run, stand.world)
    route = Step.objects.get(run=run, kind="decide")
    assert route.port
    assert route.port.count(",") == MOST_ROUTES - 2
    assert max(map(len, Step.objects.filter(run=run).values_list("path", flat=True))) > 400
    assert Span.objects.filter(run=run, path=route.path).exists()
    assert LedgerEntry.objects.filter(run=run, kind="settled").exists()
    booking.book()
    assert StepDay.objects.filter(node=long("route"), port__startswith=long("p0_")).exists()


@pytest.mark.parametrize("seed", [3, 9, 15, 24])
def test_a_random_run_with_the_longest_names_runs_to_its_end(stand: Stand, seed: int) -> None:
    rng = random.Random(seed)
    graph = stretched(mixed(a_random_graph(rng, races=False, stops=False), rng))
    run, _ = stand.play(_quick(graph), seed)
    assert_sound(run, stand.world)


def _quick(graph: dict[str, Any]) -> dict[str, Any]:
    for node in graph["nodes"].values():
        if "retry" in node.get("on_error", {}):
            node["on_error"]["retry"]["first_delay"] = "PT0S"
        if "graph" in node:
            _quick(node["graph"])
        if node["kind"] == "wait":
            node["for"] = "PT0S"
    return graph
