"""The scripted model server and the sink in the test's own loop, and a route to the server without a database."""

import importlib
from collections.abc import AsyncIterator

import pytest
from pytest_django.fixtures import Settings

from pipelines.library import models as library
from pipelines.library.models import ModelRoute
from runs.execution.models import registry
from tests.model_server import ModelServer
from tests.sink import Sink


@pytest.fixture(scope="session", autouse=True)
def _import_the_sdk() -> None:
    """Seconds of CPU that no test's timeout should have to cover."""
    importlib.import_module("runs.execution.models.providers")
    importlib.import_module("runs.execution.models.openai_client")


@pytest.fixture(autouse=True)
def _no_delay(settings: Settings) -> None:
    settings.DEMO_LATENCY_MS = 0


@pytest.fixture
async def model_server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ModelServer]:
    """`stub/NAME` leads to this server."""
    async with ModelServer() as server:

        def route(_workspace: object, ref: str) -> ModelRoute:
            _, _, model = ref.partition("/")
            return ModelRoute(ref, model, "openai", "stub", server.base_url, trusted_address=True)

        monkeypatch.setattr(library, "route", route)
        yield server
        await registry.close()


@pytest.fixture
async def sink(settings: Settings) -> AsyncIterator[Sink]:
    """The sink's address is the only private one that tools may reach; mail goes to its SMTP port."""
    async with Sink() as running:
        settings.EGRESS_ALLOW = ["127.0.0.1"]
        settings.EMAIL_URL = f"smtp://127.0.0.1:{running.smtp_port}"
        yield running
