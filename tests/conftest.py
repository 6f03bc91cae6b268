"""Fixtures that every test may use: a clean database, a real browser, and Baton's own processes running."""

import os
import shutil
import socket
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from asgiref.sync import SyncToAsync
from django.db import OperationalError, connection, connections, transaction
from django.db.backends.postgresql.operations import DatabaseOperations

from orchestrator_site.processes import Child, Program

# The browser's driver keeps an event loop in this thread, which Django takes for asynchronous code.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "1")

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER_FLAGS = [
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
START_SECONDS = 60


def browser_path() -> str | None:
    return os.environ.get("CHROMIUM") or next((path for name in BROWSERS if (path := shutil.which(name))), None)


# What is skipped, and why


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: their driver's event loop stays, and no asynchronous test could run after it."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)
    if browser_path() is None:
        missing = pytest.mark.skip(reason="Chromium is not installed")
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(missing)


def _skips(config: pytest.Config) -> Counter[str]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    reports = reporter.stats.get("skipped", []) if reporter else []
    reasons = (report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr) for report in reports)
    return Counter(reason.removeprefix("Skipped: ") for reason in reasons)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    skips = _skips(config)
    reasons = "; ".join(f"{count} because {reason}" for reason, count in skips.items())
    terminalreporter.write_line(f"Skipped {skips.total()}: {reasons}" if skips else "Skipped nothing.")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skipped test is a failure: it was meant to have everything installed."""
    if os.environ.get("CI") and _skips(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


# The database


@pytest.fixture(autouse=True)
def _no_connection_of_an_earlier_test() -> None:
    """Forget the connection of the thread in which asynchronous code asks Django: an earlier test may have cut it."""
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()


@pytest.fixture(scope="session", autouse=True)
def _flush_past_the_audit_log() -> Iterator[None]:
    """Let a transactional test empty every table: the audit log refuses TRUNCATE to everybody else."""

    def execute_sql_flush(self: DatabaseOperations, sql_list: list[str]) -> None:
        for attempt in range(5):
            try:
                with transaction.atomic(using=self.connection.alias), self.connection.cursor() as cursor:
                    cursor.execute("SET LOCAL session_replication_role = replica")
                    for sql in sql_list:
                        cursor.execute(sql)
                return
            except OperationalError:  # a deadlock with a worker that polls meanwhile
                if attempt == 4:
                    raise
                time.sleep(0.2)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseOperations, "execute_sql_flush", execute_sql_flush)
        yield


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """End what still holds the database before it is dropped: threads of asynchronous tests keep their connections."""
    yield
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )


def database_url() -> str:
    """Return the address of the database this session's tests run in."""
    at = connection.settings_dict
    login = quote(at["USER"]) + (f":{quote(at['PASSWORD'])}" if at["PASSWORD"] else "")
    query = "&".join(f"{name}={quote(str(at[name.upper()]))}" for name in ("host", "port") if at[name.upper()])
    return f"postgresql://{login}@/{at['NAME']}?{query}"


# The browser


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    return {**browser_type_launch_args, "executable_path": browser_path(), "args": [*BROWSER_FLAGS, *sandbox]}


# Baton's own processes


class LiveStack:
    """The web server and one worker, as processes, on the test database; each acts as its database role."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            "DATABASE_URL": database_url(),
            "PORT": str(self.port),
            "BATON_BASE_URL": self.url,
            "BATON_LEASE_SECONDS": "3",
            "BATON_DEMO_LATENCY_MS": "300",
            "PYTHONWARNINGS": "ignore",
            "DJANGO_ALLOW_ASYNC_UNSAFE": "",  # this thread's licence, not theirs
        }
        self.web = self._child("web", ["orchestrator_site.web"])
        celery = ["celery", "--quiet", "-A", "orchestrator_site", "worker", "--pool", "threads", "--concurrency", "2"]
        self.worker = self._child("worker", [*celery, "--without-gossip", "--without-mingle", "--without-heartbeat"])

    def _child(self, name: str, arguments: list[str]) -> Child:
        return Child(
            Program(
                name,
                [sys.executable, "-m", *arguments],
                env={**self.environment, "BATON_DATABASE_ROLE": f"baton_{name}"},
                cwd=ROOT,
                log=self.folder / f"{name}.log",
            )
        )

    def start(self) -> None:
        """Start what does not run; return when a run could be started and worked on."""
        for child in (self.web, self.worker):
            if not child.running:
                child.start()
        wait_for(self._is_ready, START_SECONDS, self.logs)

    def _is_ready(self) -> bool:
        try:
            return urllib.request.urlopen(f"{self.url}/readyz", timeout=5).status == 200
        except OSError:
            return False

    def stop(self) -> None:
        for child in (self.web, self.worker):
            child.stop(grace=10)

    def logs(self) -> str:
        return "\n".join(f"--- {log.name}\n{log.read_text()[-4000:]}" for log in sorted(self.folder.glob("*.log")))


@pytest.fixture(scope="session")
def _live_stack(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    stack = LiveStack(tmp_path_factory.mktemp("stack"))
    yield stack
    stack.stop()


@pytest.fixture
def live_stack(transactional_db: None, _live_stack: LiveStack) -> LiveStack:
    """Return the running web and worker; a test may kill either, the next test finds both running again."""
    _live_stack.start()
    return _live_stack


@pytest.fixture
def no_live_stack(transactional_db: None, _live_stack: LiveStack) -> None:
    """Stop the web and worker that earlier tests left running: this test brings workers of its own."""
    _live_stack.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(settled: Callable[[], bool], seconds: float, explain: Callable[[], str] = str) -> None:
    """Wait until a condition holds; fail with an explanation after this time."""
    deadline = time.monotonic() + seconds
    while not settled():
        if time.monotonic() > deadline:
            pytest.fail(f"still waiting after {seconds} s\n{explain()}")
        time.sleep(0.05)
