"""POST /tools: what an MCP server offers becomes tools that are pinned, and an admin alone says what they do."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.models import AuditEntry, User
from accounts.roles import Scope
from pipelines import publish
from pipelines.graph.lock import Lock
from pipelines.graph.tools import Effect
from pipelines.library import connections, mcp
from pipelines.library.connections import ConnectionFields
from pipelines.models import McpTool
from tests.mcp_server import ECHO, McpServer
from tests.people import Team, a_team, acting, bearer
from tests.pipelines.builders import a_pipeline, a_writer


@pytest.fixture(scope="module")
def _running() -> Iterator[McpServer]:
    with McpServer() as running:
        yield running


@pytest.fixture
def server(_running: McpServer) -> McpServer:
    _running.tools = {"echo": ECHO}
    return _running


@pytest.fixture
def team(transactional_db: None, server: McpServer) -> Team:
    team = a_team()
    connections.create(acting(team.dana), ConnectionFields("files", "mcp", server.url))
    return team


def call(team: Team, person: User, body: Any, *scopes: Scope) -> Any:
    workspace = team.elsewhere if person == team.charlie else team.workspace
    headers = bearer(person, workspace, *scopes)
    return Client().post("/api/v1/tools", body, "application/json", headers=headers)


def test_a_tool_is_registered_as_irreversible_and_never_sent_twice(team: Team, server: McpServer) -> None:
    hints = {"readOnlyHint": True, "destructiveHint": False}
    server.tools = {"echo": {**ECHO, "annotations": hints, "title": "A harmless ping"}}

    answer = call(team, team.dana, {"connection": "files"})

    assert answer.status_code == 201, answer.content
    (tool,) = answer.json()["items"]
    assert tool["id"] == "mcp.files.echo@1"
    assert (tool["effect"], tool["delivery"]) == ("irreversible", "neither")
    assert tool["title"] == "echo at files"
    listed = Client().get("/api/v1/tools", headers=bearer(team.bob, team.workspace)).json()["items"]
    assert [item["id"] for item in listed if item["connection"]] == ["mcp.files.echo@1"]
    assert AuditEntry.objects.filter(action="tool.registered", target="mcp.files.echo@1").exists()


def test_only_an_admin_says_what_a_tool_does(team: Team) -> None:
    said = {"connection": "files", "tools": [{"name": "echo", "effect": "none", "delivery": "idempotent"}]}

    for person in (team.alice, team.bob, team.carol, team.erin):
        assert call(team, person, said).status_code == 403
    assert call(team, team.charlie, said).status_code == 404
    assert call(team, team.dana, said, Scope.EDIT).status_code == 403
    assert not McpTool.objects.exists()

    tool = call(team, team.dana, said).json()["items"][0]
    assert (tool["id"], tool["effect"], tool["delivery"]) == ("mcp.files.echo@1", "none", "idempotent")


def test_what_was_said_of_the_old_words_does_not_hold_for_new_ones(team: Team, server: McpServer) -> None:
    call(team, team.dana, {"connection": "files", "tools": [{"name": "echo", "effect": "none"}]})
    again = call(team, team.dana, {"connection": "files"}).json()["items"]
    server.tools = {"echo": {**ECHO, "description": "Deletes it."}}
    changed = call(team, team.dana, {"connection": "files"}).json()["items"]

    assert [(tool["id"], tool["effect"]) for tool in again] == [("mcp.files.echo@1", "none")]
    assert again[0]["delivery"] == "idempotent"
    assert [(tool["id"], tool["effect"]) for tool in changed] == [("mcp.files.echo@2", "irreversible")]


def test_a_version_pins_the_words_it_was_published_with(team: Team, server: McpServer) -> None:
    call(team, team.dana, {"connection": "files"})
    alice = acting(team.alice)
    a_writer(alice, tools=("mcp.files.echo@1",))
    pipeline = a_pipeline(alice)
    version = publish.publish(alice, pipeline)
    server.tools = {"echo": {**ECHO, "description": "Deletes it."}}
    call(team, team.dana, {"connection": "files", "tools": [{"name": "echo", "effect": "none"}]})

    tool = Lock.from_json(version.lock).tools["mcp.files.echo@1"]

    assert tool.effect is Effect.IRREVERSIBLE
    assert tool.description == ECHO["description"]
    assert tool.pin == mcp.pin_of(ECHO)


def test_hostile_tools_are_refused_one_by_one(team: Team, server: McpServer) -> None:
    looping: dict[str, Any] = {"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}}
    server.tools = {
        "echo": ECHO,
        "loop": {**ECHO, "name": "loop", "inputSchema": looping},
        "fetch": {**ECHO, "name": "fetch", "inputSchema": {"type": "object", "$ref": "http://169.254.169.254/"}},
        "slow": {
            **ECHO,
            "name": "slow",
            "inputSchema": {"type": "object", "properties": {"a": {"pattern": "(a)\\1"}}},
        },
        "long": {**ECHO, "name": "long", "description": "x" * 5_000},
        "bad name": {**ECHO, "name": "bad name"},
        "../up@9": {**ECHO, "name": "../up@9"},
        "hidden": {**ECHO, "name": "hidden", "description": "Adds.\U000e0041\u200b\u202e"},
    }

    answer = call(team, team.dana, {"connection": "files"}).json()

    assert [tool["id"] for tool in answer["items"]] == ["mcp.files.echo@1", "mcp.files.hidden@1"]
    assert {tool["name"] for tool in answer["refused"]} == {"loop", "fetch", "slow", "long", "bad name", "../up@9"}
    assert answer["items"][1]["description"] == "Adds."


def test_a_server_that_does_not_answer_is_named(team: Team) -> None:
    connections.create(acting(team.dana), ConnectionFields("away", "mcp", "http://127.0.0.1:9/mcp"))

    answer = call(team, team.dana, {"connection": "away"})

    assert (answer.status_code, answer.json()["code"]) == (502, "server_unreachable")


def test_a_tool_that_is_not_offered_is_named(team: Team) -> None:
    answer = call(team, team.dana, {"connection": "files", "tools": [{"name": "rm"}]})

    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_tool")
    assert answer.json()["where"] == "/tools/0/name"


@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries(
        {"name": st.text(max_size=80)},
        optional={
            "description": st.one_of(st.none(), st.text(max_size=200), st.integers()),
            "inputSchema": st.recursive(
                st.one_of(st.none(), st.booleans(), st.text(max_size=20), st.just("object")),
                lambda inner: st.one_of(
                    st.lists(inner, max_size=3),
                    st.dictionaries(st.sampled_from(["type", "properties", "$ref", "pattern", "items"]), inner),
                ),
            ),
            "outputSchema": st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
        },
    )
)
def test_whatever_a_server_says_is_read_or_refused(offered: dict[str, Any]) -> None:
    try:
        definition = mcp.read(offered)
    except mcp.Unfit:
        return
    assert definition.remote == offered["name"]
    assert definition.args_schema["type"] == "object"
