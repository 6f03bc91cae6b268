"""Runs of every kind of step, whose owner dies at any commit, on real rows; a process apart counts the effects."""

import asyncio
import json
import os
import random
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import pytest

from runs.execution.context import ToolCall
from runs.execution.models.values import ModelAnswer, ModelRequest, Usage
from runs.models import BoardEntry, Call, LedgerEntry, Run, Step, StepLock
from tests.engine.mixed import KINDS, leads, mixed
from tests.engine.test_properties import a_random_graph
from tests.faults.carried import ACTIONS, TOOLS, Stand, assert_sound, end_of
from tests.faults.mortal import Death, World
from tests.faults.stage import Outside

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults, pytest.mark.timeout(1_800)]

# The seeds of graphs that have every kind, tools and locks between them; BATON_MIXED_GRAPHS=N plays N others as well.
CHOSEN = (0, 3, 5, 9, 15, 22, 24, 26, 27)
SEEDS = (*CHOSEN, *(1_000 + number for number in range(int(os.environ.get("BATON_MIXED_GRAPHS", "0")))))
UNKEYED = "email.send@1"
ENDED = ("succeeded", "failed", "cancelled")


class Outdoors(World):
    """Models that lead where they are asked to, and actions whose effects reach the sink."""

    def __init__(self, luck: int | None, sink: Outside) -> None:
        super().__init__(luck)
        self._sink = sink

    async def ask(self, request: ModelRequest, key: str, may_leave: asyncio.Event) -> ModelAnswer:
        path = key.split("/", 1)[1].rsplit("/", 1)[0]
        answer = leads(request.schema, path)
        if answer is None:
            return await super().ask(request, key, may_leave)
        await may_leave.wait()
        self._arrived(key)
        await self._take_time(path)
        return ModelAnswer(json.dumps(answer), model=request.model, usage=Usage(10, 10))

    async def act(self, args: Mapping[str, Any], call: ToolCall) -> Any:
        result = await super().act(args, call)
        body = json.dumps({"path": result["did"], "args": dict(args)}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._sink.port}/act", body, {"Idempotency-Key": call.idempotency_key}
        )
        with urllib.request.urlopen(request, timeout=5):
            return result


@pytest.fixture
def sink(stand: Stand, _sink: tuple[Outside, int]) -> Outside:
    """The process that the stand's actions reach."""
    stand.make_world = lambda luck: Outdoors(luck, _sink[0])
    return _sink[0]


def effects(sink: Outside) -> dict[str, list[str]]:
    """Return the keys under which effects have arrived since the last look, by path."""
    found = defaultdict(list)
    for effect in sink.ask("/admin/effects"):
        found[json.loads(effect["body"])["path"]].append(effect["key"])
    sink.ask("/admin/reset", {})
    return dict(found)


def mixed_graph(seed: int) -> dict[str, Any]:
    """Return a random graph of every kind, with three tools, in which nothing waits for long."""
    rng = random.Random(seed)
    return _quick(mixed(a_random_graph(rng, races=False, stops=False), rng), rng)


def _quick(graph: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    for node in graph["nodes"].values():
        if "retry" in node.get("on_error", {}):
            node["on_error"]["retry"]["first_delay"] = "PT0S"
        if "graph" in node:
            _quick(node["graph"], rng)
        if node["kind"] == "wait":
            node["for"] = "PT0S"
        if node["kind"] == "tool":
            tool = rng.choice(TOOLS)
            node |= {"tool": tool, "args": ACTIONS[tool]}
    return graph


def kinds_of(graph: Mapping[str, Any]) -> Counter[str]:
    found = Counter(node["kind"] for node in graph["nodes"].values())
    for node in graph["nodes"].values():
        found += kinds_of(node["graph"]) if "graph" in node else Counter()
    return found


def assert_effects(run: Run, sink: Outside, world: World) -> dict[str, int]:
    """Check what reached the sink; return how many effects there were under keys of their own, by path."""
    arrived = effects(sink)
    tools = dict(Call.objects.filter(run=run, kind="tool").values_list("path", "name"))
    assert arrived.keys() == {path for path, count in world.done.items() if count}
    for path, keys in arrived.items():
        assert len(set(keys)) == 1, f"{path} took effect under several keys: {keys}"
        assert len(keys) == 1 or tools[path] != UNKEYED, f"{path} took effect twice: {keys}"
    return {path: len(set(keys)) for path, keys in arrived.items()}


def paid_for(run: Run) -> int:
    """Return what the answers of models cost, each counted once: none that was lost."""
    settled = LedgerEntry.objects.filter(run=run, kind="settled")
    calls = list(settled.values_list("call", flat=True))
    assert len(calls) == len(set(calls)), "a call was paid for twice"
    return sum(amount or 0 for amount in settled.values_list("amount_micros", flat=True))


def end(run: Run, sink: Outside, world: World) -> Any:
    """Check a run that has ended, and return all of it that does not depend on where its owner died."""
    assert_sound(run, world)
    reached = assert_effects(run, sink, world)
    assert not StepLock.objects.filter(run=run).exclude(run__state__in=ENDED).exists()
    if Step.objects.filter(run=run, kind="each").exists():  # which items were under way when it gave up is a race
        return end_of(run, races=False)
    notes = sorted(BoardEntry.objects.filter(run=run).values_list("key", "version"))
    return end_of(run, races=False), reached, paid_for(run), notes


@pytest.mark.parametrize("seed", SEEDS)
def test_any_commit_of_a_mixed_run_may_be_the_last_of_its_owner(stand: Stand, sink: Outside, seed: int) -> None:
    graph = mixed_graph(seed)
    steady, host = stand.play(graph, seed)
    expected = end(steady, sink, stand.world)
    died = 0
    for number in range(host.commits):
        for after in (False, True):
            run, shaken = stand.play(graph, seed, Death(number, after, of_the_run=True))
            assert end(run, sink, stand.world) == expected, (seed, number, after)
            died += shaken.died
    assert died >= 2 * host.commits - 2, "nearly every commit was the last of an owner"


@pytest.mark.parametrize("seed", SEEDS)
def test_owners_that_die_one_after_the_other_leave_a_mixed_run_as_it_is(stand: Stand, sink: Outside, seed: int) -> None:
    graph, dice = mixed_graph(seed), random.Random(seed)
    steady, _ = stand.play(graph, seed)
    expected = end(steady, sink, stand.world)
    for _ in range(3):
        deaths = [Death(dice.randrange(6), dice.random() < 0.5) for _ in range(4)]
        run, _ = stand.play(graph, seed, *deaths)
        assert end(run, sink, stand.world) == expected, (seed, deaths)


def test_these_graphs_have_every_kind_and_every_tool() -> None:
    graphs = [mixed_graph(seed) for seed in CHOSEN]
    drawn = sum(map(kinds_of, graphs), Counter())
    assert {*KINDS, "human"} <= drawn.keys()
    text = json.dumps(graphs)
    assert all(tool in text for tool in TOOLS)
    assert '"lock"' in text
    assert '"budget"' in text
