"""Circuit breakers: what fails again and again is left alone for a while, by all workers, and then tried by one call.

Five failures within a minute open a circuit. After thirty seconds one call, or one attempt of an agent, may try: its
success closes the circuit, its failure leaves it open for another thirty seconds. The row of a circuit is moved here
only, by the database's clock.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import db
from psycopg import AsyncConnection

FAILURES = 5
WINDOW_SECONDS = 60
OPEN_SECONDS = 30
PROBE_AGAIN_SECONDS = 5.0
"""After how long to ask again while somebody else's call tries."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a circuit is about: `name` is provider/model, tool@version and the host it talks to, or agent@version and
    the model that it uses."""

    workspace_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a call may be made: as the one that tries (`probe`), or not for `wait` seconds.

    `retry_at` is when the next one may try, in the past while one does.
    """

    probe: bool = False
    wait: float | None = None
    retry_at: datetime | None = None


_OPENED = "select workspace_id, subject from pipelines_circuit where opened_at is not null"
_JUDGE = """
with probing as (
  update pipelines_circuit set probe = %(call)s, probe_until = now() + make_interval(secs => %(seconds)s)
  where workspace_id = %(workspace)s and subject = %(subject)s and opened_at is not null and retry_at <= now()
    and (probe_until is null or probe_until < now() or probe = %(call)s)
  returning id
)
select exists (select from probing), retry_at, extract(epoch from retry_at - now())::float8 from pipelines_circuit
where workspace_id = %(workspace)s and subject = %(subject)s and opened_at is not null
"""
# `recent` is what the row will hold; a circuit that is open counts nothing: what fails now was under way before.
_RECENT = (
    "(select coalesce(array_agg(f order by f), '{}') from (select f from unnest(c.failures || now()) f "
    "where f > now() - make_interval(secs => %(window)s) order by f desc limit %(most)s) newest)"
)
_COUNT = f"""
insert into pipelines_circuit as c (workspace_id, subject, failures, probe)
values (%(workspace)s, %(subject)s, array[now()], '')
on conflict (workspace_id, subject) do update set
  failures = case when c.opened_at is null and cardinality({_RECENT}) < %(most)s then {_RECENT} else '{{}}' end,
  opened_at = case when c.opened_at is null and cardinality({_RECENT}) < %(most)s then null
    else coalesce(c.opened_at, now()) end,
  retry_at = case when c.opened_at is not null then c.retry_at
    when cardinality({_RECENT}) >= %(most)s then now() + make_interval(secs => %(open)s) end
returning opened_at is not null
"""
_REOPEN = """
update pipelines_circuit set retry_at = now() + make_interval(secs => %(open)s), probe = '', probe_until = null
where workspace_id = %(workspace)s and subject = %(subject)s and opened_at is not null and probe = %(call)s
"""
_CLOSE = """
delete from pipelines_circuit where workspace_id = %(workspace)s and subject = %(subject)s and probe = %(call)s
"""
_RELEASE = """
update pipelines_circuit set probe = '', probe_until = null
where workspace_id = %(workspace)s and subject = %(subject)s and probe = %(call)s
"""
_SWEEP = f"""
delete from pipelines_circuit where opened_at is null
  and not exists (select from unnest(failures) f where f > now() - interval '{WINDOW_SECONDS} seconds')
"""


async def opened(connection: AsyncConnection[Any]) -> set[Subject]:
    """Return every open circuit of every workspace: seldom many."""
    cursor = await connection.execute(_OPENED, prepare=True)
    return {Subject(str(workspace_id), name) for workspace_id, name in await cursor.fetchall()}


async def verdict(connection: AsyncConnection[Any], subject: Subject, call: str, seconds: float) -> Verdict:
    """Say whether a call may be made. The one that tries has `seconds` to say how it went; then another may."""
    cursor = await connection.execute(_JUDGE, {**_named(subject), "call": call, "seconds": seconds})
    row = await cursor.fetchone()
    if row is None:
        return Verdict()
    probe, retry_at, wait = row
    return Verdict(probe=True) if probe else Verdict(wait=wait if wait > 0 else PROBE_AGAIN_SECONDS, retry_at=retry_at)


async def count_failure(connection: AsyncConnection[Any], subject: Subject) -> bool:
    """Count a failure; return whether the circuit is open now."""
    given = {**_named(subject), "window": WINDOW_SECONDS, "most": FAILURES, "open": OPEN_SECONDS}
    cursor = await connection.execute(_COUNT, given)
    row = await cursor.fetchone()
    return bool(row and row[0])


async def reopen(connection: AsyncConnection[Any], subject: Subject, call: str) -> None:
    """The call that tried has failed: leave it alone for another while."""
    await connection.execute(_REOPEN, {**_named(subject), "call": call, "open": OPEN_SECONDS})


async def close(connection: AsyncConnection[Any], subject: Subject, call: str) -> None:
    """The call that tried was answered: everybody may call again."""
    await connection.execute(_CLOSE, {**_named(subject), "call": call})


async def release(connection: AsyncConnection[Any], subject: Subject, call: str) -> None:
    """The call that was to try was not made: let another one try."""
    await connection.execute(_RELEASE, {**_named(subject), "call": call})


def sweep() -> None:
    """Remove the rows of what has not failed for a minute."""
    with db.connection.cursor() as cursor:
        cursor.execute(_SWEEP)


def _named(subject: Subject) -> dict[str, Any]:
    return {"workspace": subject.workspace_id, "subject": subject.name}
