"""Sequence, splits, choices and merges."""

from typing import Any

import pytest

from runs.engine.facts import StepSucceeded
from tests.engine.playing import Fails, Player, a_run

ORDERS = range(6)
RISKY = {"kind": "decide", "routes": [{"port": "legal", "when": "input.risky"}], "otherwise": "plain"}
BY_WISH = {
    "kind": "decide",
    "multi": True,
    "routes": [{"port": name, "when": f"'{name}' in input.wishes"} for name in ("mail", "call", "visit")],
    "otherwise": "nothing",
}
WISHES = "start >> ask; ask:mail >> mail >> all; ask:call >> call >> all; ask:visit >> visit >> all >> result"


def began_before(player: Player, earlier: str, later: str) -> bool:
    """Tell whether a step had ended well before another began."""
    log = [(event.type, event.path) for event in player.events]
    return log.index(("step_succeeded", earlier)) < log.index(("step_started", later))


def test_sequence() -> None:
    """A step begins when the one before it has ended."""
    player = a_run("start >> research >> write >> send_off >> result")
    player.begin()
    assert list(player.open) == ["research"]
    player.play()
    assert player.paths_started() == ["research", "write", "send_off"]
    assert began_before(player, "research", "write")
    assert player.run.state == "succeeded"


def test_parallel_split() -> None:
    """One branch becomes several that go on at the same time."""
    player = a_run("start >> plan >> tax, law, market >> join >> result")
    player.begin()
    assert list(player.open) == ["plan"]
    player.finish("plan")
    assert sorted(player.open) == ["law", "market", "tax"]
    player.finish("tax")
    assert sorted(player.open) == ["law", "market"], "the others go on by themselves"
    assert player.play().run.state == "succeeded"
    assert sorted(player.paths_started()) == ["law", "market", "plan", "tax"]


@pytest.mark.parametrize("order", ORDERS)
def test_synchronization(order: int) -> None:
    """Several branches become one, which goes on when all of them have ended."""
    player = a_run("start >> tax, law, market >> join >> sum_up >> result", join={"kind": "combine", "wait_for": "all"})
    player.in_any_order(order)
    assert all(began_before(player, name, "sum_up") for name in ("tax", "law", "market"))
    assert player.paths_started().count("sum_up") == 1
    assert player.row("join")["output"] == {"tax": "tax", "law": "law", "market": "market"}


@pytest.mark.parametrize(("risky", "way", "other"), [(True, "counsel", "quick"), (False, "quick", "counsel")])
def test_exclusive_choice(risky: bool, way: str, other: str) -> None:
    """Exactly one of several branches is taken."""
    drawing = "start >> route; route:legal >> counsel >> result; route:plain >> quick >> result"
    player = a_run(drawing, input={"risky": risky}, route=RISKY).play()
    assert player.paths_started() == [way]
    assert player.state(other) == "skipped"
    assert player.row("route")["output"]["chosen"] == ("legal" if risky else "plain")
    assert (player.state("result"), player.run.state) == ("succeeded", "succeeded")


@pytest.mark.parametrize("risky", [True, False])
def test_simple_merge(risky: bool) -> None:
    """Branches of which one was taken become one again, and nobody waits for the other."""
    drawing = "start >> route; route:legal >> counsel >> file; route:plain >> quick >> file >> result"
    player = a_run(drawing, input={"risky": risky}, route=RISKY).play()
    assert player.paths_started() == ["counsel" if risky else "quick", "file"]
    assert player.run.state == "succeeded"


@pytest.mark.parametrize(
    ("wishes", "taken"), [(["mail"], ["mail"]), (["visit", "mail"], ["mail", "visit"]), ([], []), (["call"], ["call"])]
)
def test_multi_choice(wishes: list[str], taken: list[str]) -> None:
    """Any number of branches is taken, each by its own condition."""
    player = a_run(WISHES, input={"wishes": wishes}, ask=BY_WISH, all={"kind": "combine"})
    player.begin()
    assert sorted(player.open) == taken
    player.play()
    others = {"mail", "call", "visit"} - set(taken)
    assert {name for name in ("mail", "call", "visit") if player.state(name) == "skipped"} == others
    assert sorted(player.paths_started()) == taken
    assert player.run.state == "succeeded"


@pytest.mark.parametrize("order", ORDERS)
def test_structured_synchronizing_merge(order: int) -> None:
    """After a multi-choice, exactly the branches that were taken are waited for."""
    player = a_run(WISHES, input={"wishes": ["mail", "visit"]}, ask=BY_WISH, all={"kind": "combine"})
    player.in_any_order(order)
    assert player.row("all")["output"] == {"mail": "mail", "visit": "visit"}
    assert player.row("all")["meta"] == {"missing": ["call"]}
    assert player.run.state == "succeeded"


@pytest.mark.parametrize("order", ORDERS)
def test_local_synchronizing_merge(order: int) -> None:
    """A merge knows from its own edges alone what may still come, however the choices before it are nested."""
    inner = {"kind": "decide", "routes": [{"port": "deep", "when": "false"}], "otherwise": "flat"}
    drawing = """start >> ask; ask:mail >> choose; choose:deep >> dig >> all; choose:flat >> skim >> all
        ask:call >> call >> all; ask:visit >> visit >> pack >> all; all >> result"""
    more = {"ask": BY_WISH, "choose": inner, "all": {"kind": "combine"}}
    player = a_run(drawing, input={"wishes": ["mail", "call"]}, **more).in_any_order(order)
    assert player.row("all")["output"] == {"skim": "skim", "call": "call"}
    assert player.types("all").count("step_succeeded") == 1
    assert {player.state(name) for name in ("dig", "visit", "pack")} == {"skipped"}
    assert player.run.state == "succeeded"


def a_race(wait_for: Any, *, cancel_rest: bool) -> Player:
    """Return three branches of two steps each that meet in an early join, after which one step follows."""
    join = {"kind": "combine", "wait_for": wait_for, "cancel_rest": cancel_rest}
    drawing = "start >> a >> a2 >> join; start >> b >> b2 >> join; start >> c >> c2 >> join >> after >> result"
    return a_run(drawing, join=join)


def test_structured_discriminator() -> None:
    """The first branch to arrive goes on; the others end without consequence."""
    player = a_race("first", cancel_rest=False)
    player.begin()
    player.finish("b")
    player.finish("b2")
    assert "after" in player.open
    player.play()
    assert player.paths_started().count("after") == 1
    assert player.state("a2") == player.state("c2") == "succeeded"
    assert player.row("join")["output"] == {"b2": "b2"}


def test_cancelling_discriminator() -> None:
    """The first branch to arrive goes on; the others are stopped."""
    player = a_race("first", cancel_rest=True)
    player.begin()
    player.finish("b")
    player.finish("b2")
    assert sorted(player.cancelled) == ["a", "c"]
    assert list(player.open) == ["after"]
    player.play()
    assert {player.state(name) for name in ("a", "a2", "c", "c2")} == {"cancelled"}
    assert player.paths_started().count("after") == 1
    assert (player.row("join")["output"], player.run.state) == ({"b2": "b2"}, "succeeded")


def test_structured_partial_join() -> None:
    """Two of three are enough; the third ends without consequence."""
    player = a_race(2, cancel_rest=False)
    player.begin()
    for path in ("c", "c2", "a", "a2"):
        assert "after" not in player.open
        player.finish(path)
    assert "after" in player.open
    player.play()
    assert player.row("join")["output"] == {"a2": "a2", "c2": "c2"}
    assert player.state("b2") == "succeeded"


def test_cancelling_partial_join() -> None:
    """Two of three are enough; the third is stopped."""
    player = a_race(2, cancel_rest=True)
    player.begin()
    for path in ("c", "c2", "a", "a2"):
        player.finish(path)
    assert list(player.open) == ["after"]
    assert player.cancelled == ["b"]
    assert player.state("b2") == "cancelled"
    player.play()
    assert player.row("join")["output"] == {"a2": "a2", "c2": "c2"}
    assert (player.paths_started().count("after"), player.run.state) == (1, "succeeded")


def test_blocking_partial_join() -> None:
    """A join that has fired takes nothing more until it is begun anew: a late branch never fires the next round's."""
    graph = {
        "nodes": {
            "a": {"kind": "agent", "agent": "writer@1", "prompt": "A."},
            "b": {"kind": "agent", "agent": "writer@1", "prompt": "B."},
            "join": {"kind": "combine", "wait_for": "first", "cancel_rest": False},
            "after": {"kind": "agent", "agent": "writer@1", "prompt": "After."},
        },
        "edges": [{"from": "a", "to": "join"}, {"from": "b", "to": "join"}, {"from": "join", "to": "after"}],
    }
    player = a_run("start >> loop >> result", loop={"kind": "repeat", "max_rounds": 2, "graph": graph})
    player.begin()
    player.finish("loop#1.a")
    player.finish("loop#1.after")
    assert list(player.open) == ["loop#1.b"], "the next round waits until the branch that was late has ended"
    player.finish("loop#1.b")
    assert sorted(player.open) == ["loop#2.a", "loop#2.b"]
    assert player.types("loop#1.join").count("step_succeeded") == 1
    player.play()
    assert player.run.state == "succeeded"
    assert [player.paths_started().count(f"loop#{n}.after") for n in (1, 2)] == [1, 1]


def test_implicit_termination() -> None:
    """A run ends when nothing is left to do, and not before."""
    player = a_run("start >> a >> result; start >> b >> note; start >> c >> c2")
    player.begin()
    player.finish("a")
    assert player.state("result") == "succeeded"
    assert player.run.state == "running"
    player.play()
    assert player.run.state == "succeeded"
    assert {player.state(name) for name in ("note", "c2")} == {"succeeded"}


def test_explicit_termination() -> None:
    """A Result that ends the run stops whatever is still under way."""
    player = a_run("start >> a >> result; start >> b >> note", result={"kind": "output", "value": 1, "ends_run": True})
    player.begin()
    player.finish("a")
    assert player.run.state == "succeeded"
    assert player.cancelled == ["b"]
    assert player.state("note") == "cancelled"
    late = player.tell(StepSucceeded("b", 1, "too late"))
    assert not late.starts
    assert (player.state("b"), player.run.output) == ("cancelled", 1)


def test_a_branch_that_fails_leaves_a_partial_join_what_it_needs() -> None:
    """Where the third fails, the two that are left are enough; where two fail and both are needed, the join says so."""
    quiet = {"on_error": {"then": "skip"}}
    join = {"kind": "combine", "wait_for": 2, "min_ok": 2}
    one = a_run("start >> a, b, c >> join >> result", {"a": Fails()}, join=join, a=quiet, b=quiet, c=quiet).play()
    assert one.row("join")["output"] == {"b": "b", "c": "c"}
    script = {"a": Fails(), "b": Fails()}
    two = a_run("start >> a, b, c >> join >> result", script, join=join, a=quiet, b=quiet, c=quiet).play()
    assert two.run.error["code"] == "not_enough_inputs"
