"""What is said of a team before it is published: who is missing, what cannot be, whose answers have another shape."""

from typing import Any

import pytest

from pipelines.graph.freeze import lock
from pipelines.graph.lock import AgentSpec, Library, Price
from pipelines.graph.parse import parse
from pipelines.graph.tools import ToolSpec
from pipelines.graph.validate import problems
from tests.graph.documents import CHILD, RESULT, START, a_document

SHAPED = AgentSpec("shaped@1", "m", output_schema={"type": "object"})
LIBRARY = Library(
    {
        **{f"{name}@1": AgentSpec(f"{name}@1", "m", max_cost_micros=1) for name in ("ann", "ben", "host")},
        "shaped@1": SHAPED,
        "mailer@1": AgentSpec("mailer@1", "m", tools=("email.send@1",)),
        "lost@1": AgentSpec("lost@1", "m", tools=("gone@1",)),
        "starter@1": AgentSpec("starter@1", "m", tools=("pipeline:child",)),
    },
    {"email.send@1": ToolSpec("email.send@1", "Send", "", {})},
    {"m": Price(1, 1)},
    pipelines={"child@1": CHILD},
)


def a_team(**fields: Any) -> dict[str, Any]:
    node = {"kind": "team", "task": "Talk.", "members": ["ann", "ben"], **fields}
    document = a_document({"start": START, "chat": node, "end": RESULT})
    edges = [{"from": "start", "to": "chat"}, {"from": "chat", "to": "end"}]
    return {**document, "graph": {**document["graph"], "edges": edges}, "budget": {"max_cost_usd": "1.00"}}


def found(**fields: Any) -> list[tuple[str, str]]:
    """Return (code, where in the step) of every problem of the team."""
    document = parse(a_team(**fields))
    return [(one.code, one.where.partition("/chat")[2]) for one in problems(document, LIBRARY) if one.node == "chat"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"members": ["ann"]},
        {"members": ["starter"]},
        {"mode": "selector", "agent": "host"},
        {"mode": "handoff"},
        {"mode": "moderator", "agent": "host"},
        {"mode": "debate", "judge": "host"},
        {"mode": "bus", "topics": {"ann": ["x"], "ben": []}},
        {"members": ["shaped", "ann"], "stop": {"until": "turn.n > 2 && turn.by == 'ann' && turn.said != ''"}},
        {"mode": "debate", "judge": "host", "members": ["shaped", "shaped"]},
    ],
)
def test_a_whole_team_has_no_problem(fields: dict[str, Any]) -> None:
    assert found(**fields) == []


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"mode": "debate", "judge": "host", "members": ["ann"]}, ("too_few_members", "/members")),
        ({"mode": "selector"}, ("missing_agent", "/agent")),
        ({"mode": "moderator"}, ("missing_agent", "/agent")),
        ({"mode": "debate"}, ("missing_agent", "/judge")),
        ({"stop": {"agreed_by": 3}}, ("impossible_stop", "/stop/agreed_by")),
        ({"mode": "bus", "topics": {"eve": ["x"]}}, ("unknown_member", "/topics/eve")),
        ({"mode": "handoff", "members": ["ann", "shaped"]}, ("schema_conflict", "/members/1")),
        ({"members": ["ann", "shaped"], "stop": {"agreed_by": 1}}, ("schema_conflict", "/members/1")),
        ({"mode": "selector", "agent": "shaped"}, ("schema_conflict", "/agent")),
        ({"mode": "debate", "judge": "shaped"}, ("schema_conflict", "/judge")),
        ({"stop": {"judge": "shaped"}}, ("schema_conflict", "/stop/judge")),
        ({"stop": {"judge": "nobody"}}, ("unknown_agent", "/stop/judge")),
        ({"members": ["ann", "nobody"]}, ("unknown_agent", "/members/1")),
        ({"members": ["ann", "lost"]}, ("unknown_tool", "/members/1")),
        ({"members": ["ann", "mailer"]}, ("unguarded_irreversible", "/members")),
        ({"stop": {"until": "round.n > 2"}}, ("unknown_reference", "/stop/until")),
        ({"task": "About ${steps.nowhere.output}"}, ("unknown_step", "/task")),
    ],
)
def test_what_cannot_work_is_named(fields: dict[str, Any], problem: tuple[str, str]) -> None:
    assert found(**fields) == [problem]


def test_the_lock_holds_everybody_who_may_be_asked() -> None:
    fields = {"members": ["ann", "mailer"], "mode": "debate", "judge": "host", "stop": {"judge": "ben"}}
    frozen = lock(parse(a_team(**fields)), LIBRARY)
    assert set(frozen.agents) == {"ann@1", "mailer@1", "host@1", "ben@1"}
    assert set(frozen.tools) == {"email.send@1"}
    assert set(frozen.prices) == {"m"}
