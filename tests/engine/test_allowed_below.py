"""What a manager is asked, once, when the run below a step needs more than is left of a cap above it."""

import random
from typing import Any

import pytest

from pipelines.graph.model import Budget, Document
from pipelines.graph.money import micros
from runs.engine.budget import RUN
from runs.engine.facts import CancelRequested, StopRequested
from runs.engine.origin import Origin
from runs.engine.status import RunState
from tests.engine.building import a_document, a_graph
from tests.engine.kin import PRICE, Family
from tests.engine.test_children import a_child, a_parent, calling, many

ASKS = "ask_human"


def asking(cap: int) -> Budget:
    return Budget(max_cost_micros=cap, on_exceed=ASKS)


def one_child(cap: int = PRICE, **call: Any) -> Family:
    """Return a run at whose cap its one child waits: two calls of it cost more."""
    child = a_child("child", "start >> dig >> deeper >> result")
    return Family(a_parent(call=calling(**call)), {"child": child}, budget=asking(cap)).play()


def answered(family: Family, decision: str, payload: Any = None) -> Family:
    family.root.answer(decision, payload)
    return family.play()


def test_a_manager_is_asked_for_a_child_that_needs_more_than_its_parent_has() -> None:
    family = one_child()
    (question,) = family.root.asked()
    assert (question["kind"], question["roles"], question["payload"]) == ("budget", ["manager"], {"add_usd": "0.0001"})
    assert question["title"] == "The run has reached its cap: allow $0.0001 more?"
    assert question["why"] == "The run that call started needs $0.0001 more; $0 is left of the run's cap of $0.0001."
    (child,) = family.children()
    assert (family.root.row("call")["wait_reason"], child.row("deeper")["wait_reason"]) == ("budget", "parent")
    assert (child.asked(), family.paid) == ([], PRICE)
    answered(family, "approve", {"add_usd": "0.0001"})
    assert (family.root.run.state, child.run.state, family.paid) == ("succeeded", "succeeded", 2 * PRICE)
    assert (child.run.spend.machine_ms, family.root.run.spend.held_cost) == (0, 0)


@pytest.mark.parametrize("decision", ["reject", "expire"])
@pytest.mark.parametrize("crash", [False, True])
def test_a_child_that_is_refused_ends_as_at_a_cap_of_its_own(decision: str, *, crash: bool) -> None:
    family = one_child(on_error={"then": "use_default", "default": "nothing"})
    if crash:
        family.root.crash()
    answered(family, decision)
    (child,) = family.children()
    assert (child.run.state, child.run.reason, child.run.error["code"]) == ("failed", "budget", "run_cap")
    assert (family.root.run.output, family.paid) == ("nothing", PRICE)


def test_less_than_is_needed_is_asked_about_again() -> None:
    family = answered(one_child(), "approve", {"add_usd": "0.00004"})
    (question,) = family.root.asked()
    assert question["payload"] == {"add_usd": "0.00007"}, "half the cap is more than what is still short"
    assert answered(family, "approve").root.run.state is RunState.SUCCEEDED


def test_the_cap_of_the_step_or_of_what_is_around_it_is_asked_about_by_its_own_name() -> None:
    budget = {"max_cost_usd": "0.0001", "on_exceed": ASKS}
    child = a_child("child", "start >> dig >> deeper >> result")
    each = {"kind": "each", "over": ["x"], "graph": a_graph("call", call=calling()), "budget": budget}
    around = a_document(a_graph("start >> all >> result", all=each, result={"value": "1"}), id="parent")
    for parent, cap in ((a_parent(call=calling(budget=budget)), "call"), (around, "all")):
        family = Family(parent, {"child": child}, budget=asking(50 * PRICE)).play()
        (question,) = family.root.asked()
        assert (question["show"]["cap"], question["title"][: 10 + len(cap)]) == (
            cap,
            f"The step {cap} "[: 10 + len(cap)],
        )
        assert answered(family, "approve").root.run.state is RunState.SUCCEEDED
        assert family.root.run.caps[RUN].max_cost_micros == 50 * PRICE, "the run's own cap is another"


def test_a_grandchild_is_asked_about_where_the_cap_is_and_gets_it_through_its_parent() -> None:
    low = a_child("low", "start >> dig >> deeper >> result")
    middle = a_child("middle", "start >> down >> result", nodes={"down": calling("low"), "result": {"value": "1"}})
    family = Family(a_parent(call=calling("middle")), {"low": low, "middle": middle}, budget=asking(PRICE)).play()
    between, below = family.children()
    assert [len(one.asked()) for one in (family.root, between, below)] == [1, 0, 0]
    assert answered(family, "approve").root.run.state is RunState.SUCCEEDED
    assert family.paid == 2 * PRICE


def test_a_cap_between_that_asks_nobody_takes_no_money_from_above() -> None:
    """What the run above gave would not help: the step's own cap stands in the way as well."""
    low = a_child("low", "start >> dig >> deeper >> result")
    tight = calling("low", budget={"max_cost_usd": "0.0001"}, on_error={"then": "skip"})
    middle = a_child("middle", "start >> down >> result", nodes={"down": tight, "result": {"value": "1"}})
    family = Family(a_parent(call=calling("middle")), {"low": low, "middle": middle}, budget=asking(50 * PRICE)).play()
    between, below = family.children()
    assert (below.run.error["code"], family.root.asked()) == ("run_cap", [])
    assert between.run.caps[RUN].max_cost_micros < 4 * PRICE, "it was not given more and more for nothing"


def several(count: int, cap: int) -> Family:
    parent, documents = many(count)
    return Family(parent, documents, budget=asking(cap)).play()


def test_children_that_wait_at_one_cap_are_asked_about_once() -> None:
    family = several(4, 5 * PRICE)
    (question,) = family.root.asked()
    assert question["payload"] == {"add_usd": "0.0004"}, "what all of them still need"
    answered(family, "approve")
    assert family.root.asked() == []
    assert {one.run.state for one in family.children()} == {RunState.SUCCEEDED}
    assert family.paid == 9 * PRICE


def test_what_is_refused_once_is_refused_to_all_that_waited_for_the_answer() -> None:
    family = answered(several(4, 5 * PRICE), "reject")
    assert len([one for one in family.root.events if one.type == "approval_requested"]) == 1
    assert {one.run.state for one in family.children()} == {RunState.FAILED}
    assert (family.root.run.state, family.paid) == (RunState.SUCCEEDED, 5 * PRICE)


def test_nobody_is_asked_while_another_child_may_leave_enough() -> None:
    rich = a_child("rich", "start >> dig >> result", budget={"max_cost_usd": "0.0005"})
    poor = a_child("child", "start >> dig >> deeper >> result")
    nodes = {"a": calling("rich"), "b": calling()}
    parent = a_document(a_graph("start >> a, b >> join >> result", result={"value": "1"}, **nodes), id="parent")
    family = Family(parent, {"child": poor, "rich": rich}, budget=asking(6 * PRICE))
    family.root.begin()
    first, second = family.children()
    while family.mail:
        family.deliver()
    for path in ("dig", "dig", "deeper", "deeper"):
        if path in second.open:
            second.finish(path)
        for _ in range(4):
            if family.mail:
                family.deliver()
    assert (second.row("deeper")["wait_reason"], family.root.asked()) == ("parent", [])
    first.finish("dig")
    family.play()
    assert (family.root.run.state, family.root.asked()) == (RunState.SUCCEEDED, [])


def test_a_question_goes_with_the_child_on_whose_behalf_it_was_asked() -> None:
    family = several(2, 3 * PRICE)
    (question,) = family.root.asked()
    family.root.tell(StopRequested(question["request"].partition("!")[0]))
    (other,) = family.root.asked()
    assert other["request"] != question["request"], "the other still needs more"
    family.play()
    answered(family, "approve") if family.root.asked() else family.play()
    assert (family.root.run.state, family.root.asked()) == (RunState.SUCCEEDED, [])
    assert sorted(one.run.state for one in family.children()) == ["cancelled", "succeeded"]


def test_a_child_that_a_person_stops_takes_the_question_along() -> None:
    family = one_child(on_error={"then": "skip"})
    family.children()[0].tell(CancelRequested())
    family.play()
    assert (family.root.asked(), family.root.state("call")) == ([], "failed")


def test_a_run_that_is_cancelled_asks_nobody_any_more() -> None:
    family = several(3, 4 * PRICE)
    family.root.tell(CancelRequested())
    family.play()
    assert family.root.asked() == []
    assert {one.run.state for one in family.members.values()} == {RunState.CANCELLED}


def test_where_nobody_is_asked_the_child_is_refused() -> None:
    child = a_child("child", "start >> dig >> deeper >> result")
    origin = Origin("root", unattended=True)
    parent = a_parent(call=calling(on_error={"then": "skip"}))
    family = Family(parent, {"child": child}, budget=asking(PRICE), origin=origin).play()
    assert (family.children()[0].run.error["code"], family.root.asked()) == ("run_cap", [])
    assert "approval_requested" not in family.root.types()


def test_an_item_of_a_spread_each_is_asked_about_as_any_child() -> None:
    graph = a_graph("dig >> deeper")
    each = {"kind": "each", "over": ["x", "y"], "graph": graph, "spread": True, "result": "${steps.deeper.output}"}
    parent = a_document(a_graph("start >> all >> result", all=each, result={"value": "1"}), id="parent")
    family = Family(parent, {}, budget=asking(2 * PRICE)).play()
    (question,) = family.root.asked()
    assert question["request"].startswith("all[0].run!")
    assert answered(family, "approve").root.run.state is RunState.SUCCEEDED


def a_family(rng: random.Random) -> tuple[Document, dict[str, Document], Budget]:
    low = a_child("low", "start >> dig >> deeper >> result")
    cap = {"budget": {"max_cost_usd": "0.0002", "on_exceed": rng.choice([ASKS, "stop"])}} if rng.random() < 0.5 else {}
    calls = {name: calling("low", inputs={"topic": name}, on_error={"then": "skip"}) for name in ("one", "two")}
    calls["one"] |= cap
    middle = a_child("middle", "start >> one, two >> join >> result", nodes={**calls, "result": {"value": "1"}})
    nodes = {name: calling("middle", inputs={"topic": name}, on_error={"then": "skip"}) for name in ("x", "y", "z")}
    drawing = "start >> x, y, z, own >> join >> result"
    own = {"on_error": {"then": "skip"}}
    parent = a_document(a_graph(drawing, own=own, result={"value": "1"}, **nodes), id="parent")
    return parent, {"low": low, "middle": middle}, asking(rng.randrange(1, 14) * PRICE)


@pytest.mark.parametrize("seed", range(60))
def test_nothing_is_spent_that_nobody_allowed_whoever_crashes_and_nothing_waits_for_ever(seed: int) -> None:
    rng = random.Random(seed)
    parent, documents, caps = a_family(rng)
    family = Family(parent, documents, budget=caps)
    allowed, crash = caps.max_cost_micros or 0, rng.choice((0, 4, 7))
    for turn in range(60):
        family.play(seed + turn, crash)
        asked = [(one, question) for one in family.members.values() for question in one.asked()]
        if not asked:
            break
        for one in {id(one): one for one, _ in asked}.values():
            caps_asked = [question["show"]["cap"] for question in one.asked()]
            below = [question for question in one.asked() if "that" in question["why"]]
            assert len({question["show"]["cap"] for question in below}) == len(below), caps_asked
        one, question = rng.choice(asked)
        decision = rng.choice(("approve", "approve", "reject", "expire"))
        if decision == "approve" and one is family.root:
            allowed += micros(question["payload"]["add_usd"])
        path = question["request"]
        for _ in range(rng.choice((1, 2))):  # a second copy of an answer changes nothing
            if any(still["request"] == path for still in one.asked()):
                one.answer(decision, path=path)
        assert family.paid <= allowed
    assert family.paid <= allowed
    assert all(one.run.state.is_terminal for one in family.members.values())
