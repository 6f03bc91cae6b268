"""A pipeline stands in for whatever can hand on what it was given, not for agents alone (engine.md §3, fallback)."""

from typing import Any

import pytest

from pipelines.graph.model import Document
from runs.engine.control import MAX_CRASHES
from runs.engine.decision import Start
from runs.engine.facts import (
    CancelRequested,
    ErrorClass,
    PipelineWanted,
    StepBlocked,
    StepError,
    StepFailed,
    StepSucceeded,
)
from runs.engine.status import RunState
from tests.engine.building import a_document, a_graph
from tests.engine.kin import Family
from tests.engine.playing import Fails

LAST = {"on_error": {"retry": {"max_attempts": 1}, "fallback": [{"pipeline": "spare"}]}}
ROUTES = {"mode": "ai", "routes": [{"port": "good"}, {"port": "bad"}], "otherwise": "bad", "agent": "writer"}
ITEM = a_graph("dig", dig={"prompt": "${item}"})


def a_spare(value: Any = "${input}", **fields: Any) -> Document:
    nodes = {"result": {"value": value}, **fields}
    return a_document(a_graph("start >> result" if not fields else "start >> look >> result", **nodes), id="spare")


def a_family(step: dict[str, Any], script: Any = None, drawing: str = "start >> a >> result", **more: Any) -> Family:
    policy = {"on_error": more.pop("on_error", LAST["on_error"])}
    nodes = {"a": {**step, **policy}, "result": {"value": "${steps.a.output}"}, **more.pop("nodes", {})}
    parent = a_document(a_graph(drawing, **nodes), id="parent")
    return Family(parent, {"spare": more.pop("spare", a_spare())}, {"a": Fails("refused"), **(script or {})}, **more)


@pytest.mark.parametrize(
    ("step", "script", "given"),
    [
        ({"kind": "tool", "tool": "shop.look@1", "args": {"item": "tea"}}, {}, {"item": "tea"}),
        ({"kind": "each", "over": ["x", "y"], "graph": ITEM}, {"dig": Fails()}, {"over": ["x", "y"]}),
        ({"kind": "each", "over": ["x"], "spread": True, "graph": ITEM}, {"dig": Fails()}, {"over": ["x"]}),
        ({"kind": "team", "task": "Win.", "members": ["ann", "ben"]}, {"speak_1": Fails()}, {"task": "Win."}),
        (
            {"kind": "supervisor", "task": "Lead.", "agent": "host", "workers": [{"agent": "ann"}]},
            {"leader": Fails()},
            {"task": "Lead."},
        ),
    ],
    ids=["action", "for each", "spread", "team", "supervisor"],
)
@pytest.mark.parametrize("crashes", [False, True])
def test_a_pipeline_is_given_what_the_step_was_given(
    step: dict[str, Any], script: Any, given: dict[str, Any], crashes: bool
) -> None:
    family = a_family(step, script)
    family.root.begin()
    if crashes:
        family.root.crash(crashed=False)
    family.play()
    assert family.root.run.output == given, family.root.run.error
    assert family.root.row("a")["flags"] == ["degraded"]
    if crashes:
        family.root.crash(crashed=False)
    assert family.root.run.state is RunState.SUCCEEDED


def test_it_merges_in_the_place_of_a_judge() -> None:
    merge = {"kind": "combine", "merge": "synthesize", "agent": "writer", "prompt": "Be brief."}
    family = a_family(merge, drawing="start >> b, c >> a >> result").play()
    assert family.root.run.output == {
        "prompt": "Be brief.",
        "candidates": [{"name": "b", "value": "b"}, {"name": "c", "value": "c"}],
    }
    (child,) = family.children()
    assert child.origin.labels["input.candidates"] == "tool"


@pytest.mark.parametrize(
    ("answer", "taken"), [("good", "yes"), ({"chosen": "good", "reason": "So."}, "yes"), ({"chosen": "bad"}, "no")]
)
def test_it_routes_in_the_place_of_a_model(answer: Any, taken: str) -> None:
    route = {"kind": "decide", **ROUTES, "value": "Hello"}
    family = a_family(
        route,
        drawing="start >> a; a:good >> yes; a:bad >> no",
        nodes={name: {"kind": "output", "value": name} for name in ("yes", "no")} | {"result": {"value": "1"}},
        spare=a_spare(answer),
    ).play()
    assert family.root.state(taken) == "succeeded"
    (child,) = family.children()
    assert child.input == {"value": "Hello"}


def test_a_port_that_is_not_there_fails_the_route() -> None:
    family = a_family(
        {"kind": "decide", **ROUTES, "value": "Hello"},
        drawing="start >> a; a:good >> yes; a:bad >> no",
        nodes={name: {"kind": "output", "value": name} for name in ("yes", "no")} | {"result": {"value": "1"}},
        spare=a_spare("nowhere"),
    ).play()
    assert family.root.row("a")["error"]["code"] == "unknown_route"
    assert len(family.children()) == 1


@pytest.mark.parametrize("low", [False, True])
def test_a_pipeline_whose_output_does_not_do_is_not_run_again(low: bool) -> None:
    rubric = {"rule": "ai_rubric", "rubric": "Is it kind?", "model": "demo/writer", "min_score": 0.7}
    merge = {"kind": "combine", "merge": "synthesize", "agent": "writer"}
    more: dict[str, Any] = {"checks": [rubric]} if low else {"output_schema": {"type": "string"}}

    def by_turns(start: Any) -> Any:
        verdict = {"score": 0.1, "reason": "So.", "finding": "It is unkind."}
        done = StepSucceeded(start.path, start.attempt, {"verdicts": [verdict]})
        return done if start.judging else Fails("refused")

    drawing = "start >> b, c >> a >> result"
    family = a_family({**merge, **more}, {"a": by_turns}, drawing).play()
    assert family.root.row("a")["error"]["code"] == ("judged_too_low" if low else "invalid_output")
    assert len(family.children()) == 1


def test_what_stands_in_is_no_tried_step_and_its_failure_is_the_steps() -> None:
    failing = a_spare("1", look={"on_error": {"retry": {"max_attempts": 1}}})
    each = {"kind": "each", "over": ["x", "y"], "graph": ITEM}
    family = a_family(each, {"dig": Fails(), "look": Fails("transient")}, spare=failing).play()
    assert len(family.children()) == 1
    assert family.root.row("a")["error"]["code"] == "child_failed"


ORDER = {"kind": "tool", "tool": "shop.order@1", "args": {"item": "tea"}}
LOOK = {"kind": "tool", "tool": "shop.look@1", "args": {"item": "tea"}}
LOST = Fails("transient", "connection_lost", lost=True)


@pytest.mark.parametrize(
    ("step", "said", "children"),
    [
        (ORDER, [LOST], 0),
        (ORDER, [LOST, Fails("transient")], 0),
        (ORDER, [Fails("timeout", "timeout", lost=True), Fails("transient", "circuit_open")], 0),
        ({**ORDER, "output_schema": {"type": "object"}}, ["ordered"], 0),
        (ORDER, [Fails("internal")], 0),
        (ORDER, [Fails("transient")], 1),
        (ORDER, [Fails("tool_error")], 1),
        (LOOK, [LOST], 1),
    ],
    ids=["lost", "lost, then failed", "late, then alone", "done", "broke out", "busy", "refused", "changes nothing"],
)
@pytest.mark.parametrize("crashes", [False, True])
def test_no_pipeline_stands_in_for_an_action_that_may_have_been_done(
    step: dict[str, Any], said: list[Any], children: int, crashes: bool
) -> None:
    policy = {"on_error": {"retry": {"max_attempts": 2}, "fallback": [{"pipeline": "spare"}]}}
    family = a_family(step, {"a": said}, **policy)
    family.root.begin()
    family.root.answer("approve") if family.root.asked() else None
    family.root.finish("a")
    if crashes and not family.root.run.state.is_terminal:
        family.root.crash(crashed=False)
    family.play()
    assert len(family.children()) == children
    assert (family.root.run.state == "succeeded") is bool(children)


@pytest.mark.parametrize("crashed", [False, True])
def test_no_pipeline_stands_in_for_an_action_in_which_a_worker_went(crashed: bool) -> None:
    family = a_family(ORDER, {"a": Fails("tool_error")})
    family.root.begin()
    family.root.answer("approve")
    family.root.crash(crashed=crashed)
    family.play()
    assert (family.root.run.state, family.children()) == ("failed", [])


SEND = {"kind": "tool", "tool": "email.send@1", "args": {"to": "bo@example.com"}}
ONCE = {"on_error": {"retry": {"max_attempts": 1}, "then": "skip"}}


def asked_what_happened(start: Start) -> StepBlocked:
    call = {"tool": "email.send@1", "args": {"to": "bo@example.com"}}
    return StepBlocked(start.path, start.attempt, "outcome_unknown", call, "Did this happen?", "No answer.", call="c")


@pytest.mark.parametrize("decision", ["retry", "expire"])
@pytest.mark.parametrize("crashes", [False, True])
def test_no_pipeline_stands_in_for_what_a_person_is_asked_about(decision: str, crashes: bool) -> None:
    """Somebody must say whether it happened; nothing else follows from it than the step's `then`."""
    family = a_family(SEND, {"a": [asked_what_happened, Fails("tool_error")]})
    family.root.begin()
    family.root.answer("approve")
    family.root.finish("a")
    assert family.root.row("a")["wait_reason"] == "outcome_unknown"
    if crashes:
        family.root.crash(crashed=False)
    family.root.answer(decision)
    if decision == "retry":
        family.root.answer("approve")
    family.play()
    assert (family.root.run.state, family.children()) == ("failed", [])


def an_item(step: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "each", "over": ["x"], "graph": a_graph("act", act={**step, **ONCE}), "require": "any"}


@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("crashes", [False, True])
@pytest.mark.parametrize(
    ("step", "said", "children"),
    [(ORDER, LOST, 0), (ORDER, Fails("tool_error"), 1), (LOOK, LOST, 1)],
    ids=["lost", "refused", "changes nothing"],
)
def test_no_pipeline_stands_in_for_a_whole_in_which_an_action_may_have_been_done(
    step: dict[str, Any], said: Fails, children: int, spread: bool, crashes: bool
) -> None:
    family = a_family({**an_item(step), "spread": spread}, {"act": said})
    family.root.begin()
    while family.mail:
        family.deliver()
    owner = family.children()[0] if spread else family.root
    if owner.asked():
        owner.answer("approve")
    owner.finish("act" if spread else "a[0].act")
    if crashes:
        family.root.crash(crashed=False)
    family.play()
    stood_in = [child for child in family.children() if child.document.id == "spare"]
    assert len(stood_in) == children
    assert (family.root.run.state is RunState.SUCCEEDED) is bool(children)


def test_no_pipeline_stands_in_for_a_whole_in_which_an_action_is_under_way() -> None:
    graph = a_graph("act", act={**ORDER, **ONCE})
    each = {"kind": "each", "over": ["x", "y"], "graph": graph}
    family = a_family(each, {"a[0].act": Fails()})
    family.root.begin()
    for _ in range(2):
        family.root.answer("approve")
    family.root.finish("a[0].act")
    family.play()
    assert not family.children()


@pytest.mark.parametrize(
    ("said", "stood_in"),
    [(LOST, 0), (Fails("tool_error"), 1), ("stopped", 0)],
    ids=["lost", "refused", "stopped by a person"],
)
@pytest.mark.parametrize("crashes", [False, True])
def test_no_pipeline_stands_in_for_another_in_which_an_action_may_have_been_done(
    said: Any, stood_in: int, crashes: bool
) -> None:
    other = a_document(a_graph("start >> act >> result", act={**ORDER, "on_error": {"retry": {"max_attempts": 1}}}))
    nodes = {"a": {"kind": "pipeline", "pipeline": "test", "inputs": {"x": 1}, **LAST}}
    parent = a_document(a_graph("start >> a >> result", **nodes), id="parent")
    family = Family(parent, {"test": other, "spare": a_spare()}, {"act": said})
    family.root.begin()
    family.deliver()
    (child,) = family.children()
    child.answer("approve")
    if said == "stopped":
        child.tell(CancelRequested())
        child.tell(StepFailed("act", 1, StepError(ErrorClass.INTERNAL, "cancelled", "It was cancelled.")))
    else:
        child.finish("act")
    if crashes:
        family.root.crash(crashed=False)
    family.play()
    assert len(family.children()) == 1 + stood_in
    assert (family.root.run.state is RunState.SUCCEEDED) is bool(stood_in)


# Whose failure stops what it stands in.
STOPS = {"on_error": {"retry": {"max_attempts": 1}}}
DOES_NOT_DO = {"output_schema": {"type": "object"}}


@pytest.mark.parametrize(("tool", "stood_in"), [(ORDER, 0), (LOOK, 1)], ids=["acts", "changes nothing"])
@pytest.mark.parametrize("ends", ["failed", "refused"])
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("crashes", [False, True])
def test_no_pipeline_stands_in_for_another_in_which_an_action_was_done(
    tool: dict[str, Any], stood_in: int, ends: str, inside: bool, crashes: bool
) -> None:
    """Whether the other failed after it, or what it came to did not do, alone or in a For each."""
    last: dict[str, Any] = {"check": STOPS} if ends == "failed" else {}
    drawing = f"start >> act >> {'check >> ' if last else ''}result"
    other = a_document(a_graph(drawing, act={**tool, **STOPS}, result={"value": "done"}, **last))
    asks: dict[str, Any] = {"kind": "pipeline", "pipeline": "test", "inputs": {"x": 1}}
    asks |= DOES_NOT_DO if ends == "refused" else {}
    if inside:
        asks = {"kind": "each", "over": ["x"], "graph": a_graph("ask", ask={**asks, **ONCE}), "require": "any"}
    parent = a_document(a_graph("start >> a >> result", a={**asks, **LAST}), id="parent")
    family = Family(parent, {"test": other, "spare": a_spare()}, {"check": Fails()})
    family.root.begin()
    family.deliver()
    (child,) = family.children()
    child.answer("approve") if child.asked() else None
    child.finish("act")
    if crashes:
        child.crash(crashed=False)
        family.root.crash(crashed=False)
    family.play()
    assert len(family.children()) == 1 + stood_in
    assert (family.root.run.state is RunState.SUCCEEDED) is bool(stood_in)


@pytest.mark.parametrize(("tool", "stood_in"), [(ORDER, 0), (LOOK, 1)], ids=["acts", "changes nothing"])
@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("crashes", [False, True])
def test_no_pipeline_stands_in_for_a_whole_in_which_an_action_was_done(
    tool: dict[str, Any], stood_in: int, spread: bool, crashes: bool
) -> None:
    graph = a_graph("act >> check", act={**tool, **ONCE}, check=ONCE)
    each = {"kind": "each", "over": ["x"], "graph": graph, "require": "any", "spread": spread}
    family = a_family(each, {"check": Fails()})
    family.root.begin()
    while family.mail:
        family.deliver()
    owner = family.children()[0] if spread else family.root
    owner.answer("approve") if owner.asked() else None
    owner.finish("act" if spread else "a[0].act")
    if crashes:
        owner.crash(crashed=False)
    family.play()
    assert len([child for child in family.children() if child.document.id == "spare"]) == stood_in
    assert (family.root.run.state is RunState.SUCCEEDED) is bool(stood_in)


@pytest.mark.parametrize(("detached", "stood_in"), [(True, 0), (False, 1)])
def test_no_pipeline_stands_in_for_a_whole_that_has_started_a_run_to_which_nobody_listens(
    detached: bool, stood_in: int
) -> None:
    ask = {"kind": "pipeline", "pipeline": "other", "inputs": {}, "detached": detached, **ONCE}
    each = {"kind": "each", "over": ["x"], "graph": a_graph("ask >> check", ask=ask, check=ONCE), "require": "any"}
    parent = a_document(a_graph("start >> a >> result", a={**each, **LAST}), id="parent")
    other = a_document(a_graph("start >> result"), id="other")
    family = Family(parent, {"other": other, "spare": a_spare()}, {"check": Fails()}).play()
    assert len(family.children()) == 1 + stood_in


@pytest.mark.parametrize(("has_acted", "children"), [(True, 0), (False, 1)])
@pytest.mark.parametrize("how", ["does not do", "denied", "gone"])
def test_no_pipeline_stands_in_for_an_agent_that_has_acted(how: str, has_acted: bool, children: int) -> None:
    def first(start: Start) -> Any:
        if how == "does not do":
            return StepSucceeded(start.path, start.attempt, "text", maybe_done=has_acted)
        call = {"tool": "email.send@1", "args": {"to": "bo@example.com"}}
        return StepBlocked(start.path, start.attempt, "approve", call, "Send?", "It asks.", maybe_done=has_acted)

    step = {"prompt": "Order tea.", **(DOES_NOT_DO if how == "does not do" else {})}
    family = a_family(step, {"a": [first, Fails("refused")]})
    family.root.begin()
    family.root.finish("a")
    if family.root.asked():
        family.root.answer("expire")
    if how == "gone":
        family.root.crash(crashed=False)
    family.play()
    assert len(family.children()) == children


def test_no_pipeline_stands_in_for_an_agent_whose_own_pipeline_has_acted() -> None:
    wish = PipelineWanted("a", 1, "child@1", {}, "c")
    lock_child = a_document(a_graph("start >> act >> result", act={**ORDER, **STOPS}), id="child")
    step = {"agent": "digger@1", "prompt": "Dig.", **LAST}
    parent = a_document(a_graph("start >> a >> result", a=step), id="parent")
    family = Family(parent, {"child": lock_child, "spare": a_spare()}, {"a": [wish, Fails("refused")]})
    family.root.begin()
    family.root.finish("a")
    family.deliver()
    (child,) = family.children()
    child.answer("approve")
    family.play()
    assert child.run.state is RunState.SUCCEEDED
    assert len(family.children()) == 1


@pytest.mark.parametrize(("maybe_done", "children"), [(True, 0), (False, 1)])
@pytest.mark.parametrize("code", ["refused", "outside"])
def test_no_pipeline_stands_in_for_an_agent_whose_action_may_have_been_done(
    code: str, maybe_done: bool, children: int
) -> None:
    family = a_family({"prompt": "Order tea."}, {"a": Fails("refused", code, maybe_done=maybe_done)}).play()
    assert len(family.children()) == children


def test_a_model_stands_in_for_an_agent_in_doubt_and_no_pipeline_after_it() -> None:
    fallback = [{"model": "demo/echo"}, {"pipeline": "spare"}]
    policy = {"retry": {"max_attempts": 1}, "fallback": fallback}
    family = a_family({"prompt": "Order tea."}, {"a": Fails("refused", maybe_done=True)}, on_error=policy).play()
    assert [start.model for start in family.root.started] == [None, "demo/echo"]
    assert not family.children()


@pytest.mark.parametrize("crashes", [False, True])
def test_a_doubt_outlives_a_retry_of_the_whole(crashes: bool) -> None:
    each = {**an_item(ORDER), "on_error": {"fallback": [{"pipeline": "spare"}], "then": "ask_human"}}
    family = a_family(each, {"act": [LOST, Fails()]}, on_error=each["on_error"])
    family.root.begin()
    family.root.answer("approve")
    family.root.finish("a[0].act")
    assert family.root.row("a")["wait_reason"] == "failure"
    if crashes:
        family.root.crash(crashed=False)
    family.root.answer("retry")
    family.root.finish("a[0].act")
    family.play()
    assert not family.children()


def test_a_doubt_outlives_a_retry_of_the_item_it_is_in() -> None:
    act = {**ORDER, "on_error": {"retry": {"max_attempts": 1}, "fallback": [{"pipeline": "spare"}]}}
    each = {"kind": "each", "over": ["x"], "graph": a_graph("act", act=act)}
    family = a_family(each, {"act": [LOST, Fails()]}, on_error={"then": "ask_human"})
    family.root.begin()
    family.root.answer("approve")
    family.root.finish("a[0].act")
    family.root.answer("retry")
    family.root.finish("a[0].act")
    family.play()
    assert not family.children()


CHILD = {"kind": "pipeline", "pipeline": "other", "inputs": {}}
CHOOSE = {"kind": "decide", "routes": [{"port": "x", "when": "item == 'x'"}], "otherwise": "y"}
# By what a step is: the step, and whether a pipeline stands in although it was under way.
MAY_ACT = {
    "does": ({"agent": "doer@1", "prompt": "Do it."}, 0),
    "may only look": ({"agent": "doer@1", "prompt": "Look.", "tools": ["shop.look@1"]}, 1),
    "reads": ({"agent": "reader@1", "prompt": "Look."}, 1),
    "action": (ORDER, 0),
    "looks": (LOOK, 1),
    "child": (CHILD, 0),
    "child in another": ({"kind": "each", "over": ["z"], "graph": a_graph("ask", ask=CHILD)}, 0),
}


@pytest.mark.parametrize(
    ("step", "stood_in"),
    MAY_ACT.values(),
    ids=MAY_ACT,
)
@pytest.mark.parametrize("crashes", [False, True])
def test_nothing_that_may_act_is_under_way_in_a_whole_when_a_pipeline_stands_in(
    step: dict[str, Any], stood_in: int, crashes: bool
) -> None:
    """What only reads is stopped, and nothing that would have come after it begins any more."""
    nodes = {"bad": STOPS, "part": {**step, **ONCE}, "act": {**ORDER, **ONCE}}
    graph = a_graph("choose:x >> bad; choose:y >> part >> act", choose=CHOOSE, **nodes)
    each = {"kind": "each", "over": ["x", "y"], "graph": graph}
    parent = a_document(a_graph("start >> a >> result", a={**each, **LAST}), id="parent")
    other = a_document(a_graph("start >> result"), id="other")
    family = Family(parent, {"other": other, "spare": a_spare()}, {"bad": Fails()})
    family.root.begin()
    family.root.answer("approve") if family.root.asked() else None
    if crashes:
        family.root.crash(crashed=False)
    family.root.finish("a[0].bad")
    assert not family.root.open or not stood_in
    family.play()
    assert len([child for child in family.children() if child.document.id == "spare"]) == stood_in
    assert family.root.row("a[1].act")["state"] == "cancelled"
    assert (family.root.run.state is RunState.SUCCEEDED) is bool(stood_in)
    if crashes:
        family.root.crash(crashed=False)
    assert not family.root.asked()


@pytest.mark.parametrize(
    ("step", "stood_in"),
    [
        *MAY_ACT.values(),
        ({"agent": "reader@1", "prompt": "Look.", "on_error": {"fallback": [{"agent": "doer@1"}]}}, 0),
        ({"agent": "reader@1", "prompt": "Look.", "on_error": {"fallback": [{"pipeline": "other"}]}}, 0),
    ],
    ids=[*MAY_ACT, "doer after", "child after"],
)
@pytest.mark.parametrize("crashes", [False, True])
def test_an_item_under_way_in_a_run_of_its_own_keeps_a_pipeline_away_only_if_it_may_act(
    step: dict[str, Any], stood_in: int, crashes: bool
) -> None:
    graph = a_graph("choose:x >> bad; choose:y >> part", choose=CHOOSE, bad=STOPS, part={**ONCE, **step})
    each = {"kind": "each", "over": ["x", "y"], "graph": graph, "spread": True}
    parent = a_document(a_graph("start >> a >> result", a={**each, **LAST}), id="parent")
    other = a_document(a_graph("start >> result"), id="other")
    family = Family(parent, {"other": other, "spare": a_spare()}, {"bad": Fails()})
    family.root.begin()
    first, second = family.children()
    for _ in family.mail.copy():
        family.deliver()
    if second.asked():
        second.answer("approve")
    first.finish("bad")
    if crashes:
        family.root.crash(crashed=False)
    while family.mail:  # the other is still at work when the parent hears of it
        family.deliver()
    family.play()
    assert len([child for child in family.children() if child.document.id == "spare"]) == stood_in
    assert (family.root.run.state is RunState.SUCCEEDED) is bool(stood_in)
    if stood_in:
        assert second.run.state is RunState.CANCELLED
        assert "maybe_done" not in family.root.row("a")["memo"]


def test_an_action_that_nobody_has_approved_yet_is_not_asked_about_any_more() -> None:
    graph = a_graph("choose:x >> bad; choose:y >> part", choose=CHOOSE, bad=STOPS, part={**SEND, **ONCE})
    family = a_family({"kind": "each", "over": ["x", "y"], "graph": graph}, {"bad": Fails()})
    family.root.begin()
    assert len(family.root.asked()) == 1
    family.root.finish("a[0].bad")
    assert not family.root.asked()
    family.play()
    assert family.root.run.state is RunState.SUCCEEDED
    assert len(family.children()) == 1


@pytest.mark.parametrize(
    ("step", "stood_in"),
    [({"agent": "doer@1", "prompt": "Do it."}, 0), ({"agent": "reader@1", "prompt": "Look."}, 1), (CHILD, 0)],
    ids=["does", "reads", "child"],
)
@pytest.mark.parametrize("crashes", [False, True])
def test_what_was_stopped_while_it_may_have_acted_is_remembered(
    step: dict[str, Any], stood_in: int, crashes: bool
) -> None:
    graph = a_graph("bad; slow; part", bad=STOPS, slow=STOPS, part={**step, **STOPS})
    each = {"kind": "each", "over": ["x", "y"], "graph": graph, "require": "any"}
    parent = a_document(a_graph("start >> a >> result", a={**each, **LAST}), id="parent")
    other = a_document(a_graph("start >> result"), id="other")
    family = Family(parent, {"other": other, "spare": a_spare()}, {"bad": Fails()})
    family.root.begin()
    for item in ("a[0].", "a[1]."):
        family.root.finish(f"{item}bad")
        assert family.root.row(f"{item}part")["state"] == "cancelled"
        if crashes and item == "a[0].":
            family.root.crash(crashed=False)
    family.play()
    assert len([child for child in family.children() if child.document.id == "spare"]) == stood_in


@pytest.mark.parametrize(("agent", "stood_in"), [("doer@1", 0), ("reader@1", 1)])
def test_what_killed_its_workers_may_have_acted(agent: str, stood_in: int) -> None:
    graph = a_graph("part", part={"agent": agent, "prompt": "Do it.", **ONCE})
    family = a_family({"kind": "each", "over": ["x"], "graph": graph, "require": "any"})
    family.root.begin()
    for _ in range(MAX_CRASHES):
        family.root.crash()
    family.play()
    assert family.root.row("a[0].part")["error"]["code"] == "dead_letter"
    assert len(family.children()) == stood_in


def test_a_retry_by_order_runs_what_was_stopped_for_the_pipeline() -> None:
    each = {"kind": "each", "over": ["x", "y"], "graph": ITEM}
    policy = {"on_error": {"fallback": [{"pipeline": "spare"}], "then": "ask_human"}}
    failing = a_spare("1", look={"on_error": {"retry": {"max_attempts": 1}}})
    family = a_family(each, {"a[0].dig": [Fails(), "again"], "look": Fails()}, spare=failing, **policy)
    family.root.begin()
    family.root.finish("a[0].dig")
    assert family.root.row("a[1].dig")["state"] == "cancelled"
    family.play()
    family.root.crash(crashed=False)
    family.root.answer("retry")
    family.play()
    assert family.root.run.output == ["again", "a[1].dig"]


@pytest.mark.parametrize(("has_acted", "stood_in"), [(True, 0), (False, 1)])
def test_what_an_item_did_in_the_run_that_was_forked_is_not_done_once_more(has_acted: bool, stood_in: int) -> None:
    """The For each goes on as a step of the new run, and remembers nothing itself."""
    family = a_family({"kind": "each", "over": ["x", "y"], "graph": ITEM, "require": "all"}, {"a[1].dig": Fails()})
    family.root.begin()
    family.root.finish("a[0].dig")
    if has_acted:
        family.root.rows["a[0].dig"]["memo"]["maybe_done"] = True
    family.root.crash(crashed=False)
    family.play()
    assert len(family.children()) == stood_in


def test_a_person_who_orders_a_retry_gets_the_step_itself_again() -> None:
    each = {"kind": "each", "over": ["x", "y"], "graph": ITEM}
    policy = {"on_error": {"fallback": [{"pipeline": "spare"}], "then": "ask_human"}}
    parent = a_document(a_graph("start >> a >> result", a={**each, **policy}, result={"value": "${steps.a.output}"}))
    failing = a_spare("1", look={"on_error": {"retry": {"max_attempts": 1}}})
    script = {"a[0].dig": [Fails(), "again"], "look": Fails()}
    family = Family(parent, {"spare": failing}, script).play()
    assert family.root.row("a")["wait_reason"] == "failure"
    family.root.answer("retry")
    family.play()
    assert family.root.run.output == ["again", "a[1].dig"]


def test_members_of_a_team_have_the_models_among_its_stand_ins_and_not_the_pipelines() -> None:
    both = {"on_error": {"retry": {"max_attempts": 1}, "fallback": [{"pipeline": "spare"}, {"model": "demo/echo"}]}}
    team = {"kind": "team", "task": "Win.", "members": ["ann", "ben"], "stop": {"max_turns": 2}, **both}
    parent = a_document(a_graph("start >> a >> result", a=team, result={"value": "${steps.a.output}"}), id="parent")

    def by_model(start: Any) -> Any:
        return StepSucceeded(start.path, start.attempt, "said") if start.model else Fails()

    family = Family(parent, {"spare": a_spare()}, {"speak_1": by_model, "speak_2": "also"}).play()
    assert family.root.run.output == "also"
    assert not family.children()


def test_what_a_pipeline_may_have_made_is_trusted_like_a_tools_answer() -> None:
    send = {"args": {"to": "bo@example.com", "body": "${steps.a.output}"}}
    write = {"prompt": "Write.", **LAST}
    parent = a_document(a_graph("start >> a >> send >> result", a=write, send=send), id="parent")
    family = Family(parent, {"spare": a_spare()}, {"a": Fails("refused")}).play()
    (question,) = family.root.asked()
    assert question["trust"]["/args/body"] == "tool"


def test_what_a_pipeline_may_have_made_in_the_round_before_is_trusted_like_a_tools_answer() -> None:
    send = {"args": {"to": "bo@example.com", "body": "${round.previous.w | default('none')}"}}
    graph = a_graph("w >> send", w={"prompt": "Write.", **LAST}, send=send)
    repeat = {"kind": "repeat", "max_rounds": 2, "graph": graph}
    parent = a_document(a_graph("start >> a >> result", a=repeat), id="parent")
    family = Family(parent, {"spare": a_spare()}, {"w": Fails("refused")}).play()
    (question,) = family.root.asked()
    assert question["trust"]["/args/body"] == "tool"


@pytest.mark.parametrize(
    ("step", "who"),
    [
        ({"kind": "team", "members": ["ann", "ben"]}, "speak_1"),
        ({"kind": "supervisor", "agent": "host", "workers": [{"agent": "ann"}]}, "leader"),
    ],
    ids=["team", "supervisor"],
)
@pytest.mark.parametrize(("code", "stands_in"), [("context_too_large", True), ("max_turns", False)])
def test_a_limit_of_the_model_alone_keeps_no_pipeline_from_doing_it(
    step: dict[str, Any], who: str, code: str, stands_in: bool
) -> None:
    family = a_family({**step, "task": "Win."}, {who: Fails("limit", code)}).play()
    assert bool(family.children()) is stands_in
    assert (family.root.run.state is RunState.SUCCEEDED) is stands_in
