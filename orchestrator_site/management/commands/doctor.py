"""Say in plain words what is wrong with this installation."""

import os
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import redis
from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError, connection

from accounts import logins, policies, scanner, violations
from accounts.clock import database_now
from accounts.privileges import ROLES, WEB
from orchestrator_site import build, env, health, log_sending
from orchestrator_site.health import NotReady
from runs.models import Span, SpanExport

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
    if env.text("DATABASE_URL") and folder.exists() and not os.access(folder, os.W_OK):
        return f"{folder} is for reading only, which is enough where the database is elsewhere"
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


def _second_line() -> str:
    """Row level security holds the web to one workspace, should a query of ours forget to."""
    if settings.WEB_ACTS_AS_OWNER:
        raise NotReady(
            "The second line of defence is off: BATON_DATABASE_ROLE=owner lets the web act as the owner of the tables, "
            f"whom PostgreSQL shows all rows. Set BATON_DATABASE_ROLE={WEB} for the web, or leave it out."
        )
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = %s", [WEB])
            (is_above,) = cursor.fetchone() or (True,)
            bare = policies.unsecured(cursor)
    except DatabaseError as error:
        raise NotReady(f"The policies cannot be read: {str(error).splitlines()[0]}.") from error
    if is_above:
        raise NotReady(f"The role {WEB} is above all policies. ALTER ROLE {WEB} NOSUPERUSER NOBYPASSRLS.")
    if bare:
        raise NotReady(f"These tables have no policy: {', '.join(bare)}. Run manage.py migrate.")
    return f"on: {WEB} sees the rows of one workspace at a time"


def _logins() -> str:
    """A process that signs in as the owner can say SET ROLE NONE, whatever role it acts as."""
    try:
        found = logins.as_the_owner()
    except DatabaseError as error:
        raise NotReady(f"Nobody can say who is connected: {str(error).splitlines()[0]}.") from error
    if not found:
        return "no process that is connected can become the owner of the tables"
    said = " and ".join(f"{name} connects as {login}" for name, login in found)
    if not settings.PRODUCTION:
        return f"{said}, who owns the tables; production wants a login for each"
    raise NotReady(
        f"{said}: whoever comes into it owns the tables. Give each a login of its own, as docs/guides/operator.md says."
    )


def _clock() -> str:
    try:
        theirs = database_now()
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


def _collector() -> str:
    if not settings.OTLP_ENDPOINT:
        return "no collector is set, so spans stay here"
    state = SpanExport.objects.first()
    if state is None:
        return f"{settings.OTLP_ENDPOINT} is told what is written from the next minute on"
    waiting = Span.objects.filter(pk__gt=state.position).count()
    if state.failures:
        raise NotReady(
            f"{settings.OTLP_ENDPOINT} does not take spans; {waiting:,} wait and lose nothing. It said: {state.error} "
            "Check OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_HEADERS."
        )
    refused = f", refused {state.refused:,} for good" if state.refused else ""
    return f"{settings.OTLP_ENDPOINT} took {state.sent:,} spans{refused}; {waiting:,} wait"


def _log_server() -> str:
    if not settings.SYSLOG:
        return "none is set, so log lines stay on standard error"
    to = log_sending.place(settings.SYSLOG)
    try:
        log_sending.hang_up(log_sending.connect(to))
    except (OSError, ValueError) as error:
        raise NotReady(
            f"{to} cannot be reached ({error}). Up to {log_sending.MOST_BYTES // 2**20} MB of lines wait in each "
            "process, then they are dropped. Check BATON_SYSLOG and the certificate."
        ) from error
    return f"{to} answers{', with a certificate of its own' if to.sealed else ', in the clear'}"


def _scanner() -> str:
    if not settings.SCANNER:
        return "none is set, so files are kept as they come"
    try:
        return scanner.version()
    except (OSError, ValueError) as error:
        raise NotReady(
            f"{settings.SCANNER} does not answer ({error}). No file is taken until it does. Check BATON_SCANNER."
        ) from error


def _content_policy() -> str:
    """Anybody can send a report, so that none of them is a fault of this installation by itself."""
    try:
        told = violations.lately()
    except DatabaseError as error:
        raise NotReady("What browsers report cannot be read.") from error
    if not told.kinds:
        return f"no browser reported a violation within {violations.LATELY.days} days"
    return (
        f"browsers reported {told.kinds:,} kinds of violations ({told.count:,} in all) within "
        f"{violations.LATELY.days} days; the last: {told.last}. An admin sees them under /violations/"
    )


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
    "second line": _second_line,
    "logins": _logins,
    "clock": _clock,
    "broker": _broker,
    "channel layer": _channel_layer,
    "worker": _worker,
    "collector": _collector,
    "log server": _log_server,
    "scanner": _scanner,
    "content policy": _content_policy,
    "assets": _assets,
}
