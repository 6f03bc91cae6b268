"""The supervisor behind `make up`: one foreground process that starts, watches and stops everything Baton needs."""

import argparse
import fcntl
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from orchestrator_site import build, env, in_clear, log_sending, prepare, syslog
from orchestrator_site.embedded import addresses, postgres, valkey
from orchestrator_site.embedded.folders import EmbeddedFailed
from orchestrator_site.processes import Child, Guardian, Program, die_with_parent, launch, stop

PEOPLE = "alice@example.com (composer), bob@ (reviewer), carol@ (manager), dana@ (admin), erin@ (auditor)"
TICK = 0.2
log = logging.getLogger("baton.supervisor")
LOCK_SECONDS = 5.0
FIRST_START_SECONDS = 90.0
HOPELESS_FAILURES = 3
GRACE_SECONDS = 20.0


class CannotStart(Exception):
    """Baton cannot start here; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where this installation keeps its data and listens."""

    data_dir: Path
    host: str
    port: int
    base_url: str
    production: bool
    reload: bool

    @classmethod
    def from_environment(cls, reload: bool) -> "Place":
        host, port = env.text("BATON_HOST", "127.0.0.1"), env.integer("PORT", 8000, 1, 65535)
        return cls(
            data_dir=env.path("BATON_DATA_DIR", build.ROOT / ".data"),
            host=host,
            port=port,
            base_url=env.url("BATON_BASE_URL", f"http://{host}:{port}", ("http", "https")).rstrip("/"),
            production=env.text("BATON_ENV") == "production",
            reload=reload,
        )


def say(line: str) -> None:
    """Say a line here, and to the log server where there is one."""
    _print(line)
    log.info("%s", line)


def _print(line: str) -> None:
    sys.stdout.write(f"baton: {line}\n")
    sys.stdout.flush()


def _tell_the_log_server(production: bool) -> None:
    address = env.url("BATON_SYSLOG", "", log_sending.SCHEMES)
    if production:
        in_clear.refuse({"BATON_SYSLOG": address}, env.hosts("BATON_PRIVATE_NETWORK"))
    if address:
        syslog.tell(log, address, "baton-supervisor")


@contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """Hold the data folder's lock, which the kernel lets go when this process dies in whatever way."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "up.lock").open("a+") as lock:
        deadline = time.monotonic() + LOCK_SECONDS  # an earlier supervisor may still be stopping
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    lock.seek(0)
                    pid = lock.read().strip() or "unknown"
                    raise CannotStart(f"Baton runs on {data_dir} already (process {pid}). Stop it first.") from None
                time.sleep(TICK)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


class Supervisor:
    """Starts the services, then the programs; restarts what ends; stops in the opposite order."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._services: list[Child] = []
        self._programs: list[Child] = []
        self._stopping = False
        self._guardian = Guardian()
        self._sources = 0.0

    def run(self) -> int:
        """Serve until a signal asks to stop; return the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        try:
            self._start()
            while not self._stopping:
                time.sleep(TICK)
                self._tend()
            return 0
        finally:
            self._stop()

    def _ask_to_stop(self, *_: object) -> None:
        self._stopping = True

    def _start(self) -> None:
        _refuse_taken_port(self._place.host, self._place.port)
        self._start_services()
        self._run_steps(self._steps())
        if self._stopping:
            return
        for program in self._wanted_programs():
            child = Child(program)
            child.start()
            self._programs.append(child)
        self._watch_sessions()
        if self._wait_for_web():
            self._greet()

    def _start_services(self) -> None:
        data_dir = self._place.data_dir
        if not env.text("DATABASE_URL"):
            cluster, process = postgres.start(data_dir)
            self._adopt(cluster.program(), process, cluster.stop_leftover)
        if not (env.text("CELERY_BROKER_URL") and env.text("CHANNEL_LAYER_URL")):
            server, process = valkey.start(data_dir)
            self._adopt(server.program(), process, server.stop_leftover)

    def _adopt(self, program: Program, process: "subprocess.Popen[bytes]", before: Callable[[], None]) -> None:
        child = Child(program, before)
        child.adopt(process)
        self._services.append(child)

    def _steps(self) -> list[Program]:
        """Return what has to run once before the programs, leaving out what an earlier start did already."""
        python = [sys.executable, "-m"]
        steps = []
        if not prepare.is_prepared(self._place.data_dir):
            say("preparing the database")
            steps.append(Program("database", [*python, "orchestrator_site.prepare"], cwd=build.ROOT))
        static_root = self._place.data_dir / "staticfiles"
        if self._place.reload:
            # Without a manifest the web serves static/ as it is at the moment.
            (static_root / "staticfiles.json").unlink(missing_ok=True)
            (static_root / ".stamp").unlink(missing_ok=True)
        if not build.is_built() or not (self._place.reload or build.is_collected(static_root)):
            say("building the assets")
            collect = [] if self._place.reload else ["--collect"]
            steps.append(Program("assets", [*python, "orchestrator_site.build", *collect], cwd=build.ROOT))
        return steps

    def _run_steps(self, steps: list[Program]) -> None:
        """Run the steps side by side; raise CannotStart when one fails. A signal ends them."""
        running = [(step.name, launch(step)) for step in steps]
        self._guardian.watch([process.pid for _, process in running])
        try:
            while running and not self._stopping:
                time.sleep(TICK / 4)
                for name, process in [pair for pair in running if pair[1].poll() is not None]:
                    running.remove((name, process))
                    if process.returncode != 0:
                        raise CannotStart(f"The step '{name}' failed; its message stands above.")
        finally:
            for _, process in running:
                stop(process, signal.SIGTERM, grace=5)

    def _wanted_programs(self) -> list[Program]:
        python = [sys.executable, "-m"]
        worker = ["worker", "--pool", "threads", "--concurrency", "2", "--loglevel", "WARNING"]
        # Workers need not know of each other: leases in the database say who owns what. Mingling costs a second.
        alone = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        # A worker serves no address: the checks would only load every page's and route's code into it.
        no_pages = {"CELERY_SKIP_CHECKS": "1"}
        quiet = {"PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore:You're running the worker with superuser"}
        programs = [
            Program(
                "web",
                [*python, "orchestrator_site.web"],
                env={**quiet, "BATON_DATABASE_ROLE": "baton_web"},
                cwd=build.ROOT,
            ),
            Program(
                "worker",
                [*python, "celery", "--quiet", "-A", "orchestrator_site", *worker, *alone],
                env={**quiet, **no_pages, "BATON_DATABASE_ROLE": "baton_worker"},
                cwd=build.ROOT,
            ),
        ]
        if self._place.reload:
            watch = [*build.node_command(), "static/build.mjs", "--watch"]
            programs.append(Program("assets", watch, cwd=build.ROOT))
            self._sources = _newest_source()
        return programs

    def _wait_for_web(self) -> bool:
        """Wait for the first answer; give up when a program keeps failing before there was one."""
        deadline = time.monotonic() + FIRST_START_SECONDS
        while not self._stopping:
            if _answers(self._place.host, self._place.port):
                return True
            self._tend()
            failing = [child.program.name for child in self._programs if child.failures >= HOPELESS_FAILURES]
            if failing or time.monotonic() > deadline:
                raise CannotStart(f"{' and '.join(failing) or 'The web server'} does not start; see the lines above.")
            time.sleep(TICK / 4)
        return False

    def _greet(self) -> None:
        say(f"ready at {self._place.base_url}")
        if not self._place.production:
            _print(f"sign in as {PEOPLE}")
            _print(f"password {sample_password(self._place.data_dir)}")
        say("Ctrl+C stops everything")

    def _tend(self) -> None:
        if self._place.reload and (newest := _newest_source()) > self._sources:
            self._sources = newest
            say("the code changed; starting again")
            for child in self._programs[:2]:
                child.replace()
        for child in (*self._services, *self._programs):
            line = self._tend_one(child)
            if line:
                say(line)
        self._watch_sessions()

    def _tend_one(self, child: Child) -> str | None:
        try:
            return child.tend()
        except EmbeddedFailed as failure:  # its leftovers still stand in the way; the next round tries again
            return str(failure)

    def _watch_sessions(self) -> None:
        self._guardian.watch([child.pid for child in self._programs if child.pid])

    def _stop(self) -> None:
        """Stop the programs together, then the services the programs need until their end."""
        for child in self._programs:
            child.ask_to_stop()
        for child in (*self._programs, *reversed(self._services)):
            child.stop(GRACE_SECONDS)
        self._guardian.dismiss()


def sample_password(data_dir: Path) -> str:
    """Return the password of the sample's people: the one set, else one made up once and kept."""
    made_up = addresses.kept_secret(data_dir, "sample-password", lambda: secrets.token_urlsafe(9))
    return env.text("BATON_SAMPLE_PASSWORD") or made_up


def _refuse_taken_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CannotStart(
                f"Cannot listen on {host}:{port} ({error.strerror}). Choose another with PORT=8001 make up."
            ) from None


def _answers(host: str, port: int) -> bool:
    """Tell whether the web server takes connections, which it does once the application is loaded."""
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 compared, not listened on
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


def _newest_source() -> float:
    """Return when the newest Python file of the applications was changed."""
    folders = (build.ROOT / app for app in build.APPS)
    return max(file.stat().st_mtime for folder in folders for file in folder.rglob("*.py"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="up", description="Start Baton: database, broker, web and worker.")
    parser.add_argument("--reload", action="store_true", help="start again when the code changes")
    options = parser.parse_args()
    if "MAKELEVEL" in os.environ:  # killed with -9, make leaves its children to themselves
        die_with_parent(signal.SIGTERM)
    try:
        place = Place.from_environment(options.reload)
        _tell_the_log_server(place.production)
        with only_one(place.data_dir):
            return Supervisor(place).run()
    except (CannotStart, EmbeddedFailed, ImproperlyConfigured, build.BuildFailed) as failure:
        say(str(failure))
    except PermissionError as error:
        say(f"{error.filename} belongs to another user. Start Baton as that user, or set BATON_DATA_DIR.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
