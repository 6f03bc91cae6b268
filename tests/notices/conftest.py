"""The sink's mail and web servers in a thread of their own: what is tested here blocks."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from tests.approvals.builders import Desk, a_desk
from tests.sink import Sink


class _Running(threading.Thread):
    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.loop, self.sink, self.ready = asyncio.new_event_loop(), Sink(), threading.Event()

    def run(self) -> None:
        self.loop.run_until_complete(self.sink.__aenter__())
        self.ready.set()
        self.loop.run_forever()
        self.loop.run_until_complete(self.sink.__aexit__())
        self.loop.close()


@pytest.fixture
def sink(settings: Settings) -> Iterator[Sink]:
    running = _Running()
    running.start()
    assert running.ready.wait(5)
    settings.EGRESS_ALLOW = ["127.0.0.1"]
    settings.EMAIL_URL = f"smtp://127.0.0.1:{running.sink.smtp_port}?from=baton@acme.example"
    settings.BASE_URL = "https://baton.example"
    yield running.sink
    running.loop.call_soon_threadsafe(running.loop.stop)
    running.join(5)


@pytest.fixture
def desk(transactional_db: None) -> Desk:
    return a_desk()
