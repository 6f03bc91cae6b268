"""Locks: one at a time, first come first served, kept through a crash, given back however the step ends."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.engine.facts import CancelRequested, LockGranted, PauseRequested, ResumeRequested
from runs.engine.status import RunState
from tests.engine import asking
from tests.engine.building import a_document, a_graph
from tests.engine.kin import Family
from tests.engine.meeting import Meeting, a_meeting
from tests.engine.playing import Fails, Player
from tests.engine.test_properties import FINAL, a_random_graph

LOCKED = {"lock": "printer"}


def three(script: Any = None, **more: Any) -> Meeting:
    return a_meeting("start >> a, b, c >> join >> result", script, a=LOCKED, b=LOCKED, c=LOCKED, **more)


def test_steps_with_one_lock_run_one_after_the_other_in_the_order_they_came() -> None:
    player = three()
    player.begin()
    order = []
    while player.open:
        (path,) = player.open
        waiting = [name for name in "abc" if player.states().get(name) == "waiting"]
        assert all(player.row(name)["wait_reason"] == "lock" for name in waiting)
        order.append(path)
        player.finish(path)
    assert order == ["a", "b", "c"]
    assert player.run.state == "succeeded"
    assert not any(player.lines.values())


def test_a_step_reads_what_it_needs_when_it_has_the_lock() -> None:
    """Under the lock it sees what the one before it has written."""
    inner = {
        "nodes": {"write": {"kind": "board", "op": "append", "key": "k", "value": "${board.k}", "lock": "k"}},
        "edges": [],
    }
    player = a_meeting(
        "start >> each >> result",
        each={"kind": "each", "over": [1, 2], "max_parallel": 2, "graph": inner},
        document={"board": {"k": []}},
    ).play()
    assert player.run.board.values["k"] == [[], [[]]]


def test_different_names_do_not_wait_for_each_other() -> None:
    inner = {"nodes": {"a": {"kind": "agent", "agent": "writer@1", "prompt": "x", "lock": "${item}"}}, "edges": []}
    player = a_meeting(
        "start >> each >> result", each={"kind": "each", "over": ["x", "y", "x"], "max_parallel": 3, "graph": inner}
    )
    player.begin()
    assert sorted(player.open) == ["each[0].a", "each[1].a"]
    assert player.play().run.state == "succeeded"


def test_a_lock_is_held_through_retries_and_given_back_by_a_failure() -> None:
    player = three({"a": [Fails("transient"), Fails("tool_error")]})
    player.begin()
    player.finish("a")
    assert not player.open, "the lock is a's until it has failed for good"
    player.wait(60)
    player.finish("a")
    assert player.row("a")["flags"] == ["contained"]
    assert list(player.open) == ["b"]
    assert player.play().run.state == "succeeded"


def test_a_crash_keeps_the_lock_and_the_place_in_line() -> None:
    player = three()
    player.begin()
    player.crash()
    assert list(player.open) == ["a"]
    player.finish("a")
    player.crash()
    assert list(player.open) == ["b"]
    assert player.play().run.state == "succeeded"


def test_a_cancelled_run_gives_back_what_it_holds_and_its_places() -> None:
    player = three()
    player.begin()
    player.tell(CancelRequested())
    player.finish("a") if "a" in player.open else player.tell()
    assert not any(player.lines.values()) or player.run.state == "cancelling"


def test_a_grant_in_a_pause_starts_nothing_until_it_is_over() -> None:
    player = three()
    player.begin()
    player.tell(PauseRequested())
    player.finish("a")
    assert not player.open
    assert player.state("b") == "ready"
    player.crash()
    player.tell(ResumeRequested())
    assert list(player.open) == ["b"]
    assert player.play().run.state == "succeeded"


def test_a_grant_that_nobody_asked_for_changes_nothing() -> None:
    player = three()
    player.begin()
    for request in ("a!1", "b!7", "nobody!1", "start!1"):
        assert not player.tell(LockGranted(request)).events


@pytest.mark.parametrize("lock", ["", "x" * 201, "${input.list}"])
def test_a_lock_without_a_fit_name_fails_the_step(lock: str) -> None:
    player = a_meeting("start >> a >> result", a={"lock": lock}, input={"list": []})
    player.begin()
    assert player.row("a")["error"]["code"] == "bad_lock"


def test_a_container_holds_its_lock_for_all_its_items() -> None:
    inner = {"nodes": {"a": {"kind": "agent", "agent": "writer@1", "prompt": "x"}}, "edges": []}
    player = a_meeting(
        "start >> each, b >> join >> result", each={"kind": "each", "over": [1, 2], "graph": inner, **LOCKED}, b=LOCKED
    )
    player.begin()
    assert sorted(player.open) == ["each[0].a", "each[1].a"]
    player.finish("each[0].a")
    assert player.state("b") == "waiting"
    player.finish("each[1].a")
    assert list(player.open) == ["b"]


seeds = st.integers(min_value=0, max_value=1_000_000)


class Peopled(asking.Peopled, Meeting):
    """Runs that meet, and people who answer."""


def a_locked_document(seed: int) -> Any:
    rng = random.Random(seed)
    graph = a_random_graph(rng, races=seed % 2 == 0, stops=False)
    _wait_and_lock(graph, rng)
    return a_document(graph)


def _wait_and_lock(graph: dict[str, Any], rng: random.Random) -> None:
    """Give steps locks, make some wait for a time or write to the board; never a lock under a lock."""
    for name, node in graph["nodes"].items():
        if "graph" in node:
            _wait_and_lock(node["graph"], rng)
        elif node["kind"] == "agent" and rng.random() < 0.2:
            node |= {"kind": "wait", "for": f"PT{rng.randint(0, 9)}S"}
            if rng.random() < 0.5:
                node["event"] = {"name": "any", "topic": "any"}
            for field in ("agent", "prompt"):
                del node[field]
            for edge in graph["edges"]:
                if edge["from"] == name and edge["port"] == "done":
                    edge["port"] = rng.choice(("time", "event_any")) if "event" in node else "time"
        elif node["kind"] == "agent" and rng.random() < 0.6:
            node["lock"] = rng.choice(("x", "y"))
        elif node["kind"] == "combine" and rng.random() < 0.3:
            for field in ("min_ok", "cancel_rest"):
                node.pop(field, None)
            node |= {"kind": "board", "op": "append", "key": "log", "value": 1}


@settings(max_examples=80, deadline=None)
@given(seed=seeds)
def test_in_any_graph_nobody_waits_for_ever_and_two_never_hold_one_lock(seed: int) -> None:
    player = Peopled(a_locked_document(seed), {})
    rng = random.Random(seed)

    def look(player: Player) -> None:
        locks = [
            player.row(path)["memo"]["lock"]["name"]
            for path in player.run.running
            if "lock" in player.row(path)["memo"]
        ]
        assert len(locks) == len(set(locks)), "two steps that share a lock run at once"
        if rng.random() < 0.2 and player.run.state is not RunState.QUEUED:
            player.send("any", "hello")
        if rng.random() < 0.3 and not player.run.state.is_terminal:
            player.crash(crashed=False)

    player.play(rng.choice, look)
    assert player.run.state.is_terminal, ("stuck", player.states())
    assert set(player.states().values()) <= FINAL
    assert not any(player.lines.values()), "a lock is left behind"
    assert not player.waits, "a wait is left behind"
    versions = [event.payload["version"] for event in player.events if event.type == "board_changed"]
    assert versions == list(range(1, len(versions) + 1)), "every append once"


def a_locked_parent(call: dict[str, Any], detached: bool = False) -> Family:
    """Return a run that starts another under a lock; a step of that wants the same lock."""
    child = a_document(a_graph("start >> print >> result", print=LOCKED), id="child")
    step = {"kind": "pipeline", "pipeline": "child", "inputs": {}, "detached": detached, **LOCKED, **call}
    return Family(a_document(a_graph("start >> call >> result", call=step)), {"child": child})


def test_a_run_that_somebody_waits_for_under_a_lock_waits_for_none() -> None:
    """It would wait for ever: the lock above it is given back when it has ended."""
    family = a_locked_parent({})
    family.root.begin()
    family.root.tell(LockGranted("call!1"))
    family.play()
    (child,) = family.children()
    assert child.row("print")["error"]["code"] == "nested_lock"
    assert "'printer'" in child.row("print")["error"]["message"]
    assert family.root.run.state == "failed"
    assert family.root.row("call")["error"]["code"] == "child_failed"


def test_a_run_that_nobody_waits_for_takes_its_turn_at_the_lock() -> None:
    family = a_locked_parent({}, detached=True)
    family.root.begin()
    family.root.tell(LockGranted("call!1"))
    family.play()
    (child,) = family.children()
    assert child.row("print")["wait_reason"] == "lock"
    assert family.root.run.state == "succeeded"


def test_a_lock_around_a_container_is_held_above_what_its_steps_start() -> None:
    child = a_document(a_graph("start >> print >> result", print={"lock": "other"}), id="child")
    call = {"kind": "pipeline", "pipeline": "child", "inputs": {}}
    each = {"kind": "each", "over": [1], "graph": {"nodes": {"call": call}, "edges": []}, **LOCKED}
    family = Family(a_document(a_graph("start >> all >> result", all=each)), {"child": child})
    family.root.begin()
    family.root.tell(LockGranted("all!1"))
    family.play()
    (member,) = family.children()
    assert member.row("print")["error"]["code"] == "nested_lock"
