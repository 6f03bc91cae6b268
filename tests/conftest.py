"""Fixtures that every test may use: a clean database, a real browser, and Baton's own processes running."""

import gc
import os
import shutil
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import pytest
from asgiref.sync import SyncToAsync
from django.db import connection, connections
from django.test import TransactionTestCase
from django.test.client import ClientHandler
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from playwright.sync_api import expect

from orchestrator_site.processes import Child, Program
from tests.emptying import empties_after_a_test
from tests.migrated import Turn
from tests.order import spread_waiting
from tests.web_role import as_the_web

# The browser's driver keeps an event loop in this thread, which Django takes for asynchronous code.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "1")

# How long an example takes, or takes to be made, says how busy the machine is.
hypothesis_settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("untimed")

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
PATIENCE_MS = 15_000  # for whatever a page comes to by itself, on a busy machine
REFUSED = "Refused by the policy: "
WATCH_POLICY = f"""document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`{REFUSED}${{event.violatedDirective}} ${{event.blockedURI}} at ${{event.sourceFile}}`))"""


def browser_path() -> str | None:
    return os.environ.get("CHROMIUM") or next((path for name in BROWSERS if (path := shutil.which(name))), None)


# Garbage

MADE_BETWEEN_COLLECTIONS = 50_000


def pytest_configure() -> None:
    gc.set_threshold(MADE_BETWEEN_COLLECTIONS, 10, 10)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What was imported and collected stays until the end: no later collection of garbage looks at it again."""
    gc.collect()
    gc.freeze()


# What is skipped, and why


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: their driver's event loop stays, and no asynchronous test could run after it."""
    spread_waiting(items)
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


# Midnight

QUARTER_SECONDS = 15 * 60


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let a test that counts in days begin and end on the same one: in every zone days end with a quarter hour."""
    left = QUARTER_SECONDS - time.time() % QUARTER_SECONDS
    if item.get_closest_marker("one_day") and (left < 20 or left > QUARTER_SECONDS - 2):
        time.sleep((left + 2) % QUARTER_SECONDS)


# The database


@pytest.fixture(autouse=True)
def _no_connection_of_an_earlier_test() -> None:
    """Forget the connection of the thread in which asynchronous code asks Django: an earlier test may have cut it."""
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()


@pytest.fixture(scope="session", autouse=True)
def _transactional_tests_empty_the_database() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", empties_after_a_test)
        yield


@pytest.fixture(scope="session")
def _turn() -> Turn:
    return Turn()


@pytest.fixture(scope="session")
def _time_left() -> float:
    """Stop the time limit of the test that happens to be the first: the database it waits for is made for all."""
    return signal.setitimer(signal.ITIMER_REAL, 0)[0]


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    _time_left: float, django_db_modify_db_settings: None, django_db_blocker: Any, _turn: Turn
) -> None:
    with django_db_blocker.unblock():
        _turn.take()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any, _turn: Turn, _time_left: float) -> Iterator[None]:
    """End what still holds the database before it is dropped: threads of asynchronous tests keep their connections."""
    with django_db_blocker.unblock():
        _turn.end()
    signal.setitimer(signal.ITIMER_REAL, _time_left)
    yield
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )


@pytest.fixture(scope="session", autouse=True)
def _requests_act_as_the_web_does() -> Iterator[None]:
    """Let what a test asks by Django's client run as the web's database role, under the second line of defence."""
    asked = ClientHandler.__call__

    def ask(self: ClientHandler, environ: dict[str, Any]) -> Any:
        with as_the_web():
            return asked(self, environ)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClientHandler, "__call__", ask)
        yield


def status_of(url: str) -> int:
    """Return with which status an address answers; 0 where nobody does."""
    try:
        return int(urllib.request.urlopen(url, timeout=10).status)
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return 0


def database_url() -> str:
    """Return the address of the database this session's tests run in."""
    at = connection.settings_dict
    login = quote(at["USER"]) + (f":{quote(at['PASSWORD'])}" if at["PASSWORD"] else "")
    query = "&".join(f"{name}={quote(str(at[name.upper()]))}" for name in ("host", "port") if at[name.upper()])
    return f"postgresql://{login}@/{at['NAME']}?{query}"


# The browser


def bound(page: Any) -> None:
    """Wait until all scripts of a page listen; before that keys and clicks go nowhere."""
    page.locator("html[data-bound]").wait_for(state="attached", timeout=PATIENCE_MS)


def _then_bound(page: Any, bring: Callable[..., Any]) -> Callable[..., Any]:
    def brought(*asked: Any, **wishes: Any) -> Any:
        answer = bring(*asked, **wishes)
        bound(page)
        return answer

    return brought


def _comes_bound(page: Any) -> None:
    """Let all that brings a page return when its scripts listen: `load` does not wait for what they import."""
    for name in ("goto", "reload", "go_back", "wait_for_url"):
        setattr(page, name, _then_bound(page, getattr(page, name)))


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    expect.set_options(timeout=PATIENCE_MS)
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    return {**browser_type_launch_args, "executable_path": browser_path(), "args": [*BROWSER_FLAGS, *sandbox]}


@pytest.fixture
def new_context(new_context: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a browser; whatever a page's policy has refused by the end fails the test."""
    refused: list[str] = []

    def opened(**wishes: Any) -> Any:
        context = new_context(**wishes)
        context.on("console", lambda said: refused.append(said.text) if said.text.startswith(REFUSED) else None)
        context.add_init_script(WATCH_POLICY)
        if wishes.get("java_script_enabled", True):
            context.on("page", _comes_bound)
        return context

    yield opened
    assert refused == []


# Baton's own processes


class LiveStack:
    """The web server and one worker, as processes, on the test database; each acts as its database role."""

    left: ClassVar["LiveStack | None"] = None
    """The one of this session, running or not."""

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
    LiveStack.left = stack = LiveStack(tmp_path_factory.mktemp("stack"))
    yield stack
    stack.stop()


@pytest.fixture(autouse=True)
def _nobody_else_works_here(request: pytest.FixtureRequest) -> None:
    """Stop what an earlier test left running before a test with rows: it would act on what is due, and hold locks."""
    rows = request.node.get_closest_marker("django_db") or {"db", "transactional_db"} & set(request.fixturenames)
    if rows and "live_stack" not in request.fixturenames and LiveStack.left is not None:
        LiveStack.left.stop()


@pytest.fixture
def live_stack(transactional_db: None, _live_stack: LiveStack) -> LiveStack:
    """Return the running web and worker; a test may kill either, the next test finds both running again."""
    _live_stack.start()
    return _live_stack


# Below the ports that the system itself hands out (32768 and more), so that no connection takes one between its choice
# and its use; of each process its own hundred, so that no other one of the tests does.
_PORTS = cycle(range(12_000 + os.getpid() % 200 * 100, 12_100 + os.getpid() % 200 * 100))


def free_port() -> int:
    for port in islice(_PORTS, 100):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    pytest.fail("no port of this process's own is free")


def wait_for(settled: Callable[[], bool], seconds: float, explain: Callable[[], str] = str) -> None:
    """Wait until a condition holds; fail with an explanation after this time."""
    deadline = time.monotonic() + seconds
    while not settled():
        if time.monotonic() > deadline:
            pytest.fail(f"still waiting after {seconds} s\n{explain()}")
        time.sleep(0.05)
