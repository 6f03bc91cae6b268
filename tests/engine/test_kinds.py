"""Start, Result, Transform, Route, Combine, and where words come from."""

from typing import Any

import pytest

from runs.engine.facts import StepSucceeded
from tests.engine.playing import Fails, Player, a_run


def test_transform_computes_an_object() -> None:
    shape = {"kind": "transform", "set": {"n": "size(input.names)", "first": "input.names[0]"}}
    player = a_run("start >> shape >> result", input={"names": ["Ann", "Bo"]}, shape=shape).play()
    assert player.row("shape")["output"] == {"n": 2, "first": "Ann"}
    assert player.types("shape") == ["step_succeeded"]


def test_start_gives_the_input_and_result_keeps_types() -> None:
    result = {"kind": "output", "value": {"n": "${steps.start.output.n}", "text": "n is ${input.n}"}}
    assert a_run("start >> result", input={"n": 3}, result=result).play().run.output == {"n": 3, "text": "n is 3"}


ROUTES = [{"port": "big", "when": "value > 10"}, {"port": "even", "when": "value in [2, 12]"}]


@pytest.mark.parametrize(
    ("value", "multi", "ports", "chosen"),
    [
        (12, False, ["big"], "big"),
        (2, False, ["even"], "even"),
        (3, False, ["rest"], "rest"),
        (12, True, ["big", "even"], ["big", "even"]),
        (3, True, ["rest"], ["rest"]),
    ],
)
def test_rules_choose_the_first_that_is_true_or_all(value: int, multi: bool, ports: list[str], chosen: Any) -> None:
    route = {"kind": "decide", "routes": ROUTES, "otherwise": "rest", "value": "${input.n}", "multi": multi}
    player = a_run("start >> route; route:rest >> result", input={"n": value}, route=route).play()
    assert player.row("route")["ports"] == ports
    assert player.row("route")["output"]["chosen"] == chosen


def test_a_rule_that_is_no_condition_is_a_config_error() -> None:
    route = {"kind": "decide", "routes": [{"port": "a", "when": "input.n"}], "otherwise": "b"}
    player = a_run("start >> route; route:a >> result", input={"n": 3}, route=route).play()
    assert player.run.error["code"] == "not_a_condition"


def an_ai_route(said: Any, **config: Any) -> Player:
    route = {
        "kind": "decide",
        "mode": "ai",
        "agent": "writer@1",
        "value": "${input.text}",
        "routes": [{"port": "refund", "description": "money back"}, {"port": "bug"}],
        "otherwise": "other",
        **config,
    }
    return a_run("start >> route; route:other >> result", {"route": said}, input={"text": "Hi"}, route=route).play()


@pytest.mark.parametrize(
    ("said", "ports"),
    [
        ({"chosen": "bug", "reason": "crash", "confidence": 0.9}, ["bug"]),
        ({"chosen": "bug", "confidence": 0.5}, ["other"]),
        ({"chosen": ["refund", "bug"], "confidence": 0.9}, ["refund"]),
        ({"chosen": "bug"}, ["bug"]),
    ],
)
def test_a_models_choice_is_taken_when_it_is_sure(said: Any, ports: list[str]) -> None:
    player = an_ai_route(said)
    assert player.row("route")["ports"] == ports
    assert player.row("route")["output"]["chosen"] == ports[0]
    (start,) = player.started
    assert start.input["value"] == "Hi"
    assert start.input["routes"][0] == {"port": "refund", "description": "money back"}
    assert start.agent.id == "writer@1"


def test_a_choice_that_is_no_route_is_sent_back() -> None:
    player = an_ai_route([{"chosen": "lawyer"}, {"chosen": "bug", "confidence": 1}])
    assert len(player.started) == 2
    assert "refund" in player.started[1].repair["findings"][0]


def test_the_executor_may_name_the_ports_itself() -> None:
    said = lambda start: StepSucceeded(start.path, 1, {"chosen": "bug", "confidence": 0.8}, ports=("bug",))  # noqa: E731
    assert an_ai_route(said).row("route")["ports"] == ["bug"]


OUTPUTS = {"a": {"n": 1}, "b": "two", "c": Fails()}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"merge": "object"}, {"a": {"n": 1}, "b": "two"}),
        ({"merge": "object", "missing": "null"}, {"a": {"n": 1}, "b": "two", "c": None}),
        ({"merge": "object", "missing": "default", "default": 0}, {"a": {"n": 1}, "b": "two", "c": 0}),
        ({"merge": "list"}, [{"n": 1}, "two"]),
        ({"merge": "list", "missing": "null"}, [{"n": 1}, "two", None]),
        ({"merge": "first"}, {"n": 1}),
        ({"merge": "prefer", "prefer": ["c", "b", "a"]}, "two"),
        ({"merge": "prefer"}, {"n": 1}),
        ({"merge": "concat"}, '{"n":1}\n\ntwo'),
        ({"merge": "concat", "missing": "null"}, '{"n":1}\n\ntwo'),
        ({"merge": "concat", "missing": "default", "default": "three"}, '{"n":1}\n\ntwo\n\nthree'),
        ({"merge": "vote", "missing": "default", "default": "two"}, "two"),
        ({"merge": "vote", "missing": "null"}, {"n": 1}),
        ({"merge": "first", "missing": "default", "default": "three"}, {"n": 1}),
    ],
)
def test_a_join_merges_what_arrived(config: dict[str, Any], expected: Any) -> None:
    player = a_run("start >> a, b, c >> join >> result", OUTPUTS, join={"kind": "combine", **config}).play()
    assert player.row("join")["output"] == expected
    assert player.row("join")["meta"]["missing"] == ["c"]


@pytest.mark.parametrize(
    ("outputs", "winner"),
    [(["x", "y", "x"], "x"), ([{"k": 1, "l": 2}, {"l": 2, "k": 1.0}, "z"], {"k": 1, "l": 2}), (["x", "y", "z"], "x")],
)
def test_a_vote_goes_to_the_most_and_a_tie_to_the_first(outputs: list[Any], winner: Any) -> None:
    script = {name: (lambda _, said=said: said) for name, said in zip("abc", outputs, strict=True)}
    player = a_run("start >> a, b, c >> join >> result", script, join={"kind": "combine", "merge": "vote"}).play()
    assert player.row("join")["output"] == winner
    assert sum(vote["count"] for vote in player.row("join")["meta"]["votes"]) == 3
    assert player.row("join")["meta"]["tied"] == (outputs == ["x", "y", "z"])


def test_first_is_by_time_and_lists_are_joined_to_one() -> None:
    player = a_run("start >> a, b >> join >> result", {"b": "B"}, join={"kind": "combine", "merge": "first"})
    player.begin()
    player.finish("b")
    player.wait(1)
    player.finish("a")
    assert player.row("join")["output"] == "B"
    lists = {"a": lambda _: [1], "b": lambda _: [2, 3]}
    player = a_run("start >> a, b >> join >> result", lists, join={"kind": "combine", "merge": "concat"}).play()
    assert player.row("join")["output"] == [1, 2, 3]


@pytest.mark.parametrize(
    ("node", "code"),
    [
        ({"kind": "combine", "merge": "synthesize", "agent": "missing@1"}, "unknown_agent"),
        ({"kind": "pipeline", "pipeline": "child"}, "unknown_pipeline"),
        ({"kind": "tool", "tool": "missing@1", "args": {}}, "unknown_tool"),
        ({"kind": "agent", "agent": "missing@1", "prompt": "x"}, "unknown_agent"),
    ],
)
def test_what_this_engine_cannot_do_it_says(node: dict[str, Any], code: str) -> None:
    from pipelines.graph.lock import Lock
    from tests.engine.building import a_document, a_graph

    document = a_document(a_graph("start >> odd >> result", odd=node))
    player = Player(document, lock=Lock()).play()
    assert (player.run.error["class"], player.run.error["code"]) == ("config", code)


def test_each_value_of_a_call_says_where_its_words_come_from() -> None:
    args = {
        "note": "From ${steps.write.output}",
        "who": "${input.who}",
        "list": ["fixed", "${steps.log.output}"],
        "both": "${input.who} ${steps.both.output}",
        "shaped": "${steps.shape.output}",
        "a/b": 3,
    }
    nodes = {
        "save": {"kind": "tool", "tool": "crm.log@1", "args": args},
        "both": {"kind": "combine", "merge": "concat"},
        "shape": {"kind": "transform", "set": {"x": "steps.write.output + '!'"}},
    }
    player = a_run("start >> write, log >> both >> shape >> save >> result", input={"who": "Ann"}, **nodes).play()
    assert player.started[-1].trust == {
        "/args/note": "model",
        "/args/who": "user",
        "/args/list/0": "author",
        "/args/list/1": "tool",
        "/args/both": "tool",
        "/args/shaped": "model",
        "/args/a~1b": "author",
    }


def test_an_item_is_as_trusted_as_the_list_it_comes_from() -> None:
    from tests.engine.building import a_graph

    each = {
        "kind": "each",
        "over": "${steps.log.output}",
        "as": "x",
        "graph": a_graph("say", say={"prompt": "Say ${x}."}),
    }
    player = a_run("start >> log >> all >> result", {"log": lambda _: [1]}, all=each).play()
    assert player.started[-1].trust == {"/prompt": "tool"}
