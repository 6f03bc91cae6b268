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
from tests.faults.site import Site, SiteStage
from tests.faults.stage import NOBODY_DIES, Outside, Stage, free_ports, outside


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
def site_stage(
    transactional_db: None, tmp_path: Path, _models: Outside, _sink: tuple[Outside, int]
) -> Iterator[SiteStage]:
    """The stage before an installation on many machines that is the test's own."""
    with _on_many_machines(tmp_path, _models, _sink) as site:
        yield _before(site, _models, _sink)


@pytest.fixture(scope="module")
def _standing_site(
    django_db_setup: None,
    django_db_blocker: Any,
    tmp_path_factory: pytest.TempPathFactory,
    _models: Outside,
    _sink: tuple[Outside, int],
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with django_db_blocker.unblock(), _on_many_machines(folder, _models, _sink, **NOBODY_DIES) as site:
        yield site


@pytest.fixture
def standing_stage(
    transactional_db: None, _standing_site: Site, _models: Outside, _sink: tuple[Outside, int]
) -> SiteStage:
    """The stage before an installation on many machines that goes on from test to test, its database emptied."""
    return _before(_standing_site, _models, _sink)


@contextmanager
def _on_many_machines(folder: Path, models: Outside, sink: tuple[Outside, int], **told: str) -> Iterator[Site]:
    """Run four workers and two web servers on machines of their own, and the proxy before them."""
    with ExitStack() as stack:
        net = stack.enter_context(network())
        database = OwnDatabase(open_folder("baton-database-"), net.database_host)
        stack.callback(database.remove)
        broker = OwnBroker(open_folder("baton-broker-"), net.host)
        stack.callback(broker.remove)
        if net.host != "127.0.0.1":
            ports = (models.port, sink[0].port, sink[1])
            stack.enter_context(passing_on(*(f"{net.host}:{port}=127.0.0.1:{port}" for port in ports)))
        site = Site(net, folder, {**outside(net.host, sink[1]), **told}, database, broker)
        stack.callback(site.stop)
        stack.enter_context(passing_on(site.proxied))
        site.wait_until_ready()
        yield site


@contextmanager
def _on_stage(folder: Path, models: Outside, sink: tuple[Outside, int]) -> Iterator[Stage]:
    _forget(models, sink)
    stage = Stage(folder, models, sink)
    yield stage
    stage.stop()


def _before(site: Site, models: Outside, sink: tuple[Outside, int]) -> SiteStage:
    _forget(models, sink)
    return SiteStage(site, models, sink)


def _forget(models: Outside, sink: tuple[Outside, int]) -> None:
    for one in (models, sink[0]):
        one.ask("/admin/reset", {})


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
