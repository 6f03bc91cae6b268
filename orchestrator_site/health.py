"""Liveness and readiness, for supervisors and load balancers."""

import asyncio
from collections.abc import Callable
from functools import cache

from asgiref.sync import sync_to_async
from celery import Celery
from celery import current_app as celery_app
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe
from kombu.exceptions import OperationalError as BrokerError

from orchestrator_site.near import is_near

PING_SECONDS = 1.5
FRESH_SECONDS = 2.0


class NotReady(Exception):
    """One of the things a run needs is missing; the message says which and how it shows."""


@require_safe
def alive(request: HttpRequest) -> JsonResponse:
    """Answer as long as this process serves requests."""
    return JsonResponse({"status": "alive"})


class _Look:
    """One look for all who ask within two seconds: anybody may ask, and each look asks every worker."""

    def __init__(self) -> None:
        self._task: asyncio.Task[dict[str, str]] | None = None
        self._fresh_until = 0.0

    async def problems(self) -> dict[str, str]:
        loop = asyncio.get_running_loop()
        is_over = self._task is not None and self._task.done() and loop.time() >= self._fresh_until
        if self._task is None or is_over or self._task.get_loop() is not loop:
            self._task = loop.create_task(self._look(), name="readiness")
        return await asyncio.shield(self._task)

    async def _look(self) -> dict[str, str]:
        try:
            # Not on the thread that all synchronous views share: a dead broker would hold them up.
            return await sync_to_async(find_problems, thread_sensitive=False)()
        finally:
            self._fresh_until = asyncio.get_running_loop().time() + FRESH_SECONDS


_readiness = _Look()


async def ready(request: HttpRequest) -> JsonResponse:
    """Answer 200 when runs can be started and worked on, else 503 with what is missing; at most two seconds old."""
    problems = await _readiness.problems()
    told = problems if is_near(request) else dict.fromkeys(problems, "")  # in words it may name hosts and logins
    body = {"status": "not ready" if problems else "ready", "problems": told}
    response = JsonResponse(body, status=503 if problems else 200)
    response._has_been_logged = True  # type: ignore[attr-defined] # a probe's answer is no error of the server
    return response


def find_problems() -> dict[str, str]:
    """Return what is missing, by name: database, migrations, broker, worker. Empty when all is there."""
    try:
        stored = _first_failure({"database": check_database, "migrations": check_migrations})
        worked = _first_failure({"broker": check_broker, "worker": check_worker})
    finally:
        connection.close()
    return stored | worked


def _first_failure(checks: dict[str, Callable[[], None]]) -> dict[str, str]:
    """Return the first failure: what comes later rests on what comes earlier."""
    for name, check in checks.items():
        try:
            check()
        except NotReady as problem:
            return {name: str(problem)}
    return {}


def check_database() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        raise NotReady(f"The database does not answer: {_first_line(error)}") from error


def check_migrations() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT app, name FROM django_migrations")
            applied = set(cursor.fetchall())
    except DatabaseError as error:
        raise NotReady(f"The database was never migrated: {_first_line(error)}") from error
    missing = sorted(_expected_migrations() - applied)
    if missing:
        names = ", ".join(f"{app}.{name}" for app, name in missing)
        raise NotReady(f"Migrations are missing: {names}. Run manage.py migrate.")


@cache
def _expected_migrations() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None, ignore_no_migrations=True).disk_migrations)


def check_broker() -> None:
    app: Celery = celery_app
    try:
        with app.connection_for_write() as link:
            link.ensure_connection(max_retries=1, interval_start=0, timeout=PING_SECONDS)
    except (BrokerError, OSError) as error:
        raise NotReady(f"The broker does not answer: {_first_line(error)}") from error


def check_worker() -> None:
    """Ask all workers for a sign of life and take the first."""
    try:
        answers = celery_app.control.broadcast("ping", reply=True, timeout=PING_SECONDS, limit=1)
    except (BrokerError, OSError) as error:
        raise NotReady(f"No worker can be asked: {_first_line(error)}") from error
    if not answers:
        raise NotReady(f"No worker answered within {PING_SECONDS} s. Start one: celery -A orchestrator_site worker.")


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
