"""Django's database from the event loop: in a thread, and patient while the database is away."""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connections

from runs.store import is_transient

log = logging.getLogger("baton.worker")
Answer = TypeVar("Answer")

ASK_AGAIN_SECONDS = 0.5


async def ask(question: Callable[[], Answer]) -> Answer:
    """Return what the question finds; it may be asked more than once, so it must be safe to repeat.

    A database that is away is Baton's own trouble: the step waits for it, as long as its time limit lets it, and loses
    no attempt. Any other DatabaseError is raised.
    """
    while True:
        try:
            return await asyncio.to_thread(_asked, question)
        except (OperationalError, InterfaceError) as error:
            if error.__cause__ is not None and not is_transient(error.__cause__):
                raise
            log.warning("A step waits for the database: %s", error)
            await asyncio.sleep(ASK_AGAIN_SECONDS)


def _asked(question: Callable[[], Answer]) -> Answer:
    try:
        return question()
    finally:
        connections.close_all()
