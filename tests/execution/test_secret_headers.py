"""Secrets in headers: named everywhere, on the wire alone, to the hosts an admin listed; and what agents may reach."""

import asyncio
import json
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from accounts import secrets
from accounts.models import Workspace
from pipelines.graph import gates
from pipelines.graph.hosts import is_among, is_host
from pipelines.library.tools import TOOLS
from runs.engine.facts import StepBlocked, StepError, StepFailed, StepSucceeded
from runs.execution import fetch as wire
from runs.execution.steps import carry_out
from tests.execution.contexts import WORKSPACE, MemoryContext, a_tool_step, an_agent, an_agent_step
from tests.model_server import ModelServer, Reply
from tests.sink import Sink

ASCII = "sk-very-secret-42"


@pytest.fixture
async def kept(transactional_db: None, sink: Sink) -> Sink:
    await asyncio.to_thread(_keep)
    return sink


def _keep() -> None:
    workspace = Workspace.objects.create(id=WORKSPACE, slug="sample", name="Sample")
    secrets.put(workspace, "crm-key", ASCII, ["127.0.0.1"])
    secrets.put(workspace, "elsewhere", ASCII, ["api.example.com"])
    secrets.put(workspace, "no-host", ASCII)


def a_get(sink: Sink, named: dict[str, str], path: str = "/x", **fields: Any) -> MemoryContext:
    return a_tool_step(
        "http.request@1", {"method": "GET", "url": f"{sink.url}{path}", "secret_headers": named}, **fields
    )


def error_of(fact: object) -> StepError:
    assert isinstance(fact, StepFailed), fact
    return fact.error


async def test_the_value_is_on_the_wire_and_nowhere_else(kept: Sink) -> None:
    args = {
        "method": "POST",
        "url": f"{kept.url}/orders",
        "secret_headers": {"Authorization": "Bearer crm-key"},
        "json": 1,
    }
    asked = await carry_out(a_tool_step("http.request@1", args))
    assert isinstance(asked, StepBlocked)
    assert asked.payload["args"]["secret_headers"] == {"Authorization": "Bearer crm-key"}
    assert ASCII not in json.dumps(asked.payload)

    step = a_tool_step(
        "http.request@1", args, grants={gates.payload_hash(gates.payload(TOOLS["http.request@1"], args)): "a"}
    )
    done = await carry_out(step)

    assert isinstance(done, StepSucceeded), done
    assert kept.effects[0]["headers"]["authorization"] == f"Bearer {ASCII}"
    stored = [
        step.intents[0].request,
        step.outcomes[0].response,
        step.outcomes[0].attributes,
        done.output,
        dict(done.meta),
    ]
    assert ASCII not in json.dumps(stored)


async def test_a_server_that_sends_the_secret_back_gets_it_hidden(kept: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = wire._hop

    async def echoing(*args: Any) -> wire.Answer:
        answer = await whole(*args)
        said = json.dumps({"auth": f"Bearer {ASCII}"}).encode()
        return wire.Answer(answer.status, answer.headers, said, answer.url)

    monkeypatch.setattr(wire, "_hop", echoing)

    done = await carry_out(a_get(kept, {"X-Key": "crm-key"}))

    assert isinstance(done, StepSucceeded), done
    assert ASCII not in json.dumps(done.output)
    assert secrets.REDACTED in json.dumps(done.output)


@pytest.mark.parametrize(
    ("name", "code"),
    [("elsewhere", "secret_not_for_host"), ("no-host", "secret_not_for_host"), ("absent", "no_secret")],
)
async def test_a_secret_goes_only_where_an_admin_said(kept: Sink, name: str, code: str) -> None:
    assert error_of(await carry_out(a_get(kept, {"X-Key": name}))).code == code
    assert kept.effects == []


async def test_a_redirect_to_another_place_does_not_take_it_along(kept: Sink) -> None:
    async with Sink() as other:
        done = await carry_out(a_get(kept, {"X-Key": "crm-key"}, f"/redirect?to={other.url}/landed"))

        assert isinstance(done, StepSucceeded), done
        assert ASCII in json.dumps(kept.effects[0]["headers"])
        assert ASCII not in json.dumps(other.effects[0]["headers"])


async def test_it_is_not_sent_in_the_clear_to_a_public_host(kept: Sink) -> None:
    step = a_tool_step(
        "http.request@1", {"method": "GET", "url": "http://api.example.com/x", "secret_headers": {"X-Key": "elsewhere"}}
    )

    assert error_of(await carry_out(step)).code == "secret_in_the_clear"


@pytest.mark.parametrize("value", ["Bearer  crm-key", "crm-key\r\nX-Evil: 1", "../crm-key", "two words crm-key", ""])
async def test_what_does_not_name_a_secret_never_leaves(kept: Sink, value: str) -> None:
    assert error_of(await carry_out(a_get(kept, {"X-Key": value}))).code == "invalid_arguments"
    assert kept.effects == []


async def test_a_header_is_not_given_twice(kept: Sink) -> None:
    args = {
        "method": "GET",
        "url": f"{kept.url}/x",
        "headers": {"authorization": "mine"},
        "secret_headers": {"Authorization": "Bearer crm-key"},
    }

    assert error_of(await carry_out(a_tool_step("http.request@1", args))).code == "bad_header"


@pytest.mark.parametrize("label", ["model", "tool"])
@pytest.mark.parametrize("pointer", ["/args/secret_headers/X-Key", "/args/secret_headers", "/args"])
async def test_no_model_and_no_tool_names_the_secret_of_a_step(kept: Sink, label: str, pointer: str) -> None:
    step = a_get(kept, {"X-Key": "crm-key"}, trust={pointer: label})

    assert error_of(await carry_out(step)).code == "untrusted_secret"
    assert kept.effects == []


# Agents


async def asked_by(agent: Any, server: ModelServer, args: dict[str, Any]) -> tuple[str, str]:
    """Return what the agent was told of its call, and its last answer."""
    server.script(Reply(tool_calls=[{"name": "http_request", "args": args}], times=1), Reply(text="Done."))
    fact = await carry_out(an_agent_step(agent, timeout=20.0))
    assert isinstance(fact, StepSucceeded), fact
    return str(server.calls[-1].body["messages"][-1]["content"]), str(fact.output)


async def test_an_agent_uses_the_secrets_of_its_version_and_no_others(kept: Sink, model_server: ModelServer) -> None:
    args = {"method": "GET", "url": f"{kept.url}/x", "secret_headers": {"X-Key": "crm-key"}}
    without = an_agent("stub/m", tools=("http.request@1",))
    granted = an_agent("stub/m", tools=("http.request@1",), secrets=("crm-key",))

    told, _ = await asked_by(without, model_server, args)
    assert "may not use the secret 'crm-key'" in told
    assert kept.effects == []

    told, _ = await asked_by(granted, model_server, args)
    assert kept.effects[0]["headers"]["x-key"] == ASCII
    assert ASCII not in told


async def test_an_agent_reaches_the_hosts_of_its_version_and_no_others(kept: Sink, model_server: ModelServer) -> None:
    agent = an_agent("stub/m", tools=("http.request@1",), egress=("127.0.0.1",))

    told, _ = await asked_by(agent, model_server, {"method": "GET", "url": "http://169.254.169.254/latest"})
    assert "may not reach 169.254.169.254" in told

    await asked_by(agent, model_server, {"method": "GET", "url": f"{kept.url}/x"})
    assert len(kept.effects) == 1


async def test_a_redirect_does_not_lead_an_agent_out_of_its_hosts(
    kept: Sink, model_server: ModelServer, settings: Settings
) -> None:
    settings.EGRESS_ALLOW = ["127.0.0.1", "localhost"]
    port = kept.url.rpartition(":")[2]
    agent = an_agent("stub/m", tools=("http.request@1",), egress=("127.0.0.1",))
    args = {"method": "GET", "url": f"{kept.url}/redirect?to=http://localhost:{port}/landed"}

    told, _ = await asked_by(agent, model_server, args)

    assert "may not reach localhost" in told
    assert [effect["path"] for effect in kept.effects] == ["/redirect"]


@pytest.mark.parametrize(
    ("host", "entries", "expected"),
    [
        ("api.example.com", ["api.example.com"], True),
        ("API.example.com.", ["api.example.com"], True),
        ("a.b.example.com", ["*.example.com"], True),
        ("example.com", ["*.example.com"], False),
        ("evilexample.com", ["*.example.com"], False),
        ("api.example.com.evil.org", ["api.example.com", "*.example.com"], False),
        ("::1", ["[::1]"], True),
        ("2001:db8::1", ["[2001:0db8:0::1]"], True),
        ("otel_collector", ["otel_collector"], True),
        ("api.example.com", [], False),
    ],
)
def test_a_host_is_among_those_listed_or_below_them(host: str, entries: list[str], expected: bool) -> None:
    assert is_among(host, entries) is expected


@pytest.mark.parametrize(
    "entry", ["https://example.com", "example.com:443", "example.com/x", "*", "*.", "A.com", "", "a b"]
)
def test_what_is_no_host_is_refused(entry: str) -> None:
    assert not is_host(entry)
