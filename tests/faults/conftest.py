"""The stage of the fault tests: the outside processes live for the session, workers only for their test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.stage import Outside, Stage, free_ports


@pytest.fixture(scope="session")
def _models() -> Iterator[Outside]:
    models = Outside("tests.model_server", free_ports()[0])
    yield models
    models.stop()


@pytest.fixture(scope="session")
def _sink() -> Iterator[tuple[Outside, int]]:
    http, smtp = free_ports()
    sink = Outside("tests.sink", http, smtp)
    yield sink, smtp
    sink.stop()


@pytest.fixture
def stage(no_live_stack: None, tmp_path: Path, _models: Outside, _sink: tuple[Outside, int]) -> Iterator[Stage]:
    sink, smtp_port = _sink
    for outside in (_models, sink):
        outside.ask("/admin/reset", {})
    stage = Stage(tmp_path, _models, sink, smtp_port)
    yield stage
    for worker in stage.workers:
        worker.stop()
