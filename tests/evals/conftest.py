"""A worker in this process, on the test's database, with demo models that answer at once."""

from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from runs.execution import background
from runs.execution.worker import Worker
from tests.own_worker import a_worker_here
from tests.people import Team, a_team


@pytest.fixture
def team(transactional_db: None) -> Team:
    return a_team()


@pytest.fixture
def worker(team: Team, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    settings.DEMO_LATENCY_MS = 0
    monkeypatch.setattr(background, "POLL_SECONDS", 0.1)
    with a_worker_here() as worker:
        yield worker
