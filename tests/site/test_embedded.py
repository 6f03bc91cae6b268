"""The embedded services: where they live, and how they start over what an earlier start left."""

import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from orchestrator_site.embedded import addresses, postgres, valkey
from orchestrator_site.embedded.folders import EmbeddedFailed, Identity, can_enter, private_folder
from orchestrator_site.processes import stop

SOMEBODY = Identity(12345, 12345, "somebody")


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Return a folder that PostgreSQL's user may enter, which pytest's own (mode 0700) is not."""
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="baton-embedded-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def stop_postgres(process: "subprocess.Popen[bytes]") -> None:
    stop(process, signal.SIGINT, 20)


def test_a_cluster_keeps_its_rows_and_its_password(data_dir: Path) -> None:
    cluster, process = postgres.start(data_dir)
    with psycopg.connect(addresses.postgres_url(data_dir)) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    stop_postgres(process)
    assert process.returncode == 0
    _, process = postgres.start(data_dir)
    with psycopg.connect(cluster.url()) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    stop_postgres(process)


def test_only_the_owner_with_the_password_gets_in(data_dir: Path) -> None:
    cluster, process = postgres.start(data_dir)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(cluster.url().replace(cluster.password, "guess"))
    assert stat.S_IMODE((data_dir / addresses.URL_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(cluster.data.stat().st_mode) == 0o700
    stop_postgres(process)


@pytest.mark.faults
def test_a_killed_server_leaves_nothing_that_stops_the_next(data_dir: Path) -> None:
    cluster, process = postgres.start(data_dir)
    with psycopg.connect(cluster.url()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    process.kill()
    process.wait()
    assert (cluster.data / "postmaster.pid").exists()
    _, process = postgres.start(data_dir)
    with psycopg.connect(cluster.url()) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    stop_postgres(process)


def test_a_lock_whose_number_belongs_to_another_program_is_forgotten(data_dir: Path) -> None:
    cluster, process = postgres.start(data_dir)
    stop_postgres(process)
    (cluster.data / "postmaster.pid").write_text(f"{os.getpid()}\n")
    _, process = postgres.start(data_dir)
    assert process.poll() is None
    stop_postgres(process)


@pytest.mark.faults
def test_a_server_that_was_left_running_is_stopped_first(data_dir: Path) -> None:
    _, left = postgres.start(data_dir)
    _, process = postgres.start(data_dir)
    assert left.wait(5) == 0
    assert process.poll() is None
    stop_postgres(process)


def test_a_cluster_without_its_password_is_put_aside_and_not_lost(data_dir: Path) -> None:
    cluster, process = postgres.start(data_dir)
    stop_postgres(process)
    (data_dir / addresses.URL_FILE).unlink()
    _, process = postgres.start(data_dir)
    assert (cluster.home.with_name("postgres.retired") / "data" / "PG_VERSION").exists()
    stop_postgres(process)


def test_a_failing_server_shows_the_end_of_its_log(data_dir: Path) -> None:
    cluster, process = postgres.start(data_dir)
    stop_postgres(process)
    (cluster.data / "postgresql.conf").write_text("nonsense = 1\n")
    with pytest.raises(EmbeddedFailed, match="nonsense"):
        postgres.start(data_dir)


@pytest.mark.faults
def test_valkey_replaces_a_left_server_and_a_dead_ones_socket(data_dir: Path) -> None:
    server, left = valkey.start(data_dir)
    _, process = valkey.start(data_dir)
    assert left.wait(5) == 0
    process.kill()
    process.wait()
    assert server.socket.exists()
    _, process = valkey.start(data_dir)
    assert server.answers()
    stop(process, signal.SIGTERM, 10)


def test_a_long_path_gets_its_sockets_in_a_short_one(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 25)
    assert addresses.socket_folder(Path("/srv/baton/.data")) == Path("/srv/baton/.data")
    short = addresses.socket_folder(deep)
    assert len(str(short / ".s.PGSQL.5432.lock")) < 107
    assert short == addresses.socket_folder(deep)
    assert short != addresses.socket_folder(deep / "other")


def test_the_services_run_below_a_long_path(data_dir: Path) -> None:
    deep = data_dir / ("deep" * 25)
    cluster, database = postgres.start(deep)
    _, broker = valkey.start(deep)
    with psycopg.connect(cluster.url()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    stop_postgres(database)
    stop(broker, signal.SIGTERM, 10)


def test_a_folder_closed_to_the_service_user_is_noticed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert can_enter(closed / "below", None)
    assert not can_enter(closed / "below", SOMEBODY)


def test_a_socket_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.symlink_to(tmp_path)
    with pytest.raises(EmbeddedFailed, match="belongs to another user"):
        private_folder(theirs, None)
