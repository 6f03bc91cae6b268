"""The stage of the fault tests: the outside processes live for the session, workers only for their test."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.own import OwnBroker, OwnDatabase
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
    with _on_stage(tmp_path, _models, _sink) as stage:
        yield stage


@pytest.fixture
def own_database(no_live_stack: None) -> Iterator[OwnDatabase]:
    folder = _open_folder("baton-database-")
    database = OwnDatabase(folder)
    yield database
    database.remove()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def its_stage(
    own_database: OwnDatabase, tmp_path: Path, _models: Outside, _sink: tuple[Outside, int]
) -> Iterator[Stage]:
    """The stage in a database that the test may kill."""
    with _on_stage(tmp_path, _models, _sink) as stage:
        yield stage


@pytest.fixture
def own_broker() -> Iterator[OwnBroker]:
    broker = OwnBroker(_open_folder("baton-broker-"))
    yield broker
    broker.remove()


@contextmanager
def _on_stage(folder: Path, models: Outside, sink: tuple[Outside, int]) -> Iterator[Stage]:
    for outside in (models, sink[0]):
        outside.ask("/admin/reset", {})
    stage = Stage(folder, models, *sink)
    yield stage
    for worker in stage.workers:
        worker.stop()


def _open_folder(prefix: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o755)  # as root, PostgreSQL runs as another user
    return folder
