"""`make up`: one supervisor that starts, watches, restarts and stops everything."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import psycopg
import pytest

from orchestrator_site.embedded import addresses
from tests.conftest import ROOT, free_port, status_of, wait_for

FOREIGN = (
    "DATABASE_URL",
    "CELERY_BROKER_URL",
    "CHANNEL_LAYER_URL",
    "BATON_TEST_DB",
    "MAKELEVEL",
    "DJANGO_ALLOW_ASYNC_UNSAFE",
)
pytestmark = pytest.mark.faults


class Installation:
    """One Baton with a data folder and a port of its own."""

    def __init__(self, data_dir: Path, services: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.log = data_dir / "up.log"
        own = {"BATON_DATA_DIR": str(data_dir), "PORT": str(self.port), "BATON_SAMPLE_PASSWORD": "kept between starts"}
        inherited = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        self.environment = {**inherited, **own, **(services or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start and wait until ready; return after how many seconds the port answered."""
        started = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "orchestrator_site.up"], cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )
        wait_for(lambda: self.status("/healthz") == 200, 180, self.log.read_text)
        answered = time.monotonic() - started
        self.wait_ready()
        return answered

    def wait_ready(self) -> None:
        wait_for(lambda: self.status("/readyz") == 200, 120, self.log.read_text)

    def status(self, path: str) -> int:
        return status_of(f"http://127.0.0.1:{self.port}{path}")

    def processes(self) -> dict[str, psutil.Process]:
        """Return the supervisor's children by the name of what they run."""
        assert self.process
        marks = {"web": "orchestrator_site.web", "worker": "celery", "postgres": "-D", "valkey": "valkey-server"}
        found = {}
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended this moment, and may wait to be reaped
                line = " ".join(child.cmdline())
                found |= {name: child for name, mark in marks.items() if mark in line}
        return found

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        assert self.process
        self.process.send_signal(how)
        return self.process.wait(40)


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    data_dir = Path(tempfile.mkdtemp(prefix="baton-up-"))
    data_dir.chmod(0o755)
    made = Installation(data_dir)
    made.start()
    yield made
    if made.process and made.process.poll() is None:
        made.stop()
    shutil.rmtree(data_dir)


def up(environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Start a supervisor that is expected to refuse."""
    command = [sys.executable, "-m", "orchestrator_site.up"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)


def everyone(installation: Installation) -> list[psutil.Process]:
    assert installation.process
    supervisor = psutil.Process(installation.process.pid)
    return [supervisor, *supervisor.children(recursive=True)]


def assert_nobody_is_left(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=15)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_it_says_where_it_runs_and_how_to_sign_in(installation: Installation) -> None:
    said = installation.log.read_text()
    assert f"ready at http://127.0.0.1:{installation.port}" in said
    assert "alice@example.com" in said
    assert "password kept between starts" in said


@pytest.mark.parametrize("name", ["web", "worker", "valkey", "postgres"])
def test_a_killed_child_is_restarted(installation: Installation, name: str) -> None:
    killed = installation.processes()[name]
    killed.kill()
    wait_for(lambda: installation.processes().get(name, killed) != killed, 10, installation.log.read_text)
    installation.wait_ready()
    assert f"{name} was ended by SIGKILL; it starts again" in installation.log.read_text()


def test_killing_a_child_again_and_again_does_not_tire_the_supervisor(installation: Installation) -> None:
    for _ in range(3):
        wait_for(lambda: "web" in installation.processes(), 10)
        installation.processes()["web"].kill()
        wait_for(lambda: "web" not in installation.processes(), 5)
    installation.wait_ready()


def test_nothing_is_left_of_a_killed_supervisor_and_the_next_start_recovers(installation: Installation) -> None:
    with psycopg.connect(addresses.postgres_url(installation.data_dir)) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    left = everyone(installation)
    assert len(left) > 8
    assert installation.stop(signal.SIGKILL) == -signal.SIGKILL
    assert_nobody_is_left(left)
    said_before = len(installation.log.read_text())
    answered = installation.start()
    print(json.dumps({"second_start_seconds": round(answered, 2)}))
    assert "preparing" not in installation.log.read_text()[said_before:]
    with psycopg.connect(addresses.postgres_url(installation.data_dir)) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_a_second_supervisor_of_the_same_folder_is_refused(installation: Installation) -> None:
    done = up({**installation.environment, "PORT": str(free_port())})
    assert done.returncode == 1
    assert installation.process
    assert f"runs on {installation.data_dir} already (process {installation.process.pid})" in done.stdout


def test_an_interrupt_stops_everything_and_exits_with_zero(installation: Installation) -> None:
    left = everyone(installation)
    assert installation.stop(signal.SIGINT) == 0
    assert_nobody_is_left(left)
    assert not (installation.data_dir / "postgres" / "data" / "postmaster.pid").exists()


def test_a_taken_port_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = up({**os.environ, "BATON_DATA_DIR": str(tmp_path), "PORT": str(port)})
    assert done.returncode == 1
    assert re.search(rf"Cannot listen on 127\.0\.0\.1:{port} .*PORT=8001 make up", done.stdout)


def test_a_bad_setting_is_said_in_one_sentence(tmp_path: Path) -> None:
    done = up({**os.environ, "BATON_DATA_DIR": str(tmp_path), "PORT": "many"})
    assert (done.returncode, done.stdout) == (1, "baton: PORT must be a whole number, not 'many'.\n")


# With services that run already


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


BROKERS = {"redis": (6379, "redis://127.0.0.1:6379/11"), "rabbitmq": (5672, "amqp://guest:guest@127.0.0.1:5672//")}
ADMIN_URL = "postgresql://postgres@127.0.0.1:5432/postgres"


@pytest.fixture
def external_database() -> Iterator[str]:
    if not _listens(5432):
        pytest.skip("PostgreSQL does not listen on 127.0.0.1:5432")
    name = f"baton_up_{os.getpid()}"
    with psycopg.connect(ADMIN_URL, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield ADMIN_URL.rsplit("/", 1)[0] + f"/{name}"
    with psycopg.connect(ADMIN_URL, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("broker", sorted(BROKERS))
def test_the_same_code_uses_services_that_run_already(external_database: str, broker: str, tmp_path: Path) -> None:
    port, url = BROKERS[broker]
    if not (_listens(port) and _listens(6379)):
        pytest.skip(f"{broker} or redis does not listen on 127.0.0.1")
    services = {
        "DATABASE_URL": external_database,
        "CELERY_BROKER_URL": url,
        "CHANNEL_LAYER_URL": "redis://127.0.0.1:6379/12",
    }
    installation = Installation(tmp_path, services)
    installation.start()
    assert sorted(installation.processes()) == ["web", "worker"]
    with psycopg.connect(external_database) as connection:
        roles = connection.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'baton_%' ORDER BY 1").fetchall()
    assert roles == [("baton_web",), ("baton_worker",)]
    assert installation.stop() == 0
