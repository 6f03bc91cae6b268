"""For each with `spread`: items as runs of their own come to what they come to without it."""

from typing import Any

import pytest

from pipelines.graph.model import Budget, Document
from runs.engine.facts import CancelRequested, StopRequested
from runs.engine.origin import Origin
from runs.engine.status import RunState
from tests.engine.building import a_document, a_graph
from tests.engine.kin import PRICE, Family
from tests.engine.playing import Fails

_INSIDE = a_graph(
    "read >> judge; judge:good >> dig; judge:bad >> drop",
    read={"prompt": "${word} ${item_index} ${input.tone} ${steps.plan.output}"},
    judge={
        "kind": "decide",
        "routes": [{"port": "good", "when": "item != 'bad'"}],
        "otherwise": "bad",
    },
    dig={"kind": "transform", "set": {"said": "steps.read.output", "plan": "steps.plan.output"}},
    drop={"disabled": True},
)


def a_walk(*, spread: bool, over: Any = ("ant", "bee", "bad", "cow"), **fields: Any) -> Document:
    each = {
        "kind": "each",
        "over": list(over) if isinstance(over, tuple) else over,
        "as": "word",
        "graph": _INSIDE,
        "result": "${steps.dig.output}",
        "spread": spread,
        **fields,
    }
    graph = a_graph("start >> plan >> walk >> result", walk=each, result={"value": "${steps.walk.output}"})
    return a_document(graph, id="walker", inputs={"type": "object"})


def said(start: Any) -> Any:
    word = start.input["prompt"].split(" ")[0] if "prompt" in (start.input or {}) else ""
    return Fails("refused", "shy") if word == "shy" else start.input["prompt"]


SCRIPT = {"plan": "the plan", "read": said}
INPUT = {"tone": "kind", "unused": "x" * 10}


def played(document: Document, seed: int = 0, crash_every: int = 0, **more: Any) -> Family:
    return Family(document, {}, SCRIPT, INPUT, **more).play(seed, crash_every)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("over", "fields"),
    [
        (("ant", "bee", "bad", "cow"), {}),
        (("ant", "shy", "bad", "cow"), {}),
        (("ant", "shy", "cow"), {"on_item_error": "omit"}),
        (("ant", "shy", "cow"), {"on_item_error": "null", "max_parallel": 1}),
        (("shy", "ant", "shy"), {"require": {"at_least": 2}}),
        (("ant", "bee", "cow", "dog"), {"require": "any", "stop_early": True, "max_parallel": 1}),
        ((), {}),
    ],
)
def test_a_spread_each_comes_to_what_it_comes_to_without(over: Any, fields: dict[str, Any], seed: int) -> None:
    alone = played(a_walk(spread=False, over=over, **fields), seed)
    apart = played(a_walk(spread=True, over=over, **fields), seed, crash_every=4 if seed % 2 else 0)
    assert apart.root.run.state == alone.root.run.state
    assert apart.root.run.output == alone.root.run.output
    if alone.root.state("walk") == "succeeded":
        assert apart.root.row("walk")["meta"] == alone.root.row("walk")["meta"]
    assert all(one.run.state.is_terminal for one in apart.children())


def test_an_item_is_given_what_its_steps_read_and_nothing_else() -> None:
    family = played(a_walk(spread=True, over=("ant",)))
    (one,) = family.children()
    assert one.input == {
        "input": {"tone": "kind"},
        "steps": {"plan": {"output": "the plan", "meta": {}}},
        "item": "ant",
        "word": "ant",
        "item_index": 0,
    }
    assert one.origin.place == "walk"
    assert family.root.states()["walk[0].run"] == "succeeded"
    assert set(one.states()) == {"read", "judge", "dig", "drop"}


def test_whose_words_an_item_is_goes_along() -> None:
    family = played(a_walk(spread=True, over="${[steps.plan.output]}"))
    assert family.children()[0].origin.labels["word"] == "model"
    assert family.children()[0].origin.labels["steps.plan"] == "model"
    assert family.children()[0].origin.labels["input.tone"] == "user"
    assert family.children()[0].started[0].trust == {"/prompt": "model"}


def test_what_an_author_wants_to_stop_the_run_stops_it_from_within_an_item() -> None:
    document = a_walk(spread=True, over=("ant", "shy"), on_item_error="omit")
    stopping = a_document(
        {
            **a_graph(
                "start >> plan >> walk >> result",
                walk={
                    "kind": "each",
                    "over": ["ant", "shy"],
                    "on_item_error": "omit",
                    "spread": True,
                    "graph": a_graph("read", read={"prompt": "${item}", "on_error": {"then": "stop_run"}}),
                },
                result={"value": "${steps.walk.output}"},
            )
        },
        id="stopper",
    )
    assert played(document).root.run.state is RunState.SUCCEEDED
    ended = played(stopping).root.run
    assert (ended.state, ended.error["path"]) == (RunState.FAILED, "walk[1].run")


def test_cancelling_the_run_cancels_every_item() -> None:
    family = Family(a_walk(spread=True), {}, SCRIPT, INPUT)
    family.root.begin()
    family.root.finish("plan")
    while family.mail:
        family.deliver()
    family.root.tell(CancelRequested("bob"))
    while family.mail:
        family.deliver()
    family.play()
    assert family.root.run.state is RunState.CANCELLED
    assert {one.run.state for one in family.children()} == {RunState.CANCELLED}


def test_items_share_the_cap_of_the_run() -> None:
    over = tuple(f"w{n}" for n in range(9))
    family = played(a_walk(spread=True, over=over, on_item_error="omit"), 4, budget=Budget(max_cost_micros=5 * PRICE))
    assert family.paid <= 5 * PRICE
    assert (family.root.run.state, family.root.run.reason) == (RunState.FAILED, "budget"), "the cap ends the run"


def test_an_item_knows_the_round_around_it() -> None:
    loop = {
        "kind": "repeat",
        "max_rounds": 2,
        "graph": a_graph(
            "draft >> walk",
            walk={
                "kind": "each",
                "over": ["x"],
                "spread": True,
                "graph": a_graph("read", read={"prompt": "${round.n} ${round.previous.draft.output | default('-')}"}),
            },
        ),
    }
    document = a_document(a_graph("start >> loop >> result", loop=loop, result={"value": "${steps.loop.output}"}))
    script = {"draft": lambda start: start.path, "read": lambda start: start.input["prompt"]}
    family = Family(document, {}, script).play()
    assert [one.origin.place for one in family.children()] == ["loop.walk", "loop.walk"]
    assert family.root.run.output == ["2 loop#1.draft"]


def test_a_pipeline_below_an_item_is_one_level_below_the_run() -> None:
    child = a_document(a_graph("start >> dig >> result", result={"value": "1"}), id="child", inputs={"type": "object"})
    walk = {
        "kind": "each",
        "over": ["x"],
        "spread": True,
        "graph": a_graph("sub", sub={"kind": "pipeline", "pipeline": "child", "inputs": {"w": "${item}"}}),
    }
    document = a_document(a_graph("start >> walk >> result", walk=walk), id="top")
    family = Family(document, {"child": child}).play()
    item, sub = family.children()
    assert item.origin.is_item
    assert [one.pipeline for one in sub.origin.ancestors] == ["top"]
    assert sub.origin.labels == {"input.w": "user"}
    assert Origin.from_json("i", item.origin.as_json()).place == "walk"


@pytest.mark.parametrize("spread", [True, False])
@pytest.mark.parametrize("path", ["walk[1]", "walk[1].run"])
@pytest.mark.parametrize("on_item_error", ["stop", "omit"])
def test_a_stopped_item_counts_as_failed_and_says_who(*, spread: bool, path: str, on_item_error: str) -> None:
    """Without `spread` an item has no step of the name `run`: then nothing is stopped."""
    document = a_walk(spread=spread, on_item_error=on_item_error, on_error={"then": "skip"})
    family = Family(document, {}, SCRIPT, INPUT)
    family.root.begin()
    family.root.finish("plan")
    family.root.tell(StopRequested(path, "carol@example.com", "Enough."))
    family.play()
    assert family.root.run.state.is_terminal
    assert all(member.run.state.is_terminal for member in family.members.values())
    row = family.root.row("walk")
    if path == "walk[1].run" and not spread:
        assert row["state"] == "succeeded"
    elif on_item_error == "stop":
        assert (row["state"], "carol@example.com stopped it: Enough." in row["error"]["message"]) == ("failed", True)
    else:
        item = row["meta"]["items"][1]
        assert (item["status"], item["error"]["code"]) == ("failed", "stopped_with_all")
