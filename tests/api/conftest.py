"""Fixtures of the tests that look at the whole API and every page from outside."""

from collections.abc import Iterator

import pytest

from orchestrator_site import health
from runs.execution.mcp import client
from tests.api.programs import Program
from tests.api.world import World, a_world


@pytest.fixture
def world(db: None) -> World:
    return a_world()


@pytest.fixture(autouse=True)
def _no_server_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The world's MCP connection leads nowhere: its server offers nothing."""

    async def offered(server: object) -> list[object]:
        return []

    monkeypatch.setattr(client, "offered", offered)


@pytest.fixture(autouse=True)
def _no_worker_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Walks come by `/readyz` a hundred times, and nobody works here who could answer it in its 1.5 seconds."""
    monkeypatch.setattr(health, "PING_SECONDS", 0.01)


@pytest.fixture(scope="module")
def slowest() -> Iterator[dict[str, float]]:
    """Collects how long each refusal took, and says at the end of the module which took longest."""
    took: dict[str, float] = {}
    yield took
    if took:
        name = max(took, key=lambda one: took[one])
        print(f"the slowest of {len(took)} answers took {took[name]:.3f} s: {name}")


@pytest.fixture
def program(world: World, slowest: dict[str, float]) -> Program:
    return Program(world, slowest)
