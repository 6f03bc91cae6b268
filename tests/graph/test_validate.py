import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.graph.kinds import ROLES
from pipelines.graph.model import Kind
from pipelines.graph.parse import parse
from pipelines.graph.sharing import shares_board
from pipelines.graph.validate import Library, problems
from tests.graph.documents import CHILD, LIBRARY, RESULT, START, a_graph, a_transform, an_agent, parsed

TOPIC = {
    "type": "object",
    "properties": {"topic": {"type": "string"}, "list": {"type": "array"}},
    "required": ["topic"],
}
CAP = {"max_cost_usd": "1"}
SEND = {"kind": "tool", "tool": "email.send@1", "args": {"to": "a@b.c", "body": "Hi"}}
ASK = {"kind": "human", "guards": "send"}
ROUTE = {"kind": "decide", "routes": [{"port": "yes", "when": "true"}], "otherwise": "no"}


def a_check(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "check", "value": "${input.topic}", "rules": list(rules)}


def found(nodes: dict[str, Any], *edges: str, library: Library = LIBRARY, **fields: Any) -> list[tuple[str, str, str]]:
    """Return (severity, code, where below /graph/nodes) of a document's problems."""
    document = parsed(nodes, *edges, **fields)
    return [(p.severity, p.code, p.where.removeprefix("/graph/nodes/")) for p in problems(document, library)]


def between(nodes: dict[str, Any], *edges: str, **fields: Any) -> list[tuple[str, str, str]]:
    """Like `found`, of the steps only, between a Start and a Result that the caller connects."""
    whole = {"start": START, **nodes, "result": RESULT}
    return found(whole, *edges, **{"inputs": TOPIC, "budget": CAP, **fields})


def a_line(step: dict[str, Any], **fields: Any) -> list[tuple[str, str, str]]:
    """Return the problems of one step between Start and Result."""
    return between({"a": step}, "start > a", "a > result", **fields)


def test_a_sound_pipeline_has_no_problem() -> None:
    assert a_line(an_agent("About ${input.topic}")) == []


def test_the_gallery_has_no_problem() -> None:
    agents = json.loads(Path("pipelines/gallery/agents.json").read_bytes())
    specs = {
        f"{slug}@1": replace(LIBRARY.agents["writer@1"], id=f"{slug}@1", output_schema=agent.get("output_schema"))
        for slug, agent in agents.items()
    }
    from pipelines.library.tools import TOOLS

    documents = [parse(json.loads(path.read_bytes())) for path in Path("pipelines/gallery/documents").glob("*.json")]
    pipelines = {
        f"{one.id}@1": replace(CHILD, id=f"{one.id}@1", inputs=one.inputs, budget=one.budget) for one in documents
    }
    library = Library(agents=specs, tools=TOOLS, prices=LIBRARY.prices, pipelines=pipelines)
    for document in documents:
        assert problems(document, library) == [], document.id


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        (an_agent(agent="nobody"), ("error", "unknown_agent", "a/agent")),
        (an_agent(agent="writer@99"), ("error", "unknown_agent", "a/agent")),
        (an_agent(agent=""), ("error", "unknown_agent", "a/agent")),
        (
            an_agent(on_error={"fallback": [{"agent": "nobody"}]}),
            ("error", "unknown_agent", "a/on_error/fallback/0/agent"),
        ),
        (an_agent(tools=["email.send@1"]), ("error", "tool_not_granted", "a/tools/0")),
        (an_agent(tools=["no.tool"]), ("error", "unknown_tool", "a/tools")),
        (an_agent(model="no/model"), ("error", "unknown_model", "a")),
        (an_agent(" "), ("warning", "empty_prompt", "a/prompt")),
        (an_agent("${input.topc}"), ("error", "unknown_input", "a/prompt")),
        (an_agent("${input.topic.x}"), ("error", "type_mismatch", "a/prompt")),
        (an_agent("${input.list}"), ("warning", "optional_input", "a/prompt")),
        (an_agent("${topic}"), ("error", "unknown_reference", "a/prompt")),
        (an_agent("${start}"), ("error", "unknown_reference", "a/prompt")),
        (an_agent("${item}"), ("error", "unknown_reference", "a/prompt")),
        (an_agent("${round.n}"), ("error", "unknown_reference", "a/prompt")),
        (an_agent("${steps.nope.output}"), ("error", "unknown_step", "a/prompt")),
        (an_agent("${steps}"), ("error", "unknown_step", "a/prompt")),
        (an_agent("${steps.a.output}"), ("error", "not_before", "a/prompt")),
        (an_agent("${steps.result.output}"), ("error", "not_before", "a/prompt")),
        (an_agent("${steps.start.out}"), ("error", "unknown_field", "a/prompt")),
        (an_agent("${steps.start.output.nope}"), ("warning", "undeclared_field", "a/prompt")),
        (an_agent("${1 +}"), ("error", "bad_expression", "a/prompt")),
        (an_agent("${'" + "x" * 600 + "'}"), ("error", "too_long", "a/prompt")),
        (an_agent(output_schema={"type": "nope"}), ("error", "bad_schema", "a/output_schema/type")),
        (an_agent(output_schema={"$ref": "#"}), ("error", "bad_schema", "a/output_schema")),
        (an_agent(checks=[{"rule": "expr", "expr": "value >"}]), ("error", "bad_expression", "a/checks/0/expr")),
        (an_agent(checks=[{"rule": "regex"}]), ("error", "incomplete_rule", "a/checks/0")),
        (an_agent(checks=[{"rule": "regex", "pattern": "("}]), ("error", "bad_pattern", "a/checks/0/pattern")),
        (an_agent(checks=[{"rule": "ai_rubric", "rubric": "x"}]), ("error", "missing_agent", "a/checks/0")),
        (
            an_agent(checks=[{"rule": "ai_rubric", "rubric": "x", "agent": "nobody"}]),
            ("error", "unknown_agent", "a/checks/0/agent"),
        ),
        (
            a_transform(x="1") | {"checks": [{"rule": "ai_rubric", "rubric": "x", "agent": "nobody"}]},
            ("error", "unknown_agent", "a/checks/0/agent"),
        ),
        (a_check({"rule": "length"}), ("error", "incomplete_rule", "a/rules/0")),
        (a_check({"rule": "unchanged_from"}), ("error", "incomplete_rule", "a/rules/0")),
        (a_check({"rule": "schema"}), ("error", "incomplete_rule", "a/rules/0")),
        (a_check({"rule": "schema", "schema": {"type": "x"}}), ("error", "bad_schema", "a/rules/0/schema/type")),
        (a_check({"rule": "regex", "pattern": "("}), ("error", "bad_pattern", "a/rules/0/pattern")),
        (a_check({"rule": "contains", "text": "${input.x}"}), ("error", "unknown_input", "a/rules/0/text")),
        (
            a_check({"rule": "ai_rubric", "rubric": "x", "model": "no/model"}),
            ("error", "unknown_model", "a"),
        ),
        (an_agent(conversation="run", cache={"mode": "run"}), ("warning", "cache_unused", "a/cache")),
        (SEND | {"cache": {"mode": "run"}}, ("error", "cache_irreversible", "a/cache")),
        (an_agent(agent="mailer", cache={"mode": "run"}), ("warning", "cache_unused", "a/cache")),
        (a_transform(x="1") | {"cache": {"mode": "run"}}, ("warning", "cache_unused", "a/cache")),
        (an_agent(wait_for=3), ("error", "impossible_join", "a/wait_for")),
        (an_agent(on_error={"then": "route"}), ("warning", "unwired_port", "a")),
        (an_agent(agent="mailer"), ("warning", "unguarded_irreversible", "a/agent")),
        (SEND, ("warning", "unguarded_irreversible", "a")),
        ({"kind": "tool", "tool": "no.tool"}, ("error", "unknown_tool", "a/tool")),
        (SEND | {"args": {"to": "a@b.c"}}, ("error", "missing_argument", "a/args")),
        (SEND | {"args": {"to": "a@b.c", "body": "x", "cc": "y"}}, ("error", "unknown_argument", "a/args/cc")),
        (SEND | {"args": {"to": 7, "body": "x"}}, ("error", "type_mismatch", "a/args/to")),
        (SEND | {"args": {"to": "a@b.c", "body": "${input.list}"}}, ("error", "type_mismatch", "a/args/body")),
        (
            SEND | {"args": {"to": "a@b.c", "body": "x", "urgent": "so ${input.topic}"}},
            ("error", "type_mismatch", "a/args/urgent"),
        ),
        (a_transform(x="input.nope"), ("error", "unknown_input", "a/set/x")),
        (a_transform(x="[1].map(a, [1].map(b, b))"), ("error", "too_complex", "a/set/x")),
        ({"kind": "human", "roles": ["king"]}, ("error", "unknown_role", "a/roles/0")),
        ({"kind": "human", "roles": []}, ("error", "nobody_can_answer", "a/roles")),
        (
            {"kind": "human", "roles": [], "people": ["x"], "min_approvals": 2},
            ("error", "nobody_can_answer", "a/roles"),
        ),
        ({"kind": "human", "not_starter": False}, ("error", "self_approval", "a/not_starter")),
        ({"kind": "human", "mode": "answer", "min_approvals": 2}, ("error", "one_answer", "a/min_approvals")),
        ({"kind": "human", "on_expire": "escalate"}, ("error", "nobody_can_answer", "a/escalate_to")),
        ({"kind": "human", "guards": "start"}, ("error", "bad_guard", "a/guards")),
        ({"kind": "human", "mode": "answer", "form": {"type": 1}}, ("error", "bad_schema", "a/form/type")),
        (ROUTE | {"routes": []}, ("error", "no_routes", "a/routes")),
        (ROUTE | {"routes": [{"port": "yes"}]}, ("error", "missing_condition", "a/routes/0")),
        (ROUTE | {"mode": "ai"}, ("error", "missing_agent", "a")),
        (ROUTE | {"routes": [{"port": "yes", "when": "steps.x.output"}]}, ("error", "unknown_step", "a/routes/0/when")),
        ({"kind": "combine", "merge": "synthesize"}, ("error", "missing_agent", "a/agent")),
        ({"kind": "combine", "merge": "best_of"}, ("error", "missing_agent", "a/agent")),
        (an_agent(conversation="session"), ("error", "missing_session", "a/session")),
        (an_agent(conversation="session", session="${input.nope}"), ("error", "unknown_input", "a/session")),
        ({"kind": "combine", "min_ok": 2}, ("error", "impossible_join", "a/min_ok")),
        ({"kind": "combine", "wait_for": "first", "min_ok": 2}, ("warning", "unused_minimum", "a/min_ok")),
        ({"kind": "combine", "merge": "prefer", "prefer": ["result"]}, ("error", "unknown_step", "a/prefer/0")),
    ],
)
def test_a_wrong_step_has_its_problem_at_its_field(step: dict[str, Any], problem: tuple[str, str, str]) -> None:
    edges = ["start > a"]
    if step["kind"] == "decide":
        edges += ["a.yes > result"] if step["routes"] else ["a.no > result"]
    elif step["kind"] == "human":
        edges += ["a.approved > result"]
    else:
        edges += ["a > result"]
    assert problem in between({"a": step}, *edges)


@pytest.mark.parametrize(
    ("inner", "uses"),
    [
        ({"kind": "board", "op": "read", "key": "x"}, True),
        (an_agent("${board.x | default('')}"), True),
        (a_transform(x="board.x"), True),
        (an_agent("${item}"), False),
    ],
)
def test_items_in_runs_of_their_own_share_the_board_where_they_use_it(inner: dict[str, Any], uses: bool) -> None:
    each = {"kind": "each", "over": "${input.list}", "graph": {"nodes": {"i": inner}, "edges": []}, "spread": True}
    assert not [code for _, code, _ in a_line(each) if code == "not_available"]
    nodes = {"start": START, "a": each, "result": RESULT}
    assert shares_board(parsed(nodes, "start > a", "a > result")) is uses
    assert not shares_board(parsed({**nodes, "a": {**each, "spread": False}}, "start > a", "a > result"))


def a_call(**fields: Any) -> dict[str, Any]:
    return {"kind": "pipeline", "pipeline": "child", "inputs": {"topic": "${input.topic}"}, **fields}


def test_a_sound_sub_pipeline_has_no_problem() -> None:
    assert a_line(a_call()) == []
    assert a_line(a_call(share_board=True, detached=True)) == []
    assert a_line(a_call(pipeline="child@1", on_error={"fallback": [{"pipeline": "child"}]})) == []


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        (a_call(pipeline="nobody"), ("error", "unknown_pipeline", "a/pipeline")),
        (a_call(pipeline="child@9"), ("error", "unknown_pipeline", "a/pipeline")),
        (a_call(inputs={}), ("error", "missing_argument", "a/inputs")),
        (a_call(inputs={"topic": "x", "more": 1}), ("error", "unknown_argument", "a/inputs/more")),
        (a_call(inputs={"topic": 3}), ("error", "type_mismatch", "a/inputs/topic")),
        (a_call(inputs={"topic": "${input.topc}"}), ("error", "unknown_input", "a/inputs/topic")),
        (a_call(on_error={"fallback": [{"model": "demo/echo"}]}), ("error", "not_available", "a/on_error/fallback/0")),
        (
            an_agent(on_error={"fallback": [{"pipeline": "nobody"}]}),
            ("error", "unknown_pipeline", "a/on_error/fallback/0/pipeline"),
        ),
        (
            an_agent(on_error={"fallback": [{"pipeline": "child"}]}),
            ("error", "missing_argument", "a/on_error/fallback/0"),
        ),
        (
            {"kind": "transform", "set": {"x": "1"}, "on_error": {"fallback": [{"pipeline": "child"}]}},
            ("error", "not_available", "a/on_error/fallback/0"),
        ),
        (
            {"kind": "team", "task": "Win.", "members": ["writer"], "on_error": {"fallback": [{"pipeline": "child"}]}},
            ("error", "missing_argument", "a/on_error/fallback/0"),
        ),
        (an_agent(tools=["pipeline:child"]), ("error", "tool_not_granted", "a/tools/0")),
    ],
)
def test_what_is_wrong_with_starting_a_pipeline(step: dict[str, Any], problem: tuple[str, str, str]) -> None:
    assert problem in a_line(step)


MODELS = {"on_error": {"fallback": [{"model": "demo/echo"}, {"agent": "writer"}]}}
ROUTES: dict[str, Any] = {"routes": [{"port": "done", "when": "true"}], "otherwise": "done"}


@pytest.mark.parametrize(
    ("step", "is_used"),
    [
        (an_agent(), True),
        ({"kind": "decide", "mode": "ai", "agent": "writer", "value": "x", **ROUTES}, True),
        ({"kind": "combine", "merge": "synthesize", "agent": "writer"}, True),
        (a_check({"rule": "ai_rubric", "rubric": "Is it kind?", "agent": "writer"}), True),
        ({"kind": "team", "task": "Win.", "members": ["writer"]}, True),
        ({"kind": "supervisor", "task": "Win.", "agent": "writer", "workers": [{"agent": "writer"}]}, True),
        (a_transform(x="1"), False),
        ({"kind": "decide", "mode": "rules", **ROUTES}, False),
        ({"kind": "combine"}, False),
        (a_check({"rule": "length", "max": 9}), False),
        ({"kind": "board", "op": "read", "key": "x"}, False),
        ({"kind": "each", "over": [1], "graph": {"nodes": {"i": an_agent()}, "edges": []}}, False),
    ],
)
def test_a_model_that_could_never_stand_in_for_a_step_is_pointed_out(step: dict[str, Any], is_used: bool) -> None:
    found = [(severity, where) for severity, code, where in a_line({**step, **MODELS}) if code == "fallback_unused"]
    named = [("warning", f"a/on_error/fallback/{index}") for index in range(2)]
    assert found == ([] if is_used else named)


def test_fallbacks_of_all_steps_are_for_those_that_they_can_stand_in_for() -> None:
    pipelines = {"on_error": {"fallback": [{"pipeline": "child"}]}}
    for defaults in (MODELS, pipelines):
        for step in (a_transform(x="1"), a_call()):
            codes = {code for _, code, _ in a_line(step, defaults=defaults)}
            assert not codes & {"fallback_unused", "not_available"}
    assert ("error", "missing_argument", "a/on_error/fallback/0") in a_line(an_agent(), defaults=pipelines)


@pytest.mark.parametrize("step", [an_agent(), a_transform(x="1"), a_call(), a_check({"rule": "length", "max": 9})])
def test_the_output_of_every_kind_may_be_judged(step: dict[str, Any]) -> None:
    assert a_line({**step, "checks": [{"rule": "ai_rubric", "rubric": "Is it kind?", "agent": "writer"}]}) == []


def test_the_roles_are_those_of_the_accounts() -> None:
    from accounts.roles import Role

    assert tuple(Role) == ROLES


def test_a_pipeline_needs_a_result_and_should_have_a_start_and_a_cap() -> None:
    document = parsed({"a": an_agent()})
    assert [(p.severity, p.code, p.where) for p in problems(document, LIBRARY)] == [
        ("error", "no_output", "/graph/nodes"),
        ("warning", "dead_end", "/graph/nodes/a"),
        ("warning", "no_input", "/graph/nodes"),
        ("warning", "no_cap", "/budget"),
    ]


def test_steps_at_the_wrong_end_are_errors() -> None:
    codes = {code for _, code, _ in between({"second": START, "a": an_agent()}, "a > start", "start > result")}
    assert {"second_input", "input_not_first", "not_connected"} <= codes
    inside = {"kind": "each", "over": [1], "graph": a_graph({"x": RESULT})}
    assert ("error", "misplaced_step", "a/graph/nodes/x/kind") in a_line(inside)


def test_an_unknown_price_is_an_error_only_under_a_cost_cap() -> None:
    step = an_agent(agent="guesser")
    assert ("error", "unknown_price", "a") in a_line(step)
    assert ("warning", "unknown_price", "a") in a_line(step, budget={})
    assert ("error", "unknown_price", "a") in a_line(step | {"budget": CAP}, budget={})


def test_a_guarded_action_is_not_warned_about() -> None:
    edges = ["start > ask", "ask.approved > send", "send > result"]
    assert between({"ask": ASK, "send": SEND}, *edges) == []
    assert ("error", "bad_guard", "ask/guards") in between({"ask": ASK, "send": SEND}, "start > send", "send > result")
    assert ("error", "bad_guard", "ask/mode") in between({"ask": ASK | {"mode": "answer"}, "send": SEND}, *edges)


def test_reading_a_web_address_is_not_irreversible_unless_the_method_is_open() -> None:
    get = {"kind": "tool", "tool": "http.request", "args": {"method": "GET", "url": "https://x"}}
    assert a_line(get) == []
    assert ("warning", "unguarded_irreversible", "a") in a_line(get | {"args": {"method": "${input.topic}"}})


def test_the_approval_policy_must_name_somebody() -> None:
    nobody = {"irreversible": {"roles": []}}
    assert ("error", "nobody_can_answer", "/approvals/irreversible") in a_line(an_agent(), approvals=nobody)


# Which reads need a default. Each graph reads steps.<name> in the step `use`, after Start.
SURE = {
    "the step before": ("a", {"a": an_agent()}, ["start > a", "a > use"]),
    "the step before that": ("a", {"a": an_agent(), "b": an_agent()}, ["start > a", "a > b", "b > use"]),
    "each of two branches": ("a", {"a": an_agent(), "b": an_agent()}, ["start > a", "start > b", "a > use", "b > use"]),
    "a branch behind a route that was taken before": (
        "b",
        {"r": ROUTE, "a": an_agent(), "b": an_agent(), "c": an_agent()},
        ["start > r", "r.yes > a", "a > b", "a > c", "b > use", "c > use"],
    ),
    "what comes before both routes": (
        "z",
        {"z": an_agent(), "r": ROUTE, "a": an_agent(), "b": an_agent()},
        ["start > z", "z > r", "r.yes > a", "r.no > b", "a > use", "b > use"],
    ),
    "all branches": ("a", {"r": ROUTE, "a": an_agent()}, ["start > r", "r.yes > a", "a > use", "r.no > use"]),
    "two of two that both must come": (
        "a",
        {"a": an_agent(), "b": an_agent(), "two": {"kind": "combine", "wait_for": 2, "min_ok": 2}},
        ["start > a", "start > b", "a > two", "b > two", "two > use"],
    ),
    "a step with a default output": (
        "a",
        {"a": an_agent(on_error={"then": "use_default"})},
        ["start > a", "a > use"],
    ),
}
UNSURE = {
    "one of two routes": (
        "a",
        {"r": ROUTE, "a": an_agent(), "b": an_agent()},
        ["start > r", "r.yes > a", "r.no > b", "a > use", "b > use"],
    ),
    "a route that may be passed by": (
        "a",
        {"r": ROUTE, "a": an_agent()},
        ["start > r", "r.yes > a", "a > use", "r.no > use"],
    ),
    "a branch behind a tolerant combine": (
        "a",
        {"a": an_agent(), "b": an_agent(), "all": {"kind": "combine"}},
        ["start > a", "start > b", "a > all", "b > all", "all > use"],
    ),
    "one of two, where one is enough when no more can come": (
        "a",
        {"a": an_agent(), "b": an_agent(), "two": {"kind": "combine", "wait_for": 2}},
        ["start > a", "start > b", "a > two", "b > two", "two > use"],
    ),
    "the slower of two in a combine whose minimum never counts": (
        "a",
        {"a": an_agent(), "b": an_agent(), "two": {"kind": "combine", "wait_for": "first", "min_ok": 2}},
        ["start > a", "start > b", "a > two", "b > two", "two > use"],
    ),
    "a step that failed on the way here": (
        "a",
        {"a": an_agent(on_error={"then": "route"})},
        ["start > a", "a.error > use"],
    ),
    "a disabled step": ("a", {"a": an_agent(disabled=True)}, ["start > a", "a > use"]),
    "the slower of two": ("a", {"a": an_agent(), "b": an_agent()}, ["start > a", "start > b", "a > use", "b > use"]),
}


@pytest.mark.parametrize("name", SURE)
def test_what_has_certainly_run_needs_no_default(name: str) -> None:
    read, nodes, edges = SURE[name]
    wait_for = "all" if name == "all branches" else "settled"
    use = an_agent(f"${{steps.{read}.output}}", wait_for=wait_for)
    codes = [code for _, code, _ in between({**nodes, "use": use}, *edges, "use > result")]
    assert "needs_default" not in codes
    assert "not_before" not in codes


@pytest.mark.parametrize("name", UNSURE)
def test_what_may_have_been_skipped_needs_a_default(name: str) -> None:
    read, nodes, edges = UNSURE[name]
    wait_for = "first" if name == "the slower of two" else "settled"
    use = an_agent(f"${{steps.{read}.output}}", wait_for=wait_for)
    assert ("error", "needs_default", "use/prompt") in between({**nodes, "use": use}, *edges, "use > result")
    safe = an_agent(f"${{steps.{read}.output | default('none')}}", wait_for=wait_for)
    assert "needs_default" not in [code for _, code, _ in between({**nodes, "use": safe}, *edges, "use > result")]


def test_an_expression_provides_for_a_missing_step_with_has() -> None:
    _, nodes, edges = UNSURE["one of two routes"]
    guarded = a_transform(x="has(steps.a.output) ? steps.a.output : 'none'")
    assert "needs_default" not in [c for _, c, _ in between({**nodes, "use": guarded}, *edges, "use > result")]


def an_each(inner: dict[str, Any], *edges: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "each", "over": "${input.list | default([])}", "graph": a_graph(inner, *edges), **fields}


def test_a_container_sees_its_item_and_the_steps_before_it() -> None:
    inner = {"x": an_agent("${topic} ${item} ${item_index} ${steps.b.output} ${input.topic}")}
    nodes = {"b": an_agent(), "loop": an_each(inner, **{"as": "topic"})}
    assert between(nodes, "start > b", "b > loop", "loop > result") == []


def test_a_container_does_not_see_beside_it_nor_others_into_it() -> None:
    nodes = {
        "b": an_agent(),
        "loop": an_each({"x": an_agent("${steps.b.output}")}),
        "after": an_agent("${steps.x.output}"),
    }
    codes = between(nodes, "start > b", "start > loop", "loop > after", "b > after", "after > result")
    assert ("error", "not_before", "loop/graph/nodes/x/prompt") in codes
    assert ("error", "unknown_step", "after/prompt") in codes


def test_the_result_of_a_container_reads_its_steps() -> None:
    assert a_line(an_each({"x": an_agent()}, result="${steps.x.output}")) == []
    assert ("error", "unknown_step", "a/result") in a_line(an_each({"x": an_agent()}, result="${steps.y.output}"))
    assert ("error", "missing_result", "a") in a_line(an_each({"x": an_agent(), "y": an_agent()}))
    assert ("error", "empty_container", "a/graph/nodes") in a_line(an_each({}))
    contained = an_each({"x": an_agent(on_error={"then": "skip"})})
    assert ("warning", "needs_default", "a/result") in a_line(contained)


def test_a_for_each_needs_a_list_and_a_free_name() -> None:
    for over in ("${input.topic}", "${steps.start.output.topic}", "topics", 7):
        assert ("error", "type_mismatch", "a/over") in a_line(an_each({"x": an_agent()}) | {"over": over})
    assert ("error", "reserved_name", "a/as") in a_line(an_each({"x": an_agent()}, **{"as": "steps"}))


def test_the_rounds_of_a_repeat_are_read_with_a_default() -> None:
    def repeat(prompt: str) -> list[str]:
        step = {"kind": "repeat", "until": "steps.x.output == 'ok'", "graph": a_graph({"x": an_agent(prompt)})}
        return [code for _, code, _ in a_line(step)]

    assert repeat("${round.n} ${round.previous.x.output | default('')}") == []
    assert "needs_default" in repeat("${round.previous.x.output}")
    assert "unknown_step" in repeat("${round.previous.y.output | default('')}")
    assert "unknown_field" in repeat("${round.number}")
    assert "unknown_field" in repeat("${round.previous.x | default('')}")
    assert "unknown_step" in repeat("${round.previous | default('')}")
    assert "type_mismatch" in repeat("${round.previous.x.output.y | default('')}")


def a_repeat(**fields: Any) -> list[tuple[str, str, str]]:
    score = {"x": an_agent(agent="scorer")}
    step = {"kind": "repeat", "until": "steps.x.output.score > 1", "graph": a_graph(score), **fields}
    return a_line({name: value for name, value in step.items() if value is not None})


def test_a_repeat_says_when_it_is_good_and_what_is_best() -> None:
    assert a_repeat() == []
    assert a_repeat(until=None) == []
    assert a_repeat(until=None, on_exhausted="fail") == [("warning", "missing_condition", "a/until")]
    assert a_repeat(on_exhausted="best") == [("error", "missing_best", "a/best_by")]
    assert a_repeat(on_exhausted="best", best_by="steps.x.output.score") == []
    assert a_repeat(on_exhausted="best", no_progress={"metric": "steps.x.output.score"}) == []
    assert a_repeat(best_by="steps.y.output") == [("error", "unknown_step", "a/best_by")]


def test_an_unwired_optional_port_makes_nothing_uncertain() -> None:
    loop = {"kind": "repeat", "until": "true", "graph": a_graph({"x": an_agent()})}
    nodes = {"loop": loop, "b": an_agent(), "join": an_agent("${steps.loop.output} ${steps.b.output}")}
    edges = ["start > loop", "start > b", "loop > join", "b > join", "join > result"]
    assert between(nodes, *edges) == []
    worse = {**nodes, "worse": {"kind": "output", "value": "worse"}}
    codes = [code for _, code, _ in between(worse, *edges, "loop.exhausted > worse")]
    assert codes == ["needs_default"]


def test_what_a_repeat_gives_has_the_type_of_its_result() -> None:
    loop = {"kind": "repeat", "until": "true", "graph": a_graph({"x": an_agent(agent="scorer")})}
    found = between({"a": loop, "b": an_agent("${steps.a.output.grade}")}, "start > a", "a > b", "b > result")
    assert [code for _, code, _ in found] == ["unknown_field"]


def test_types_are_known_through_agents_tools_transforms_and_combines() -> None:
    nodes = {
        "score": an_agent(agent="scorer"),
        "text": an_agent(),
        "set": a_transform(a="1"),
        "send": SEND,
        "all": {"kind": "combine"},
        "use": an_agent("${steps.all.output.score}"),
    }
    edges = ["start > score", "score > text", "text > set", "set > send", "send > all", "all > use", "use > result"]

    def reading(path: str) -> list[str]:
        problems_found = between({**nodes, "use": an_agent(f"${{{path}}}")}, *edges)
        return [code for _, code, where in problems_found if where == "use/prompt" and code != "needs_default"]

    assert reading("steps.score.output.score") == []
    assert reading("steps.score.output.grade") == ["unknown_field"]
    assert reading("steps.score.output.score.x") == ["type_mismatch"]
    assert reading("steps.text.output.title") == ["type_mismatch"]
    assert reading("steps.set.output.b") == ["unknown_field"]
    assert reading("steps.send.output.message_id") == []
    assert reading("steps.send.output.other") == ["undeclared_field"]
    assert reading("steps.all.output.send") == []
    assert reading("steps.all.output.text") == ["unknown_field"]


def test_errors_come_first_and_every_problem_says_where() -> None:
    document = parsed({"a": an_agent("${nope}"), "b": an_agent(agent="nobody")}, "a > b")
    listed = problems(document, LIBRARY)
    assert [p.severity for p in listed] == sorted((p.severity for p in listed), key=lambda s: s != "error")
    assert all(p.where.startswith("/") and p.message for p in listed)
    assert {p.node for p in listed} == {None, "a", "b"}


def test_two_thousand_steps_are_judged_within_two_seconds() -> None:
    count = 2_000
    nodes = {f"n{i}": an_agent(f"${{steps.n{max(i - 1, 0)}.output}}") for i in range(count)}
    edges = [f"n{i} > n{j}" for i in range(count) for j in range(i + 1, min(i + 6, count))]
    document = parsed(nodes, *edges)
    began = time.process_time()
    problems(document, LIBRARY)
    assert time.process_time() - began < 2


TEMPLATES = st.sampled_from(
    ["${steps.a.output}", "${steps.b.output.x[0]}", "${input.q}", "${item}", "${", "plain", "${has(steps.c.output)}"]
)
STEPS = st.one_of(
    TEMPLATES.map(an_agent),
    TEMPLATES.map(lambda text: {"kind": "tool", "tool": "email.send", "args": {"to": text}}),
    TEMPLATES.map(lambda text: a_transform(x=text.strip("${}"))),
    TEMPLATES.map(lambda text: {"kind": "each", "over": text, "graph": a_graph({"a": an_agent(text)})}),
    st.just({"kind": "combine"}),
    st.just(START),
    st.just(RESULT),
)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from("abcd"), STEPS), st.sets(st.sampled_from(["a > b", "b > c", "a > c", "c > d"])))
def test_any_document_that_is_read_can_be_judged(nodes: dict[str, Any], edges: set[str]) -> None:
    fitting = [e for e in sorted(edges) if e[0] in nodes and e[-1] in nodes and nodes[e[0]]["kind"] != Kind.OUTPUT]
    for problem in problems(parsed(nodes, *fitting), LIBRARY):
        assert problem.where.startswith("/")
        assert problem.message


# What a draft may hold as schemas, though none can be published


@pytest.mark.parametrize(
    "schema",
    [
        {"type": None},
        {"type": 5},
        {"type": [[]]},
        {"enum": 5},
        {"properties": []},
        {"properties": {"topic": 5}},
        {"properties": {"topic": {"type": {}}}, "required": 5},
        {"items": "x", "additionalProperties": 5},
        {"$ref": 5},
        {"const": {}, "$ref": "#"},
    ],
    ids=str,
)
def test_a_schema_that_is_none_is_one_problem_and_breaks_no_rule(schema: Any) -> None:
    document = parsed(
        {
            "start": START,
            "a": an_agent("${input.topic.deep[0]}", output_schema=schema),
            "ask": {"kind": "human", "mode": "answer", "form": schema},
            "b": a_transform(x="steps.a.output.topic + steps.ask.output.topic[1]"),
            "all": {
                "kind": "each",
                "over": "${input.topic}",
                "graph": {"nodes": {"one": a_transform(x="item")}, "edges": []},
            },
            "end": RESULT,
        },
        *("start > a", "a > ask", "ask.approved > b", "b > all", "all > end"),
        inputs=schema,
    )
    refused = {problem.where for problem in problems(document, LIBRARY) if problem.code == "bad_schema"}
    places = ("/inputs", "/graph/nodes/a/output_schema", "/graph/nodes/ask/form")
    assert len(refused) == len(places)
    assert all(any(where.startswith(place) for where in refused) for place in places)


def test_thousands_of_steps_that_are_not_there_are_told_at_once() -> None:
    nodes = {f"n{number}": an_agent(f"${{steps.nope{number}.output}}") for number in range(1_500)}
    document = parsed({**nodes, "typo": an_agent("${steps.n1s.output}")})
    started = time.process_time()
    told = [problem.message for problem in problems(document, LIBRARY) if problem.code == "unknown_step"]
    assert time.process_time() - started < 2
    assert len(told) > 100
    assert any("Did you mean" in message for message in told)


@pytest.mark.parametrize(
    ("window", "step", "found"), [(4_096, {}, True), (4_097, {}, False), (10, {"model": "demo/echo"}, False)]
)
def test_an_agent_no_call_of_which_could_fit_is_an_error(window: int, step: dict[str, Any], found: bool) -> None:
    document = parsed({"start": START, "a": an_agent(**step), "result": RESULT}, "start > a", "a > result")
    codes = {one.code for one in problems(document, replace(LIBRARY, windows={"demo/writer": window}))}
    assert ("answer_too_long" in codes) is found
