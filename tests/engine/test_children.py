"""Runs that steps start: Sub-pipelines, pipelines of agents and fallbacks, their money, their end with their parent."""

from typing import Any

import pytest

from pipelines.graph.model import Budget, Document
from runs.engine import allotting
from runs.engine.facts import (
    Answered,
    CancelRequested,
    ChildEnded,
    PauseRequested,
    PipelineWanted,
    ResumeRequested,
    StopRequested,
)
from runs.engine.origin import Ancestor, Origin, child_id
from runs.engine.status import RunState
from runs.engine.values import LARGEST_VALUE
from tests.engine.building import a_document, a_graph
from tests.engine.kin import PRICE, Family
from tests.engine.playing import Fails

FORM = {
    "type": "object",
    "required": ["topic"],
    "additionalProperties": False,
    "properties": {"topic": {"type": "string"}, "depth": {"type": "number", "default": 2}},
}


def a_child(slug: str = "child", drawing: str = "start >> dig >> result", **fields: Any) -> Document:
    nodes = {"result": {"value": "${steps.dig.output}"}, **fields.pop("nodes", {})}
    return a_document(a_graph(drawing, **nodes), **{"id": slug, "inputs": FORM, **fields})


def calling(slug: str = "child", **fields: Any) -> dict[str, Any]:
    return {"kind": "pipeline", "pipeline": slug, "inputs": {"topic": "bees"}, **fields}


def a_parent(drawing: str = "start >> call >> result", **nodes: Any) -> Document:
    fields = nodes.pop("document", {})
    given = {"call": calling(), "result": {"value": "${steps.call.output}"}, **nodes}
    return a_document(a_graph(drawing, **given), **{"id": "parent", **fields})


def test_a_child_run_carries_the_step_out() -> None:
    family = Family(a_parent(), {"child": a_child()}, {"dig": "about bees"})
    family.root.begin()
    assert family.root.run.state is RunState.WAITING
    row = family.root.row("call")
    assert (row["state"], row["wait_reason"], row["attempt"]) == ("waiting", "children", 1)
    family.play()
    (child,) = family.children()
    assert child.input == {"topic": "bees", "depth": 2}, "its form's defaults are filled in"
    assert child.origin.run == child_id("root", "call", 1)
    assert family.root.run.output == "about bees"
    assert family.root.row("call")["meta"] == {"run": child.origin.run, "reason": None}
    assert family.root.run.state is RunState.SUCCEEDED


def test_a_failed_child_fails_its_step_with_its_error_and_path() -> None:
    family = Family(a_parent(), {"child": a_child()}, {"dig": Fails("tool_error", "broken")}).play()
    error = family.root.row("call")["error"]
    assert error == {"class": "tool_error", "code": "child_failed", "message": "call/dig: It is broken."}
    assert family.root.run.state is RunState.FAILED
    assert len(family.children()) == 1


def test_what_a_child_tried_is_not_tried_again_by_its_parent() -> None:
    dig = {"on_error": {"retry": {"max_attempts": 1}}}
    child = a_child(nodes={"dig": dig})
    contained = a_parent(call=calling(on_error={"then": "skip"}))
    family = Family(contained, {"child": child}, {"dig": Fails("transient")}).play()
    assert len(family.children()) == 1
    assert family.root.row("call")["state"] == "failed"
    assert "contained" in family.root.row("call")["flags"]


def test_another_pipeline_stands_in_for_one_that_failed() -> None:
    parent = a_parent(call=calling(on_error={"fallback": [{"pipeline": "spare"}]}))
    family = Family(
        parent,
        {
            "child": a_child(),
            "spare": a_child("spare", "start >> look >> result", nodes={"result": {"value": "spare"}}),
        },
        {"dig": Fails()},
    ).play()
    assert [one.document.id for one in family.children()] == ["child", "spare"]
    assert family.root.run.output == "spare"
    assert family.root.row("call")["flags"] == ["degraded"]


def test_a_pipeline_stands_in_for_an_agent_and_gets_its_prompt() -> None:
    spare = a_document(
        a_graph(
            "start >> look >> result", look={"prompt": "${input.prompt}"}, result={"value": "${steps.look.output}"}
        ),
        id="spare",
        inputs={"type": "object", "required": ["prompt"], "properties": {"prompt": {"type": "string"}}},
    )
    write = {"prompt": "Write about bees.", "on_error": {"fallback": [{"pipeline": "spare"}]}}
    parent = a_document(a_graph("start >> write >> result", write=write, result={"value": "${steps.write.output}"}))
    family = Family(parent, {"spare": spare}, {"write": Fails("refused"), "look": lambda start: start.input}).play()
    assert family.root.run.output == {"prompt": "Write about bees."}


def test_input_that_does_not_fit_fails_the_step_before_anything_starts() -> None:
    for inputs, said in (({}, "topic"), ({"topic": 3}, "/topic"), ({"topic": "x", "more": 1}, "more")):
        family = Family(a_parent(call=calling(inputs=inputs)), {"child": a_child()}).play()
        error = family.root.row("call")["error"]
        assert (error["class"], error["code"]) == ("config", "invalid_input")
        assert said in error["message"]
        assert not family.children()


@pytest.mark.parametrize(("size", "code"), [(LARGEST_VALUE // 2, None), (LARGEST_VALUE, "input_too_large")])
def test_a_child_is_given_what_a_step_may_come_to_and_no_more(size: int, code: str | None) -> None:
    text = "x" * size
    call = calling(inputs={"topic": "${input.text}"})
    family = Family(a_parent(call=call), {"child": a_child()}, input={"text": text}).play()
    if code is None:
        (child,) = family.children()
        assert child.input["topic"] == text
        return
    error = family.root.row("call")["error"]
    assert (error["class"], error["code"]) == ("limit", code)
    assert error["message"].endswith(f"has {size + 22:,} bytes; 20,971,520 is the most.")
    assert not family.children()


def test_the_same_pipeline_with_the_same_input_is_refused_below_itself() -> None:
    again = a_child("ping", "start >> call >> result", nodes={"call": calling("pong"), "result": {"value": 1}})
    back = a_child("pong", "start >> call >> result", nodes={"call": calling("ping"), "result": {"value": 1}})
    parent = a_parent(call=calling("ping"))
    family = Family(parent, {"ping": again, "pong": back}).play()
    assert [one.document.id for one in family.children()] == ["ping", "pong"], "mutual recursion ends where it closes"
    error = family.children()[1].row("call")["error"]
    assert (error["class"], error["code"]) == ("limit", "recursion")
    assert "same input" in error["message"]
    assert family.root.row("call")["error"]["message"].startswith("call/call: ")


def test_runs_go_five_deep_and_no_deeper() -> None:
    inputs = {"topic": "${input.topic}."}
    nodes = {"call": calling("deep", inputs=inputs), "result": {"value": 1}}
    deep = a_child("deep", "start >> call >> result", nodes=nodes)
    family = Family(a_parent(call=calling("deep")), {"deep": deep}).play()
    assert len(family.children()) == 5
    error = family.children()[-1].row("call")["error"]
    assert (error["class"], error["code"]) == ("limit", "too_deep")
    shallow = a_parent(call=calling("deep"), document={"limits": {"max_depth": 2}})
    assert len(Family(shallow, {"deep": deep}).play().children()) == 2, "the parent's limit binds its children too"


def test_a_detached_child_goes_its_own_way() -> None:
    parent = a_parent(call=calling(detached=True), result={"value": "${steps.call.meta.run}"})
    family = Family(parent, {"child": a_child()})
    family.root.begin()
    assert family.root.run.state is RunState.SUCCEEDED
    assert family.root.run.output == child_id("root", "call", 1)
    family.play()
    assert family.children()[0].run.state is RunState.SUCCEEDED


def test_cancel_pause_and_resume_reach_the_children_that_are_waited_for() -> None:
    nodes = {"call": calling(), "free": calling(detached=True)}
    parent = a_document(a_graph("start >> call, free >> join >> result", **nodes), id="parent")
    family = Family(parent, {"child": a_child()})
    family.root.begin()
    family.mail.clear()
    waited = child_id("root", "call", 1)
    for fact in (PauseRequested("bob"), ResumeRequested("bob"), CancelRequested("bob")):
        family.root.tell(fact)
        assert [run for run, _ in family.mail] == [waited], fact
        family.mail.clear()
    assert family.root.run.state is RunState.CANCELLED


@pytest.mark.parametrize("how", ["lost_race", "stop_run"])
def test_a_child_whose_step_ended_is_told_to_stop(how: str) -> None:
    join = {"wait_for": "first"} if how == "lost_race" else {}
    write = {"on_error": {"then": "stop_run"}}
    drawing = "start >> call, write >> join >> result"
    parent = a_parent(drawing, join=join, write=write, result={"value": "done"})
    script = {"write": Fails("refused")} if how == "stop_run" else {}
    family = Family(parent, {"child": a_child()}, script)
    family.root.begin()
    family.mail.clear()
    family.root.finish("write")
    assert [(run, type(fact)) for run, fact in family.mail] == [(child_id("root", "call", 1), CancelRequested)]


def test_a_late_or_doubled_end_changes_nothing_but_the_money() -> None:
    parent = a_parent("start >> call, write >> join >> result", join={"wait_for": "first"}, result={"value": "done"})
    family = Family(parent, {"child": a_child()}, budget=Budget(max_cost_micros=1_000))
    family.root.begin()
    held = family.root.run.spend.held_cost
    assert held > 0
    nothing = {"cost": 0, "paid": 0, "tokens": 0, "calls": 0, "machine_ms": 0}
    unknown = ChildEnded("call", 7, "succeeded", output="forged", spent=nothing)
    late = ChildEnded("call", 1, "cancelled", spent={**nothing, "cost": 40, "paid": 30})
    family.root.tell(unknown)
    assert family.root.row("call")["state"] == "waiting"
    parent_state = family.root.run.state
    assert parent_state is RunState.RUNNING
    family.root.tell(late)
    family.root.tell(late)
    assert (family.root.run.spend.held_cost, family.root.run.spend.child_cost) == (0, 40)


def test_whose_words_a_child_was_given_is_known_in_it() -> None:
    call = calling(inputs={"topic": "${steps.write.output}"})
    child = a_child(nodes={"dig": {"prompt": "About ${input.topic}, ${input.depth}"}})
    family = Family(a_parent("start >> write >> call >> result", call=call), {"child": child}).play()
    (one,) = family.children()
    assert one.started[0].trust == {"/prompt": "model"}
    assert one.origin.labels == {"input.topic": "model"}
    by_author = Family(a_parent(), {"child": child}).play()
    assert by_author.children()[0].started[0].trust == {"/prompt": "user"}


def test_an_agent_starts_a_pipeline_and_goes_on_with_what_it_came_to() -> None:
    def write(start: Any) -> Any:
        if "c1" not in start.answers:
            return PipelineWanted(start.path, start.attempt, "child", {"topic": "bees"}, "c1")
        return start.answers["c1"]

    parent = a_document(a_graph("start >> write >> result", result={"value": "${steps.write.output}"}), id="parent")
    family = Family(parent, {"child": a_child()}, {"write": write, "dig": "about bees"}).play(crash_every=4)
    assert family.root.run.output == {"output": "about bees"}
    assert family.root.row("write")["attempt"] == 1, "it goes on in the same attempt"
    assert len(family.children()) == 1
    assert family.children()[0].origin.labels == {"input.topic": "model"}


def test_an_agent_is_told_why_its_pipeline_did_not_start() -> None:
    def write(start: Any) -> Any:
        wanted = PipelineWanted(start.path, start.attempt, "child", {"nonsense": 1}, "c1")
        return start.answers.get("c1") or wanted

    parent = a_document(a_graph("start >> write >> result", result={"value": "${steps.write.output}"}), id="parent")
    family = Family(parent, {"child": a_child()}, {"write": write}).play()
    assert "does not take" in family.root.run.output["error"]
    assert not family.children()


def test_the_ancestors_of_a_child_begin_with_the_run_that_a_person_started() -> None:
    family = Family(a_parent(), {"child": a_child()}, input={"a": 1}).play()
    origin = family.children()[0].origin
    assert [one.pipeline for one in origin.ancestors] == ["parent"]
    assert Origin.from_json("x", origin.as_json()) == Origin("x", origin.ancestors, 5, origin.labels, "")
    assert isinstance(origin.ancestors[0], Ancestor)


# money


def many(count: int, **child: Any) -> tuple[Document, dict[str, Document]]:
    """Return a parent of so many children beside an agent of its own, all of whose failures are contained."""
    names = [f"c{n}" for n in range(count)]
    nodes = {name: calling(inputs={"topic": name}, on_error={"then": "skip"}) for name in names}
    drawing = f"start >> {', '.join(names)}, own >> join >> result"
    own = {"on_error": {"then": "skip"}}
    parent = a_document(a_graph(drawing, own=own, result={"value": "done"}, **nodes), id="parent")
    chain = "start >> dig >> deeper >> result"
    return parent, {"child": a_child("child", chain, **child)}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("capped", [True, False])
def test_a_run_and_its_children_together_never_pass_the_cap(seed: int, capped: bool) -> None:
    own = {"budget": {"max_cost_usd": "0.0003"}} if capped else {}
    parent, documents = many(16, **own)
    cap = 11 * PRICE
    family = Family(parent, documents, budget=Budget(max_cost_micros=cap)).play(seed, crash_every=5 if seed % 2 else 0)
    assert family.paid <= cap
    spend = family.root.run.spend
    assert spend.committed <= cap
    assert family.root.run.state in (RunState.SUCCEEDED, RunState.FAILED)
    if family.root.run.state is RunState.SUCCEEDED:
        assert (spend.held_cost, spend.reserved) == (0, 0)
    if family.root.run.state is RunState.SUCCEEDED and not seed % 2:
        assert spend.committed == family.paid, "what was spent below is known above, to the micro-dollar"


def test_children_without_a_cap_run_side_by_side_and_ask_for_more() -> None:
    parent, documents = many(3)
    family = Family(parent, documents, budget=Budget(max_cost_micros=20 * PRICE))
    family.root.begin()
    assert [one.budget.max_cost_micros for one in family.children()] == [100, 95, 90], "a part of what is left"
    family.play(3)
    assert {family.root.state(name) for name in ("c0", "c1", "c2")} == {"succeeded"}
    assert family.paid == 7 * PRICE
    assert family.root.run.spend.held_cost == 0


def test_a_child_with_a_cap_of_its_own_has_all_of_it_and_the_others_wait() -> None:
    parent, documents = many(3, budget={"max_cost_usd": "0.0015"})
    family = Family(parent, documents, budget=Budget(max_cost_micros=20 * PRICE))
    family.root.begin()
    assert [one.budget.max_cost_micros for one in family.children()] == [1_500]
    assert sorted(family.root.run.waiting) == ["c0", "c1", "c2"]
    family.play(3)
    assert [one.budget.max_cost_micros for one in family.children()] == [1_500, 1_500, 1_500]
    assert {family.root.state(name) for name in ("c0", "c1", "c2")} == {"succeeded"}


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("cap", [3, 8, 40])
def test_grandchildren_are_given_more_through_their_parents(seed: int, cap: int) -> None:
    low = a_child("low", "start >> dig >> deeper >> result")
    calls = {name: calling("low", inputs={"topic": name}) for name in ("one", "two")}
    middle = a_child("middle", "start >> one, two >> join >> result", nodes={**calls, "result": {"value": "1"}})
    nodes = {name: calling("middle", inputs={"topic": name}, on_error={"then": "skip"}) for name in ("x", "y")}
    parent = a_document(a_graph("start >> x, y >> join >> result", **nodes), id="parent")
    documents = {"low": low, "middle": middle}
    family = Family(parent, documents, budget=Budget(max_cost_micros=cap * PRICE)).play(seed, 6 if seed % 2 else 0)
    assert family.paid <= cap * PRICE
    assert all(one.run.state.is_terminal for one in family.members.values())
    if cap == 40:
        assert (family.root.run.state, family.paid >= 8 * PRICE) == (RunState.SUCCEEDED, True)


def test_a_call_that_a_childs_money_kept_back_is_made_although_the_child_ended_before_it_said_so() -> None:
    """The worker refuses the call; when the run hears of it, the child has ended and nothing is kept any more."""
    nodes = {"solo": {"prompt": "Alone."}, "call": calling(budget={"max_cost_usd": "0.00015"})}
    parent = a_parent("start >> call, solo >> join >> result", result={"value": "1"}, **nodes)
    child = a_child(budget={"max_cost_usd": "0.00015"})
    family = Family(parent, {"child": child}, budget=Budget(max_cost_micros=2 * PRICE))
    family.root.begin()
    assert family.refused, "the child has its money, and too little is left"
    while family.children()[0].run.state is not RunState.SUCCEEDED or family.mail:
        if family.mail:
            family.deliver()
        else:
            family.children()[0].finish("dig")
    assert family.root.state("call") == "succeeded"
    family.root.finish("solo")
    family.play()
    assert (family.root.state("solo"), family.root.run.state) == ("succeeded", RunState.SUCCEEDED)
    assert family.paid == 2 * PRICE


def three_at_once() -> Family:
    """Return a run whose child has room for one of its three calls, so that two of its steps wait for more."""
    low = a_child("child", "start >> one, two, three >> join >> result", nodes={"result": {"value": "1"}})
    family = Family(a_parent(), {"child": low}, budget=Budget(max_cost_micros=20 * PRICE))
    family.root.begin()
    family.deliver()
    (child,) = family.children()
    for path in ("two", "three"):
        child.finish(path)
    assert {child.row(path)["wait_reason"] for path in ("two", "three")} == {"parent"}
    return family


@pytest.mark.parametrize("crash", [False, True])
def test_the_next_step_has_the_answer_of_one_that_asked_above_and_was_stopped(*, crash: bool) -> None:
    family = three_at_once()
    (child,) = family.children()
    child.tell(StopRequested("two", "carol@example.com", "Not this one."))
    if crash:
        child.crash()
    family.play()
    assert (child.run.state, family.root.run.state) == (RunState.SUCCEEDED, RunState.SUCCEEDED)
    assert (child.state("two"), child.state("three")) == ("cancelled", "succeeded")
    assert family.root.run.spend.held_cost == 0


def test_an_answer_from_above_counts_once_whoever_has_it() -> None:
    family = three_at_once()
    (child,) = family.children()
    child.tell(StopRequested("two"))
    while not any(isinstance(fact, Answered) for _, fact in family.mail):
        family.deliver()
    (answer,) = [fact for _, fact in family.mail if isinstance(fact, Answered)]
    child.tell(answer)
    most = child.run.caps[""].max_cost_micros
    assert most == 2 * PRICE
    child.tell(answer)
    assert child.run.caps[""].max_cost_micros == most


def test_a_cap_on_the_step_binds_its_children() -> None:
    parent = a_parent(call=calling(budget={"max_cost_usd": "0.00015"}))
    family = Family(parent, {"child": a_child("child", "start >> dig >> deeper >> result")}).play()
    assert family.paid == PRICE
    error = family.root.row("call")["error"]
    assert (error["class"], error["code"]) == ("budget", "child_failed")


def test_nobody_may_allow_a_child_more_than_its_parent_keeps_for_it() -> None:
    asking = {"budget": {"max_cost_usd": "1", "on_exceed": "ask_human"}}
    capped = Family(a_parent(), {"child": a_child(**asking)}, budget=Budget(max_cost_micros=5_000)).play()
    free = Family(a_parent(), {"child": a_child(**asking)}).play()
    assert capped.children()[0].budget.on_exceed == "stop"
    assert free.children()[0].budget.on_exceed == "ask_human"


def test_a_manager_is_asked_when_nothing_is_left_for_a_child() -> None:
    parent = a_parent("start >> write >> call >> result")
    family = Family(parent, {"child": a_child()}, budget=Budget(max_cost_micros=PRICE, on_exceed="ask_human")).play()
    (question,) = family.root.asked()
    assert question["kind"] == "budget"
    family.root.answer("approve", {"add_usd": "0.001"})
    family.play()
    assert family.root.run.state is RunState.SUCCEEDED
    assert len(family.children()) == 1


def test_what_a_person_allows_a_run_its_children_that_wait_for_more_have_at_once() -> None:
    """One child asks for more, and the other would have to end first: it has not even begun."""
    parent, documents = many(2)
    family = Family(parent, documents, budget=Budget(max_cost_micros=60, on_exceed="ask_human"))
    family.root.begin()
    family.root.finish("own")
    first, second = family.children()
    family.deliver()
    first.finish("dig")
    started = family.mail.pop(0)
    family.deliver()
    assert (first.state("dig"), family.mail) == ("waiting", [])
    family.root.answer("approve", {"add_usd": "0.001"})
    family.deliver()
    assert (first.state("dig"), second.run.state) == ("running", RunState.QUEUED)
    family.mail.append(started)
    family.play()
    assert family.root.run.state is RunState.SUCCEEDED
    assert {one.run.state for one in family.children()} == {RunState.SUCCEEDED}
    assert family.paid == 5 * PRICE


def test_calls_and_tokens_are_kept_for_children_too() -> None:
    parent, documents = many(4)
    family = Family(parent, documents, budget=Budget(max_llm_calls=5)).play(1)
    assert family.paid == 5 * PRICE
    assert family.root.run.spend.all_calls == 5
    tight = Family(a_parent(), {"child": a_child()}, budget=Budget(max_tokens=500)).play()
    assert tight.children()[0].budget.max_tokens == 25
    assert tight.root.run.spend.child_tokens == 2


def test_an_ended_detached_child_counts_for_a_parent_that_still_runs() -> None:
    parent = a_parent("start >> call >> write >> result", call=calling(detached=True), result={"value": "x"})
    family = Family(parent, {"child": a_child()}, budget=Budget(max_cost_micros=10 * PRICE))
    family.root.begin()
    assert family.root.run.spend.held_cost == 5 * PRICE, "half of what is left: it may have nobody to ask"
    family.deliver()
    family.children()[0].finish("dig")
    family.deliver()
    assert (family.root.run.spend.held_cost, family.root.run.spend.child_cost) == (0, PRICE)
    family.play()
    assert allotting.used_by(family.root.run.spend)["paid"] == family.paid == 2 * PRICE


# crashes


@pytest.mark.parametrize("seed", range(20))
def test_crashes_of_parent_and_children_change_nothing(seed: int) -> None:
    nodes = {
        "one": calling(inputs={"topic": "one"}),
        "two": calling("bad", inputs={"topic": "two"}, on_error={"then": "skip"}),
        "all": {
            "kind": "each",
            "over": ["x", "y", "z"],
            "graph": a_graph("sub", sub=calling(inputs={"topic": "${item}"})),
        },
    }
    drawing = "start >> one, two, all >> join >> result"
    parent = a_document(a_graph(drawing, result={"value": "${steps.join.output}"}, **nodes), id="parent")
    documents = {"child": a_child(), "bad": a_child("bad", "start >> fall >> result", nodes={"result": {"value": 1}})}
    script = {"fall": Fails("refused"), "dig": lambda start: start.path}
    calm = Family(parent, documents, script).play(seed)
    rough = Family(parent, documents, script).play(seed + 1, crash_every=4)
    assert rough.root.states() == calm.root.states()
    assert rough.root.run.output == calm.root.run.output
    assert len(rough.children()) == len(calm.children()) == 5, "no crash starts a child twice"


def test_a_child_asks_for_more_of_what_it_shares_and_keeps_to_its_own_cap() -> None:
    drawing = "start >> dig >> more >> most >> result"
    child = a_child(drawing=drawing, budget={"max_cost_usd": "0.000200"})
    caps = Budget(max_cost_micros=100 * PRICE, max_tokens=1_000)
    family = Family(a_parent(), {"child": child}, budget=caps).play()
    (below,) = family.children()
    assert below.origin.grows == ("tokens",), "of the parent's money it may have all that its own cap allows"
    assert (below.run.error["code"], family.paid) == ("run_cap", 2 * PRICE)
    assert Origin.from_json("x", {"grows": True}).grows == ("cost", "tokens", "calls"), "as older rows have it"
