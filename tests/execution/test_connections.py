"""From a model's name to an open client: connection rows, secrets, the operator's keys, and what each refuses."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from accounts import secrets
from accounts.models import Workspace
from pipelines.models import Connection
from runs.engine.facts import ErrorClass, StepFailed, StepSucceeded
from runs.execution.models import registry
from runs.execution.steps import carry_out
from tests.execution.contexts import WORKSPACE, an_agent, an_agent_step
from tests.model_server import ModelServer, Reply

KEY = "sk-very-secret-0123456789"


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as running:
        yield running
        await registry.close()


async def connected(server: ModelServer, **fields: Any) -> None:
    def save() -> None:
        workspace, _ = Workspace.objects.get_or_create(id=WORKSPACE, slug="sample", name="Sample")
        secrets.put(workspace, "local-key", KEY)
        values = {
            "kind": "openai",
            "base_url": server.base_url,
            "trusted_address": True,
            "secret": "local-key",
            **fields,
        }
        Connection.objects.update_or_create(workspace=workspace, name="local", defaults=values)

    await asyncio.to_thread(save)


@pytest.mark.django_db(transaction=True)
async def test_a_connection_sends_its_secret_and_keeps_one_client(server: ModelServer) -> None:
    await connected(server)
    for _ in range(2):
        assert isinstance(await carry_out(an_agent_step(an_agent("local/m"))), StepSucceeded)

    assert {call.headers["authorization"] for call in server.calls} == {f"Bearer {KEY}"}
    first = await registry.adapter(WORKSPACE, "local/m")
    assert first is await registry.adapter(WORKSPACE, "local/m")


@pytest.mark.django_db(transaction=True)
async def test_a_changed_connection_is_noticed(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "ROUTE_SECONDS", 0.0)
    await connected(server, secret="")
    await carry_out(an_agent_step(an_agent("local/m")))
    await connected(server)

    await carry_out(an_agent_step(an_agent("local/m")))

    assert [call.headers["authorization"] for call in server.calls] == ["Bearer none", f"Bearer {KEY}"]


@pytest.mark.django_db(transaction=True)
async def test_a_key_that_a_server_sends_back_is_never_kept(server: ModelServer) -> None:
    await connected(server)
    server.script(Reply(text=f"Your key is {KEY}."))
    step = an_agent_step(an_agent("local/m"))

    fact = await carry_out(step)

    assert isinstance(fact, StepSucceeded)
    assert KEY not in str(fact) + str(step.outcomes) + str(step.intents)


@pytest.mark.django_db(transaction=True)
async def test_the_operator_s_key_serves_a_workspace_without_connections(server: ModelServer, settings: Any) -> None:
    settings.PROVIDER_ENV = {"openai": ("operator-key", server.base_url)}

    assert isinstance(await carry_out(an_agent_step(an_agent("openai/m"))), StepSucceeded)
    assert server.calls[0].headers["authorization"] == "Bearer operator-key"


@pytest.mark.django_db(transaction=True)
async def test_an_unknown_connection_and_a_missing_secret_are_named(server: ModelServer) -> None:
    await connected(server, secret="gone")
    for ref, code in (("nobody/m", "no_such_model"), ("local/m", "no_secret"), ("demo/poet", "no_such_model")):
        step = an_agent_step(an_agent(ref))
        fact = await carry_out(step)
        assert isinstance(fact, StepFailed)
        assert (fact.error.cls, fact.error.code) == (ErrorClass.CONFIG, code)
        assert step.outcomes[0].state == "failed"


@pytest.mark.parametrize(("kind", "name"), [("anthropic", "anthropic"), ("google", "gcp.gemini")])
@pytest.mark.django_db(transaction=True)
async def test_the_other_providers_are_asked_over_the_same_guarded_wire(
    server: ModelServer, kind: str, name: str
) -> None:
    await connected(server, kind=kind, base_url=server.base_url.removesuffix("/v1"))

    # the first import of a provider's library alone takes seconds
    fact = await carry_out(an_agent_step(an_agent("local/m"), timeout=60.0))

    assert isinstance(fact, StepFailed)  # the server does not speak their language, and says 404
    assert (fact.error.cls, fact.error.code) == (ErrorClass.CONFIG, "no_such_model")
    assert (await registry.adapter(WORKSPACE, "local/m")).provider == name
