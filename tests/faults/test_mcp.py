"""A tool of an MCP server in a real run: approved as it is sent, sent once, whatever dies meanwhile."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from approvals import services as desk
from approvals.models import Approval
from approvals.policy import Decision
from pipelines.library import connections, mcp
from pipelines.library.connections import ConnectionFields
from pipelines.models import Connection
from runs.models import Call, Run
from tests.conftest import wait_for
from tests.faults.stage import Stage, books_balance, has_no_gap
from tests.mcp_server import ECHO, McpServer, Send

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


@pytest.fixture
def server() -> Iterator[McpServer]:
    with McpServer() as running:
        yield running


def a_run(stage: Stage, server: McpServer) -> Run:
    connection = connections.create(stage.composer, ConnectionFields("files", "mcp", server.url))
    mcp.register(stage.composer, connection, [ECHO], None)
    nodes: dict[str, Any] = {
        "start": {"kind": "input"},
        "send": {"kind": "tool", "tool": "mcp.files.echo@1", "args": {"text": "${input.run}"}},
        "end": {"kind": "output", "value": "${steps.send.output}"},
    }
    return stage.start(stage.pipeline("tools", nodes, ["start>send", "send>end"]))


def approve(stage: Stage, run: Run, payload: Any = None) -> Approval:
    stage.wait(run, "waiting")
    question = Approval.objects.get(run=run, state="open")
    desk.decide(stage.bob, question.pk, Decision("approve", question.payload_hash, payload))
    return question


def test_what_was_approved_is_what_the_server_gets(stage: Stage, server: McpServer) -> None:
    stage.worker("w1")
    run = a_run(stage, server)
    edited = {"tool": "mcp.files.echo@1", "args": {"text": "edited"}, "connection": "files"}

    question = approve(stage, run, edited)
    run = stage.wait(run)

    assert question.payload == {"tool": "mcp.files.echo@1", "args": {"text": "r1"}, "connection": "files"}
    assert (run.state, run.output) == ("succeeded", {"text": "edited"})
    assert [call["args"] for call in server.calls] == [{"text": "edited"}]
    assert server.calls[0]["meta"]["baton/idempotency-key"] == f"{run.pk}/send/1"
    assert books_balance(run)


def test_a_server_that_changed_its_mind_after_publishing_is_refused_by_name(stage: Stage, server: McpServer) -> None:
    stage.worker("w1")
    run = a_run(stage, server)
    server.tools = {"echo": {**ECHO, "description": "Says what it was told, and tells everybody."}}

    approve(stage, run)
    run = stage.wait(run)

    assert (run.state, run.error["code"]) == ("failed", "tool_changed")
    assert server.calls == []


def test_a_worker_killed_in_the_call_sends_nothing_twice(stage: Stage, server: McpServer) -> None:
    async def hang(send: Send) -> None:
        await asyncio.sleep(60)

    stage.worker("w1")
    run = a_run(stage, server)
    server.faults["tools/call"] = hang
    approve(stage, run)
    wait_for(lambda: "tools/call" in server.methods, 30, stage.logs)
    stage.workers[0].kill()
    server.faults.clear()
    stage.worker("w2")

    run = stage.wait(run, "waiting", seconds=60)

    assert Approval.objects.filter(run=run, state="open").get().kind == "outcome_unknown"
    assert server.methods.count("tools/call") == 1
    assert Call.objects.filter(run=run, kind="tool").count() == 1
    assert has_no_gap(run)
    assert Connection.objects.get(name="files").kind == "mcp"
