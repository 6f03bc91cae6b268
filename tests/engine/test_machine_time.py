"""The machine time of a run binds the runs that its steps start, and theirs (docs/engine.md)."""

from typing import Any

import pytest

from pipelines.graph.model import Budget
from runs.engine.decision import Start
from runs.engine.facts import StepSucceeded
from runs.engine.status import RunState
from tests.engine.building import a_document, a_graph
from tests.engine.kin import Family
from tests.engine.playing import Fails, a_run
from tests.engine.test_children import a_child, a_parent, calling, many


def taking(seconds: float) -> Any:
    """Return a script in which each attempt of an agent takes so long, or as long as it may."""

    def work(start: Start) -> StepSucceeded:
        took = min(seconds, start.timeout)
        return StepSucceeded(start.path, start.attempt, start.path, machine_ms=round(took * 1000))

    return dict.fromkeys(("dig", "deeper", "own"), work)


def used_ms(family: Family) -> int:
    """Return the machine time of all runs together, each attempt counted in the run that made it."""
    return sum(one.run.spend.machine_ms for one in family.members.values())


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("capped", [True, False])
def test_a_run_and_its_children_together_keep_to_its_machine_time(seed: int, capped: bool) -> None:
    """Without crashes: an attempt that a crash took is not known to have taken any time."""
    own = {"budget": {"max_seconds": 3}} if capped else {}
    parent, documents = many(16, **own)
    family = Family(parent, documents, taking(1), budget=Budget(max_seconds=20)).play(seed)
    assert 15_000 <= used_ms(family) <= 20_000, "33 seconds of work"
    spend = family.root.run.spend
    assert spend.all_ms <= 20_000
    assert all(one.run.state.is_terminal for one in family.members.values())
    if family.root.run.state is RunState.SUCCEEDED:
        assert (spend.held_ms, spend.all_ms) == (0, used_ms(family))


def test_an_attempt_in_a_child_may_take_what_its_parent_had_left_and_not_its_part_alone() -> None:
    family = Family(
        a_parent("start >> own >> call >> result"), {"child": a_child()}, taking(40), budget=Budget(max_seconds=100)
    ).play()
    (child,) = family.children()
    assert (child.budget.max_seconds, child.origin.seconds) == (3, 60)
    assert child.started[0].timeout == 60
    assert (family.root.run.state, used_ms(family)) == (RunState.SUCCEEDED, 80_000)


def test_a_child_asks_for_the_machine_time_that_it_has_used_beyond_its_part() -> None:
    chain = {"child": a_child(drawing="start >> dig >> deeper >> result")}
    family = Family(a_parent(), chain, taking(40), budget=Budget(max_seconds=100))
    family.root.begin()
    family.deliver()
    (child,) = family.children()
    assert family.root.run.spend.held_ms == 5_000
    child.finish("dig")
    assert child.row("deeper")["wait_reason"] == "parent"
    family.deliver()
    assert family.root.run.spend.held_ms == 41_000, "what it has used, and enough to go on"
    child.crash()
    family.root.crash()
    family.play()
    assert (family.root.run.state, used_ms(family)) == (RunState.SUCCEEDED, 80_000)
    assert (family.root.run.spend.held_ms, family.root.run.spend.child_ms) == (0, 80_000)


def test_a_child_ends_when_its_parent_has_no_machine_time_left_to_give() -> None:
    chain = {"child": a_child(drawing="start >> dig >> deeper >> result")}
    family = Family(a_parent(), chain, taking(10), budget=Budget(max_seconds=10)).play()
    (child,) = family.children()
    assert (child.run.state, child.run.reason, child.run.error["code"]) == (RunState.FAILED, "budget", "run_cap")
    assert family.root.row("call")["error"]["class"] == "budget"
    assert used_ms(family) == 10_000


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("seconds", [6, 40])
def test_grandchildren_get_machine_time_through_their_parents(seed: int, seconds: int) -> None:
    low = a_child("low", "start >> dig >> deeper >> result")
    calls = {name: calling("low", inputs={"topic": name}) for name in ("one", "two")}
    middle = a_child("middle", "start >> one, two >> join >> result", nodes={**calls, "result": {"value": "1"}})
    nodes = {name: calling("middle", inputs={"topic": name}, on_error={"then": "skip"}) for name in ("x", "y")}
    parent = a_document(a_graph("start >> x, y >> join >> result", **nodes), id="parent")
    caps = Budget(max_seconds=seconds)
    family = Family(parent, {"low": low, "middle": middle}, taking(2), budget=caps).play(seed)
    assert all(one.run.state.is_terminal for one in family.members.values())
    at_once = 4 * 2_000
    assert used_ms(family) < seconds * 1000 + at_once, "only what had begun may end beyond the cap"
    if seconds == 40:
        assert (family.root.run.state, used_ms(family)) == (RunState.SUCCEEDED, 16_000)


def test_a_cap_of_machine_time_on_a_step_binds_its_children() -> None:
    graph = a_graph("sub", sub=calling(inputs={"topic": "${item}"}))
    each = {"kind": "each", "over": list("abcdefgh"), "graph": graph, "budget": {"max_seconds": 5}}
    parent = a_document(a_graph("start >> each, own >> join >> result", each=each), id="parent")
    family = Family(parent, {"child": a_child()}, taking(1)).play(1)
    assert family.root.state("each") == "failed"
    assert used_ms(family) == 6_000, "five in the For each, one beside it"


@pytest.mark.parametrize("left", [("due",), ("due", "paused_ms", "machine_ms")])
def test_a_wait_for_a_circuit_that_an_older_worker_ended_is_over(left: tuple[str, ...]) -> None:
    """It took the moment away at which the wait was to be over, and left how long it was."""
    policy = {"retry": {"max_attempts": 1}}
    player = a_run("start >> a >> result", {"a": [Fails("transient", "circuit_open"), "a"]}, a={"on_error": policy})
    player.begin()
    player.finish("a")
    memo = player.row("a")["memo"]
    assert memo["circuit_ms"] == 30_000
    for name in left:
        memo.pop(name)
    player.row("a")["state"] = "ready"
    player.crash(crashed=False)
    player.play()
    assert player.run.state is RunState.SUCCEEDED
    assert player.run.spend.machine_ms == 30_000
    assert "circuit_ms" not in player.row("a")["memo"]
