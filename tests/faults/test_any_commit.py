"""A run whose owner dies before or after any of its commits comes to the end it would have come to, on real rows."""

import os
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.test_properties import a_random_graph
from tests.faults.carried import ACTIONS, TOOLS, Stand, assert_sound, end_of
from tests.faults.mortal import Death

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults, pytest.mark.timeout(300)]

EXAMPLES = int(os.environ.get("BATON_EXAMPLES", "10"))


def acting_graph(seed: int, *, races: bool) -> dict[str, Any]:
    """Return a random graph in which some agents are actions instead, and retries do not wait."""
    rng = random.Random(seed)
    return _with_actions(a_random_graph(rng, races=races, stops=seed % 3 == 0), rng)


def _with_actions(graph: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    for name, node in graph["nodes"].items():
        if "on_error" in node:
            node["on_error"]["retry"]["first_delay"] = "PT0S"
        if "graph" in node:
            _with_actions(node["graph"], rng)
        if node["kind"] == "agent" and rng.random() < 0.35:
            tool = rng.choice(TOOLS)
            del node["agent"], node["prompt"]
            graph["nodes"][name] = {**node, "kind": "tool", "tool": tool, "args": ACTIONS[tool]}
    return graph


deaths = st.lists(st.builds(Death, st.integers(0, 6), st.booleans()), min_size=1, max_size=4)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 100_000), deaths=deaths)
def test_a_run_ends_as_it_would_have_wherever_its_owner_dies(stand: Stand, seed: int, deaths: list[Death]) -> None:
    graph = acting_graph(seed, races=False)
    steady, _ = stand.play(graph, seed)
    assert_sound(steady, stand.world)
    shaken, _ = stand.play(graph, seed, *deaths)
    assert_sound(shaken, stand.world)
    stops = seed % 3 == 0
    assert end_of(shaken, races=stops) == end_of(steady, races=stops)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 100_000), deaths=deaths)
def test_with_races_too_a_run_ends_wherever_its_owner_dies(stand: Stand, seed: int, deaths: list[Death]) -> None:
    run, _ = stand.play(acting_graph(seed, races=True), seed, *deaths)
    assert_sound(run, stand.world)


MIXED = {
    "nodes": {
        "start": {"kind": "input"},
        "list": {"kind": "transform", "set": {"of": "[1, 2]"}},
        "all": {
            "kind": "each",
            "over": "${steps.list.output.of}",
            "graph": {"nodes": {"dig": {"kind": "agent", "agent": "writer@1", "prompt": "Dig ${item}."}}, "edges": []},
            "result": "${steps.dig.output}",
        },
        "again": {
            "kind": "repeat",
            "until": "round.n >= 2",
            "graph": {"nodes": {"note": {"kind": "tool", "tool": "crm.log@1", "args": {"note": "n"}}}, "edges": []},
            "result": "${steps.note.output}",
        },
        "send": {"kind": "tool", "tool": "email.send@1", "args": {"to": "bo@example.com"}},
        "talk": {"kind": "team", "task": "Agree.", "members": ["writer@1", "careful@1"], "stop": {"max_turns": 3}},
        "join": {"kind": "combine", "merge": "object"},
        "end": {"kind": "output", "value": "${steps.join.output}"},
    },
    "edges": [
        {"from": source, "to": target}
        for source, target in (
            *(("start", "list"), ("list", "all"), ("list", "again"), ("list", "send"), ("list", "talk")),
            *(("all", "join"), ("again", "join"), ("send", "join"), ("talk", "join"), ("join", "end")),
        )
    ],
}


def test_every_single_commit_may_be_the_last_of_its_owner(stand: Stand) -> None:
    steady, host = stand.play(MIXED, None)
    assert steady.state == "succeeded", steady.error
    assert stand.world.done["send"] == 1
    for number in range(host.commits):
        for after in (False, True):
            run, shaken = stand.play(MIXED, None, Death(number, after, of_the_run=True))
            assert shaken.died <= 1
            assert_sound(run, stand.world)
            assert end_of(run, races=False) == end_of(steady, races=False), (number, after)
            assert stand.world.done["send"] == 1, (number, after)
