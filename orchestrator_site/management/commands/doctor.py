"""Say in plain words what is wrong with this installation."""

import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import redis
from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError, connection

from accounts.privileges import ROLES
from orchestrator_site import build, health
from orchestrator_site.health import NotReady

LEAST_POSTGRES = 15
LEAST_FREE_BYTES = 500 * 1024 * 1024
MOST_CLOCK_SECONDS = 2.0


class Command(BaseCommand):
    help = "Say in plain words what is wrong with this installation; exit 1 when something is."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        wrong = 0
        for name, check in CHECKS.items():
            try:
                self.stdout.write(f"ok     {name}: {check()}")
            except NotReady as problem:
                wrong += 1
                self.stdout.write(f"WRONG  {name}: {problem}")
        self.stdout.write("Everything is in order." if not wrong else f"{wrong} of {len(CHECKS)} need your attention.")
        if wrong:
            sys.exit(1)


def _data_folder() -> str:
    folder = settings.DATA_DIR
    probe = folder / ".doctor"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise NotReady(f"{folder} cannot be written ({error.strerror}). Set BATON_DATA_DIR or its owner.") from error
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise NotReady(f"Only {free // 2**20} MB are free below {folder}. Make room before the database stops.")
    return f"{folder}, {free // 2**30} GB free"


def _database() -> str:
    health.check_database()
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int / 10000")
        (major,) = cursor.fetchone()
    if major < LEAST_POSTGRES:
        raise NotReady(f"PostgreSQL {major} is too old; Baton needs {LEAST_POSTGRES} or newer.")
    return f"PostgreSQL {major}"


def _migrations() -> str:
    health.check_migrations()
    return "all applied"


def _roles() -> str:
    """The web and the workers act as roles that own no table; the owner must be able to take them on."""
    for role in ROLES:
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SET ROLE {role}")
                cursor.execute("SELECT 1 FROM accounts_workspace LIMIT 1")
                cursor.execute("RESET ROLE")
        except DatabaseError as error:
            raise NotReady(
                f"The role {role} cannot be used: {str(error).splitlines()[0]}. Run manage.py migrate."
            ) from error
    return " and ".join(ROLES)


def _clock() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            (theirs,) = cursor.fetchone()
    except DatabaseError as error:
        raise NotReady("The database's clock cannot be read.") from error
    apart = abs((datetime.now(UTC) - theirs).total_seconds())
    if apart > MOST_CLOCK_SECONDS:
        raise NotReady(f"This machine's clock and the database's are {apart:.0f} s apart. Synchronise both.")
    return "agrees with the database's"


def _broker() -> str:
    health.check_broker()
    return str(settings.CELERY_BROKER_URL).split(":", 1)[0]


def _channel_layer() -> str:
    try:
        with redis.Redis.from_url(settings.CHANNEL_LAYER_URL, socket_connect_timeout=2, socket_timeout=2) as client:
            client.ping()
    except (redis.RedisError, OSError) as error:
        raise NotReady(f"Live pages will not move: {error}. Check CHANNEL_LAYER_URL or start Baton.") from error
    return "answers"


def _worker() -> str:
    health.check_worker()
    return "answers"


def _assets() -> str:
    if not build.DIST.joinpath("app.js").exists():
        raise NotReady("The browser's files are not built. Run python -m orchestrator_site.build --collect.")
    if settings.PRODUCTION and not build.is_collected(settings.STATIC_ROOT):
        raise NotReady(
            "The browser's files are older than their sources. Run python -m orchestrator_site.build --collect."
        )
    return "built"


CHECKS: dict[str, Callable[[], str]] = {
    "data folder": _data_folder,
    "database": _database,
    "migrations": _migrations,
    "database roles": _roles,
    "clock": _clock,
    "broker": _broker,
    "channel layer": _channel_layer,
    "worker": _worker,
    "assets": _assets,
}
