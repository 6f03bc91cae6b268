"""What goes on in a worker process beside the actors: the poll's rhythm, its jobs, and Django's own database.

The functions without `async` are for threads: Django's connections belong to one each.
"""

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connections
from psycopg.conninfo import make_conninfo
from psycopg_pool import PoolTimeout

from pipelines.models import Connection
from runs import dispatch, locks, topics
from runs.execution.models import registry
from runs.store import TRANSIENT

log = logging.getLogger("baton.worker")

POLL_SECONDS = 2.0
# A peer that is gone without a word is noticed within seconds, not after the quarter of an hour that TCP would wait.
_NOTICE_A_DEAD_LINK = {
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


async def again_and_again(work: Callable[[], Awaitable[None]]) -> None:
    """Do it every two seconds for ever. Each in a loop of its own: a slow job must not keep anybody from looking."""
    while True:
        try:
            await work()
        except (*TRANSIENT, PoolTimeout) as error:
            log.warning("The poll could not reach the database, trying again: %s", error)
        except Exception:
            log.exception("The poll failed; trying again.")
        await asyncio.sleep(POLL_SECONDS)


def conninfo() -> str:
    """Return libpq's words for Django's default database."""
    parameters = dict(connections["default"].get_connection_params())
    for name in ("cursor_factory", "context", "prepare_threshold", "pool"):
        parameters.pop(name, None)
    return make_conninfo(**{**_NOTICE_A_DEAD_LINK, **parameters})


class Meeting:
    """Lets runs meet at topics and locks in a thread beside the loop: once for all who call while it is under way."""

    def __init__(self, spawn: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._spawn = spawn
        self._is_held = self._is_called = False

    def call(self) -> None:
        """Have everybody looked for who waits for something that a decision has just brought."""
        self._is_called = True
        if not self._is_held:
            self._is_held = True
            self._spawn(self._hold())

    async def _hold(self) -> None:
        try:
            while self._is_called:
                self._is_called = False
                await sync_to_async(_meet, thread_sensitive=False)()
        except Exception:
            log.exception("Runs could not meet just now; the poll lets them.")
        finally:
            self._is_held = False


def _meet() -> None:
    close_old_connections()
    topics.look()
    locks.look()
    close_old_connections()


def run_jobs() -> None:
    """Give each job its turn. While the database is away none would get on, and a worker that is to stop would wait."""
    close_old_connections()
    for job in dispatch.due_jobs():
        try:
            job()
        except (OperationalError, InterfaceError) as error:
            log.warning("The jobs of the poll could not reach the database, trying again: %s", error)
            break
        except Exception:  # one job's trouble must not keep the others from their turn
            log.exception("A poll job failed; it is tried again in two seconds.")
    close_old_connections()


def warm_up() -> None:
    """Load the providers' libraries where there is a connection, and spare the collector all that was loaded.

    What is there now stays for ever. Going through it again and again in search of garbage would stop the loop, and
    with it every run, for a third of a second at a time.
    """
    gc.disable()
    try:
        if Connection.objects.exists() or any(key for key, _ in settings.PROVIDER_ENV.values()):
            registry.load_providers()
        close_old_connections()
        gc.collect()
        gc.freeze()
    finally:
        gc.enable()


def ring(run_ids: Iterable[str]) -> None:
    """Wake other runs that a commit has left facts for, whoever owns them."""
    for run_id in run_ids:
        dispatch.ring(UUID(run_id))
    close_old_connections()


def forward(run_id: str, *, to_anyone: bool = False) -> None:
    dispatch.forward(run_id, to_anyone=to_anyone)
    close_old_connections()
