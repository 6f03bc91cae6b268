from dataclasses import replace
from typing import Any

import pytest

from pipelines import ops
from pipelines.editor.commands import ops_of
from pipelines.editor.fixes import fix_of
from pipelines.editor.presets import PRESETS, Offer
from pipelines.graph import validate
from pipelines.graph.parse import parse
from pipelines.graph.problems import Problem
from pipelines.library.tools import TOOLS
from tests.graph.documents import LIBRARY, RESULT, START, a_document, an_agent
from tests.pipelines.test_commands import a_desk

SEND = {"kind": "tool", "tool": "email.send@1", "args": {"to": "a@example.com", "body": "Text"}}
FORM = {"type": "object", "properties": {"topic": {"type": "string"}}}


def problems_of(document: dict[str, Any]) -> list[Problem]:
    return validate.problems(parse(document), LIBRARY)


def fixed(document: dict[str, Any], code: str) -> dict[str, Any]:
    """Return the document after the fix of its first problem of this code, which is gone then."""
    problem = next(problem for problem in problems_of(document) if problem.code == code)
    fix = fix_of(problem, document)
    assert fix is not None
    changed, _ = ops.apply(document, fix.ops)
    assert (problem.code, problem.where) not in {(one.code, one.where) for one in problems_of(changed)}
    return changed


@pytest.mark.parametrize(
    ("code", "nodes", "edges", "fields"),
    [
        ("no_cap", {"start": START, "result": RESULT}, ["start > result"], {}),
        ("dead_end", {"start": START, "a": an_agent(), "result": RESULT}, ["start > result", "start > a"], {}),
        ("not_connected", {"start": START, "a": an_agent(), "result": RESULT}, ["start > result", "a > result"], {}),
        ("no_input", {"a": an_agent(), "result": RESULT}, ["a > result"], {}),
        ("no_output", {"start": START, "a": an_agent()}, ["start > a"], {}),
        ("unknown_agent", {"a": {**an_agent(), "agent": "writer@99"}}, [], {}),
        ("optional_input", {"start": START, "a": an_agent("On ${input.topic}.")}, ["start > a"], {"inputs": FORM}),
        (
            "unwired_port",
            {
                "start": START,
                "way": {"kind": "decide", "routes": [{"port": "yes", "when": "true"}], "otherwise": "no"},
                "result": RESULT,
            },
            ["start > way", "way.yes > result"],
            {},
        ),
    ],
)
def test_a_fix_ends_its_problem(code: str, nodes: dict[str, Any], edges: list[str], fields: dict[str, Any]) -> None:
    fixed(a_document(nodes, *edges, **fields), code)


def test_an_approval_is_put_before_the_action_on_every_way_to_it() -> None:
    nodes = {"start": START, "a": an_agent(), "b": an_agent(), "send": SEND, "result": RESULT}
    document = a_document(nodes, "start > a", "start > b", "a > send", "b > send", "send > result")
    changed = fixed(document, "unguarded_irreversible")
    ways = {(edge["from"], edge.get("port", "done")) for edge in changed["graph"]["edges"] if edge["to"] == "send"}
    assert ways == {("approve_send", "approved")}
    assert changed["graph"]["nodes"]["approve_send"]["guards"] == "send"


def test_what_only_a_person_can_say_has_no_fix() -> None:
    assert (
        fix_of(Problem("type_mismatch", "error", "/graph/nodes/a/over", "a", ""), a_document({"a": an_agent()})) is None
    )
    assert fix_of(Problem("dead_end", "warning", "", "ghost", ""), a_document({"a": an_agent()})) is None


@pytest.mark.parametrize("preset", sorted(PRESETS.keys() - {"output", "pipeline"}))
def test_every_preset_dropped_on_an_arrow_can_be_published(preset: str) -> None:
    nodes = {"start": START, "draft": an_agent(), "result": RESULT}
    document = a_document(nodes, "start > draft", "draft > result", budget={"max_cost_usd": "1.00"})
    desk = replace(a_desk(document), offer=Offer(["writer@1", "mailer@1"], sorted(TOOLS)))
    args = {"preset": preset, "on_edge": {"from": "draft", "to": "result"}}
    changed, _ = ops.apply(document, ops_of("add", args, desk))
    found = validate.problems(parse(changed), replace(LIBRARY, tools=TOOLS))
    assert [problem for problem in found if problem.severity == "error"] == []
