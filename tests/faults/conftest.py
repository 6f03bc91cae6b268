"""The stage of the fault tests: the outside processes live for the session, workers only for their test."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from runs.execution import tools as runners
from runs.execution.context import ToolCall
from runs.execution.models import registry
from tests.faults.carried import TOOLS, Stand
from tests.faults.machines import network, passing_on
from tests.faults.mortal import World
from tests.faults.own import OwnBroker, OwnDatabase
from tests.faults.site import Site
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
def stage(transactional_db: None, tmp_path: Path, _models: Outside, _sink: tuple[Outside, int]) -> Iterator[Stage]:
    with _on_stage(tmp_path, _models, _sink) as stage:
        yield stage


@pytest.fixture
def own_database(transactional_db: None) -> Iterator[OwnDatabase]:
    folder = open_folder("baton-database-")
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
    broker = OwnBroker(open_folder("baton-broker-"))
    yield broker
    broker.remove()


@pytest.fixture
def site(transactional_db: None, tmp_path: Path, _models: Outside, _sink: tuple[Outside, int]) -> Iterator[Site]:
    """An installation of four workers and two web servers on machines of their own; its proxy is not there yet."""
    with ExitStack() as stack:
        net = stack.enter_context(network())
        database = OwnDatabase(open_folder("baton-database-"), net.database_host)
        stack.callback(database.remove)
        broker = OwnBroker(open_folder("baton-broker-"), net.host)
        stack.callback(broker.remove)
        if net.host != "127.0.0.1":
            ports = (_models.port, _sink[0].port, _sink[1])
            stack.enter_context(passing_on(*(f"{net.host}:{port}=127.0.0.1:{port}" for port in ports)))
        site = Site(net, stack.enter_context(_on_stage(tmp_path, _models, _sink, net.host)), database, broker)
        stack.callback(site.stop)
        yield site


@contextmanager
def _on_stage(folder: Path, models: Outside, sink: tuple[Outside, int], host: str = "127.0.0.1") -> Iterator[Stage]:
    for outside in (models, sink[0]):
        outside.ask("/admin/reset", {})
    stage = Stage(folder, models, sink, host)
    yield stage
    stage.stop()


def open_folder(prefix: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o755)  # as root, PostgreSQL runs as another user
    return folder


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    stand = Stand()

    async def adapter(workspace_id: str, ref: str) -> World:
        return stand.world

    async def act(args: Mapping[str, Any], call: ToolCall) -> Any:
        return await stand.world.act(args, call)

    monkeypatch.setattr(registry, "adapter", adapter)
    monkeypatch.setattr("runs.dispatch.ring", lambda run_id: None)
    for tool in TOOLS:
        monkeypatch.setitem(runners._RUNNERS, tool, act)  # type: ignore[arg-type]
    return stand
