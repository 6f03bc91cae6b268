"""The one door into a run: `report` leaves a fact in the run's inbox and rings its owner.

The fact is a row in the sender's own transaction, unique by key; the bell is a Celery message with the run's id that
may be lost, doubled or late, because every worker also looks into the inboxes every two seconds.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from celery import current_app
from django.db import connection, transaction
from kombu.exceptions import OperationalError

from runs.effects import Insert
from runs.engine.facts import OutsideFact, to_json

log = logging.getLogger("baton.dispatch")

SHARED_QUEUE = "baton"


@dataclass(slots=True)
class _Poll:
    """A job of the poll and when, on this process's clock, its next turn comes."""

    job: Callable[[], None]
    every: float
    turn_at: float = 0.0


_POLLS: list[_Poll] = []


def report(run_id: UUID, fact: OutsideFact, key: str) -> bool:
    """Leave a fact for the run in the present transaction; return False when this key was reported before."""
    import orjson

    with connection.cursor() as cursor:
        cursor.execute(
            "insert into runs_inbox (run_id, key, fact, created_at) values (%s, %s, %s, now()) "
            "on conflict (run_id, key) do nothing",
            (run_id, key, orjson.dumps(to_json(fact)).decode()),
        )
        fresh: bool = cursor.rowcount == 1
    transaction.on_commit(
        lambda: ring(run_id), robust=True
    )  # the fact is written: whatever keeps the bell from ringing
    return fresh


def fact_row(run_id: UUID | str, fact: OutsideFact, key: str) -> Insert:
    """Return a fact for another run as a row of a worker's commit; once that is durable, `ring` the run."""
    row = {"run_id": str(run_id), "key": key, "fact": to_json(fact), "created_at": datetime.now(UTC).isoformat()}
    return Insert("runs_inbox", row)


def ring(run_id: UUID) -> None:
    """Wake the run's owner, or any worker when nobody owns it. A broker that is away only costs time."""
    owner = _owner(run_id)
    _send(run_id, queue_of(owner) if owner else SHARED_QUEUE, forwarded=False)


def forward(run_id: str, *, to_anyone: bool) -> None:
    """Pass a bell on, once, to the owner of a run that another worker holds, else `to_anyone` who can claim it.

    Whoever cannot either, or is the same worker, leaves it to the poll.
    """
    owner = _owner(run_id)
    if owner or to_anyone:
        _send(run_id, queue_of(owner) if owner else SHARED_QUEUE, forwarded=True)


def queue_of(owner: str) -> str:
    """Return the queue that only this owner's process reads. An owner is `node/incarnation`."""
    return f"{SHARED_QUEUE}.{owner.split('/', maxsplit=1)[0]}"


def _owner(run_id: UUID | str) -> str | None:
    with connection.cursor() as cursor:
        cursor.execute("select owner from runs_run where id = %s and lease_until > now()", (run_id,))
        row = cursor.fetchone()
    return row[0] if row else None


def _send(run_id: UUID | str, queue: str, *, forwarded: bool) -> None:
    try:
        current_app.send_task("runs.wake", (str(run_id), forwarded), queue=queue, retry=False, ignore_result=True)
    except (OperationalError, OSError) as error:
        log.warning("The broker did not take the bell for run %s: %s", run_id, error)


def on_poll(job: Callable[[], None], *, every: float = 0.0) -> Callable[[], None]:
    """Register a job that every worker runs in a thread with its poll of two seconds: short, safe when two run at once.

    One that nobody waits for may say after how many seconds, at the earliest, its turn comes again.
    """
    if all(poll.job != job for poll in _POLLS):
        _POLLS.append(_Poll(job, every))
    return job


def poll_jobs() -> tuple[Callable[[], None], ...]:
    """Return every job there is, due or not."""
    return tuple(poll.job for poll in _POLLS)


def due_jobs() -> Iterator[Callable[[], None]]:
    """Give the jobs whose turn has come, one after the other; a job that was not asked for keeps its turn."""
    now = time.monotonic()
    for poll in _POLLS:
        if poll.turn_at <= now:
            poll.turn_at = now + poll.every
            yield poll.job
