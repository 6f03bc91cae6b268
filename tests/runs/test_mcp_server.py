"""Published pipelines are tools of the Model Context Protocol: with a token, and for the protocol's own client."""

import asyncio
import json
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client

from accounts.access import Actor
from accounts.roles import Role, Scope
from pipelines import drafts, gallery, publish
from pipelines.graph.tools import ToolSpec
from pipelines.library import mcp as library
from pipelines.models import Pipeline
from runs import offered
from runs.execution.mcp import client as protocol
from runs.execution.mcp.client import Server
from runs.models import Run
from runs.views import mcp
from tests.conftest import LiveStack
from tests.people import Team, a_member, a_team, a_workspace, acting, bearer, signed_in_as
from tests.pipelines.builders import a_document, a_pipeline, a_writer

INPUT = {"topic": "tides"}


@pytest.fixture
def alice(db: Any, monkeypatch: pytest.MonkeyPatch) -> Actor:
    monkeypatch.setattr(mcp, "WAIT_SECONDS", 0.0)
    workspace = a_workspace("acme")
    return acting(a_member(workspace, "alice", Role.COMPOSER), workspace)


@pytest.fixture
def pipeline(alice: Actor) -> Pipeline:
    a_writer(alice)
    inputs = {"type": "object", "required": ["topic"], "properties": {"topic": {"type": "string"}}}
    made = drafts.create(alice, a_document(inputs=inputs))
    publish.publish(alice, made)
    return made


class Program:
    """A program that speaks the protocol with somebody's token."""

    def __init__(self, actor: Actor, *scopes: Scope) -> None:
        self._headers = bearer(actor.user, actor.workspace, *scopes)
        self._client = Client()

    def send(self, message: Any, **headers: str) -> Any:
        body = message if isinstance(message, str) else json.dumps(message)
        return self._client.post("/mcp", body, content_type="application/json", headers={**self._headers, **headers})

    def ask(self, method: str, **params: Any) -> Any:
        answer = self.send({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
        assert answer.status_code == 200
        said = answer.json()
        assert (said["jsonrpc"], said["id"]) == ("2.0", 7)
        return said

    def call(self, name: str, **arguments: Any) -> Any:
        return self.ask("tools/call", name=name, arguments=arguments)["result"]


def test_a_published_pipeline_is_a_tool_with_its_inputs_and_a_draft_is_none(alice: Actor, pipeline: Pipeline) -> None:
    drafts.create(alice, a_document("unready"))
    reading, tool = Program(alice).ask("tools/list")["result"]["tools"]
    assert (reading["name"], tool["name"]) == ("readRun", pipeline.slug)
    assert tool["inputSchema"]["type"] == "object"
    assert "topic" in tool["inputSchema"]["properties"]
    drafts.archive(alice, pipeline)
    assert len(Program(alice).ask("tools/list")["result"]["tools"]) == 1


def test_tools_come_page_by_page(alice: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offered, "PAGE", 2)
    a_writer(alice)
    for slug in ("a", "b", "c"):
        publish.publish(alice, a_pipeline(alice, slug))
    first = Program(alice).ask("tools/list")["result"]
    assert [tool["name"] for tool in first["tools"]] == ["readRun", "a", "b"]
    second = Program(alice).ask("tools/list", cursor=first["nextCursor"])["result"]
    assert ([tool["name"] for tool in second["tools"]], "nextCursor" in second) == (["c"], False)


def test_a_call_starts_a_run_and_readrun_tells_later_what_came_of_it(alice: Actor, pipeline: Pipeline) -> None:
    program = Program(alice)
    told = program.call(pipeline.slug, **INPUT)
    run = Run.objects.get()
    assert (run.via, run.input, run.started_by) == ("mcp", INPUT, alice.user)
    assert (told["isError"], told["structuredContent"]["state"]) == (False, "queued")
    assert f"readRun with run={run.pk}" in told["content"][0]["text"]
    Run.objects.update(state="succeeded", output={"answer": "high"})
    told = program.call("readRun", run=str(run.pk))
    assert told["content"][0]["text"] == '{"answer":"high"}'
    assert told["structuredContent"]["output"] == {"answer": "high"}
    Run.objects.update(state="failed", output=None, error={"message": "It broke."})
    told = program.call("readRun", run=str(run.pk))
    assert told["isError"]
    assert "It broke." in told["content"][0]["text"]


def test_a_number_that_came_back_from_the_database_beyond_64_bits_is_told_too(alice: Actor, pipeline: Pipeline) -> None:
    run = offered.call(alice, pipeline.slug, INPUT)
    Run.objects.filter(pk=run.pk).update(state="succeeded", output={"sum": 1e20})
    run.refresh_from_db()
    assert offered.words(run) == '{"sum":1e+20}'


def test_what_cannot_be_is_said_to_the_model_and_starts_nothing(alice: Actor, pipeline: Pipeline) -> None:
    program = Program(alice)
    wrong = program.call(pipeline.slug, topic=5)
    assert wrong["isError"]
    assert "/topic" in wrong["content"][0]["text"]
    for run in ("x", "", "00000000-0000-0000-0000-000000000000"):
        assert program.call("readRun", run=run)["isError"]
    for params in ({"name": "ghost"}, {"name": 5}, {"name": pipeline.slug, "arguments": [1]}):
        assert program.ask("tools/call", **params)["error"]["code"] == -32602
    assert program.ask("tools/list", cursor=5)["error"]["code"] == -32602
    assert program.ask("resources/list")["error"]["code"] == -32601
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("message", "status", "code"),
    [
        ("{", 400, -32700),
        ('{"jsonrpc": "2.0", "id": 1, "id": 2, "method": "ping"}', 400, -32700),
        ('{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "\\u0000"}}', 400, -32700),
        ("[]", 200, -32600),
        ({"id": 1, "method": "ping"}, 200, -32600),
        ({"jsonrpc": "2.0", "id": None, "method": "ping"}, 200, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": [1]}, 200, -32602),
    ],
)
def test_what_is_no_request_is_answered_as_the_protocol_says(
    alice: Actor, message: Any, status: int, code: int
) -> None:
    answer = Program(alice).send(message)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_notifications_and_answers_want_none(alice: Actor) -> None:
    for message in ({"method": "notifications/initialized"}, {"id": 1, "result": {}}):
        answer = Program(alice).send({"jsonrpc": "2.0", **message})
        assert (answer.status_code, answer.content) == (202, b"")


def test_the_version_is_agreed_on_and_another_refused(alice: Actor) -> None:
    program = Program(alice)
    for wanted, agreed in (("2025-03-26", "2025-03-26"), ("1999-01-01", "2025-06-18")):
        assert program.ask("initialize", protocolVersion=wanted)["result"]["protocolVersion"] == agreed
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert program.send(ping, **{"MCP-Protocol-Version": "1999-01-01"}).status_code == 400
    assert program.send(ping, **{"MCP-Protocol-Version": "2025-06-18"}).json()["result"] == {}


def test_only_a_token_opens_it_and_only_as_far_as_its_person_and_scopes_go(alice: Actor, pipeline: Pipeline) -> None:
    ping = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"})
    for client in (Client(), signed_in_as(alice.user)):
        assert client.post("/mcp", ping, content_type="application/json").status_code == 401
    assert Program(alice).send(ping, Origin="https://evil.example").status_code == 403
    assert Program(alice).send(ping, Authorization="Bearer baton_ghost").status_code == 401
    assert Client().get("/mcp").status_code == 405
    assert Program(alice, Scope.READ).call(pipeline.slug, **INPUT)["isError"]
    bob = acting(a_member(alice.workspace, "bob", Role.REVIEWER), alice.workspace)
    assert Program(bob).call(pipeline.slug, **INPUT)["isError"]
    elsewhere = a_workspace("globex")
    charlie = Program(acting(a_member(elsewhere, "charlie", *Role), elsewhere))
    assert charlie.ask("tools/call", name=pipeline.slug, arguments=INPUT)["error"]["code"] == -32602
    assert not Run.objects.exists()
    Program(alice).call(pipeline.slug, **INPUT)
    assert charlie.call("readRun", run=str(Run.objects.get().pk))["isError"]


@pytest.mark.django_db(transaction=True)
def test_the_protocols_own_client_lists_calls_and_gets_the_output(live_stack: LiveStack) -> None:
    team: Team = a_team()
    pipeline = gallery.instantiate(acting(team.alice), "one-agent")
    token = bearer(team.alice, team.workspace)["Authorization"].removeprefix("Bearer ")
    server = Server("baton", f"{live_stack.url}/mcp", token, trusted_address=True)

    async def used() -> Any:
        async with asyncio.timeout(60):
            tools = await protocol.offered(server)
            definition = library.read(next(tool for tool in tools if tool["name"] == pipeline.slug))
            spec = ToolSpec(
                id=f"mcp.baton.{pipeline.slug}@1",
                title=pipeline.name,
                description=definition.description,
                args_schema=definition.args_schema,
                result_schema=definition.result_schema,
                connection="baton",
                remote=pipeline.slug,
                pin=definition.pin,
            )
            return await protocol.call(server, spec, gallery.template("one-agent").sample, "key")

    answer = async_to_sync(used)()
    run = Run.objects.get()
    assert (run.state, run.via) == ("succeeded", "mcp")
    assert answer["structured"]["output"] == run.output
