"""Who owns a run: claims, leases and what a new owner reads. All compare-and-set on the database's clock."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import Model
from psycopg import AsyncConnection, Connection
from psycopg.rows import dict_row

from pipelines.graph.model import Json
from runs import allowance, artifacts, children
from runs.models import Call, Run
from runs.store import Fenced

_TERMINAL = ("succeeded", "failed", "cancelled")

# When the database was away, leases ran out while their owners live: each gets a moment to renew them. This is what a
# worker knows that has just begun; one that was there when the database went knows better (`Heartbeat.is_back`).
_IS_OVER = "lease_until < now() and now() > pg_postmaster_start_time() + interval '5 seconds'"


def _columns(model: type[Model], alias: str) -> str:
    """Return a table's columns by name: these statements stay prepared, and `*` means another row once one is added."""
    return ", ".join(f"{alias}.{field.column}" for field in model._meta.concrete_fields)


# The price of a model is pinned to the run when its first owner takes it: the version's lock, but for what people have
# said of it since. A word that was taken back counts only if the lock is older: a newer one holds the packaged price.
# A run that has begun without any goes on with those of its lock, whatever was said meanwhile. A run that a step
# started is a part of the run above it: what that one pays for a model, it pays too, however long after it begins.
_PRICES = """
coalesce(r.prices, case when r.revision > 0 then jsonb '{}' end, (
  select coalesce(jsonb_object_agg(p.ref, case when p.input is not null then
    jsonb_build_object('input', p.input, 'output', p.output, 'cached_input', p.cached_input) end), '{}')
  from (
    select distinct on (c.connection, c.model) c.connection || '/' || c.model as ref, c.input, c.output,
      c.cached_input, c.own, c.from_at
    from pipelines_pricechange c where c.workspace_id = r.workspace_id and c.from_at <= now()
    order by c.connection, c.model, c.from_at desc, c.id desc
  ) p join pipelines_pipelineversion v on v.id = r.version_id
  where v.lock -> 'prices' ? p.ref and (p.own or p.from_at > v.created_at)
) || coalesce((
  select jsonb_object_agg(p.ref, p.price) from runs_run above
  join pipelines_pipelineversion w on w.id = above.version_id
  cross join jsonb_each(coalesce(w.lock -> 'prices', '{}') || coalesce(above.prices, '{}')) as p (ref, price)
  join pipelines_pipelineversion v on v.id = r.version_id
  where above.id = r.parent_id and v.lock -> 'prices' ? p.ref
), '{}'))
"""

# The pipelines of the runs above a child are found by its first owner, also where an earlier version has borne it.
_ABOVE = """
coalesce(r.above, case when r.parent_id is not null then (
  with recursive up as (
    select p.pipeline_id, p.parent_id from runs_run p where p.id = r.parent_id
    union all
    select p.pipeline_id, p.parent_id from up join runs_run p on p.id = up.parent_id
  )
  select coalesce(array_agg(distinct up.pipeline_id) filter (where up.pipeline_id <> r.pipeline_id), '{}') from up
) end)
"""

_CLAIM = f"""
with old as (
  select id, owner from runs_run
  where id = %(run)s and state <> all(%(terminal)s)
    and (owner is null or %(take_over)s and {_IS_OVER})
    and (crashes < %(suspect)s or %(alone)s)
  for update skip locked
)
update runs_run r
set owner = %(owner)s, epoch = r.epoch + 1, lease_until = now() + make_interval(secs => %(lease)s),
    crashes = r.crashes + (old.owner is not null)::int, prices = {_PRICES},
    above = {_ABOVE}
from old where r.id = old.id
returning {_columns(Run, "r")}, old.owner is not null as crashed, {allowance.IS_BUDGETED} as budgeted, (
  select coalesce(jsonb_agg(jsonb_build_array(i.id, i.fact, i.large) order by i.id), '[]') from runs_inbox i
  where i.run_id = r.id and i.taken_at is null
) as inbox
"""  # noqa: S608  (what is put in is a constant)

_STEPS = """
select path, node, kind, title, state, wait_reason, attempt, flags, port, input, output, meta, error, memo, position,
  cost_micros, unpriced_calls, started_at, finished_at, large
from runs_step where run_id = %s order by position
"""
_CALLS = f"""
select {_columns(Call, "c")}, coalesce(l.amount_micros, 0) as still_reserved from runs_call c
left join runs_ledgerentry l on l.run_id = c.run_id and l.call = c.key and l.kind = 'reserved' and c.state = 'started'
where c.run_id = %s order by c.id
"""  # noqa: S608  (what is put in is a constant)
_INBOX = "select id, fact, large from runs_inbox where run_id = %s and taken_at is null order by id"
_VERSION = "select document, lock, editors from pipelines_pipelineversion where id = %s"

CRASHES_BEFORE_QUARANTINE = 2


@dataclass(frozen=True, slots=True)
class Claimed:
    """A run as its new owner finds it. `calls` is the journal; `inbox` are (row id, fact) pairs.

    `budgeted` says that its workspace or pipeline has a budget to which calls are held.
    """

    run: dict[str, Any]
    crashed: bool
    steps: list[dict[str, Any]]
    calls: list[dict[str, Any]]
    inbox: list[tuple[int, Json]]
    budgeted: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """Who claims what. `alone` says that this worker holds no other run, so it may take one that killed others.
    `take_over` is False where an owner whose lease ran out may still be coming back."""

    run_id: str
    owner: str
    lease_seconds: int
    alone: bool
    take_over: bool = True


async def claim(connection: AsyncConnection[Any], wanted: Claim) -> Claimed | None:
    """Take ownership of a run that nobody holds and return its rows; None when there is nothing to take.

    The claim is one statement of its own: from its end on, only this owner changes the rows that are read after it.
    """
    cursor = connection.cursor(row_factory=dict_row)
    await cursor.execute(
        _CLAIM,
        {
            "run": wanted.run_id,
            "owner": wanted.owner,
            "lease": wanted.lease_seconds,
            "terminal": list(_TERMINAL),
            "suspect": CRASHES_BEFORE_QUARANTINE,
            "alone": wanted.alone,
            "take_over": wanted.take_over,
        },
        prepare=True,
    )
    run = await cursor.fetchone()
    if run is None:
        return None
    crashed, budgeted, inbox = (run.pop(name) for name in ("crashed", "budgeted", "inbox"))
    fresh = run["revision"] == 0
    if budgeted:
        await allowance.release(connection, wanted.run_id)
    steps = [] if fresh else await _fetch(connection, _STEPS, run["id"])
    calls = [] if fresh else await _fetch(connection, _CALLS, run["id"])
    await artifacts.put_back(connection, run["id"], [run, *steps, *calls])
    return Claimed(run, crashed, steps, calls, await _facts(connection, inbox), budgeted)


async def read_inbox(connection: AsyncConnection[Any], run_id: UUID | str) -> list[tuple[int, Json]]:
    """Return the facts that wait for the run, oldest first."""
    cursor = await connection.execute(_INBOX, (run_id,), prepare=True)
    return await _facts(connection, await cursor.fetchall())


async def _facts(connection: AsyncConnection[Any], rows: Iterable[Sequence[Any]]) -> list[tuple[int, Json]]:
    """Return facts whole: what was too large for the inbox stays with the run that told it."""
    facts = []
    for row_id, fact, large in rows:
        if large:
            fact["large"] = large
            await artifacts.put_back(connection, large["output"]["run"], [fact])
        facts.append((row_id, fact))
    return facts


async def read_version(connection: AsyncConnection[Any], version_id: UUID) -> dict[str, Any]:
    """Return {document, lock, editors} of a pinned version."""
    rows = await _fetch(connection, _VERSION, version_id)
    if not rows:
        raise Fenced
    return rows[0]


async def _fetch(connection: AsyncConnection[Any], statement: str, key: UUID) -> list[dict[str, Any]]:
    cursor = connection.cursor(row_factory=dict_row)
    await cursor.execute(statement, (key,))
    return await cursor.fetchall()


# The states are written out, so that the planner sees that the index of open runs serves.
_CLAIMABLE = f"""
select id, crashes from runs_run r
where state in ('queued', 'running', 'waiting', 'paused', 'cancelling') and (
  (owner is null and (wake_at <= now()
     or exists (select from runs_inbox i where i.run_id = r.id and i.taken_at is null)))
  or (%(take_over)s and owner is not null and owner <> %(owner)s and {_IS_OVER}))
order by created_at limit %(limit)s
"""  # noqa: S608  (what is put in is a constant)


async def claimable(
    connection: AsyncConnection[Any], owner: str, limit: int, *, take_over: bool = True
) -> list[tuple[str, int]]:
    """Return (run id, crashes) of runs that wait for an owner: a fact, a due timer, or a lease that ran out."""
    wanted = {"owner": owner, "limit": limit, "take_over": take_over}
    cursor = await connection.execute(_CLAIMABLE, wanted, prepare=True)
    return [(str(row[0]), row[1]) for row in await cursor.fetchall()]


async def clock(connection: AsyncConnection[Any]) -> tuple[datetime, float, float]:
    """Return the database's time, and the monotonic seconds before the question and after the answer."""
    asked = time.monotonic()
    cursor = await connection.execute("select clock_timestamp()")
    row = await cursor.fetchone()
    read: datetime = row[0] if row else datetime.now(UTC)
    return read, asked, time.monotonic()


_SETTLE_ABANDONED = f"""
with dead as (
  select id from runs_run where state = any(%(terminal)s) and owner is not null and {_IS_OVER}
  for update skip locked
), lost as (
  update runs_call c set state = 'lost', finished_at = now() from dead where c.run_id = dead.id and c.state = 'started'
  returning c.run_id, c.key, c.path, c.attempt, c.kind, c.name, c.reserved_micros
), books as (
  insert into runs_ledgerentry (run_id, kind, path, call, model, amount_micros, at)
  select run_id, 'unconfirmed', path || '@' || attempt, key, name, reserved_micros, now() from lost where kind = 'model'
  on conflict do nothing
)
update runs_run r set unconfirmed_micros = r.unconfirmed_micros + r.reserved_micros, reserved_micros = 0,
  owner = null, lease_until = null
from dead where r.id = dead.id
"""  # noqa: S608  (what is put in is a constant)


async def settle_abandoned(connection: AsyncConnection[Any]) -> None:
    """Close the books of runs that had ended when their owner died with calls still under way."""
    await connection.execute(_SETTLE_ABANDONED, {"terminal": list(_TERMINAL)}, prepare=True)


async def with_mail(connection: AsyncConnection[Any], run_ids: Sequence[str]) -> list[str]:
    """Return those of my runs whose inbox holds facts, in case a bell was lost."""
    cursor = await connection.execute(
        "select distinct run_id from runs_inbox where taken_at is null and run_id = any(%s)", (list(run_ids),)
    )
    return [str(row[0]) for row in await cursor.fetchall()]


def renew(connection: Connection[Any], owner: str, lease_seconds: int) -> int:
    """Extend the lease of every run this owner holds; return how many.

    Never waits for a row: a group of decisions locks several too, in another order. A run whose decision is being
    written at this moment is renewed by the next of the three rounds in a lease.
    """
    return connection.execute(
        "update runs_run set lease_until = now() + make_interval(secs => %s) "
        "where id in (select id from runs_run where owner = %s for update skip locked)",
        (lease_seconds, owner),
    ).rowcount


async def owned(connection: AsyncConnection[Any], owner: str) -> list[tuple[str, int]]:
    """Return (run id, epoch) of every run that the rows say is this owner's."""
    cursor = await connection.execute("select id, epoch from runs_run where owner = %s", (owner,), prepare=True)
    return [(str(row[0]), row[1]) for row in await cursor.fetchall()]


async def forsake(connection: AsyncConnection[Any], run_id: str, owner: str, epoch: int) -> None:
    """Give up a run that this owner holds without knowing of it: the answer to its claim was lost on the way."""
    await connection.execute(
        """
        update runs_run set owner = case when state = any(%(terminal)s) then 'given-back' end,
          lease_until = case when state = any(%(terminal)s) then now() - interval '1 second' end, wake_at = now()
        where id = %(run)s and owner = %(owner)s and epoch = %(epoch)s
        """,
        {"run": run_id, "owner": owner, "epoch": epoch, "terminal": list(_TERMINAL)},
    )


async def expire(connection: AsyncConnection[Any], run_id: str, owner: str, epoch: int) -> None:
    """End my lease now: the next owner counts a crash."""
    await connection.execute(
        "update runs_run set lease_until = now() - interval '1 second', owner = 'given-back' "
        "where id = %s and owner = %s and epoch = %s",
        (run_id, owner, epoch),
    )


async def bury(connection: AsyncConnection[Any], run_id: str, owner: str, epoch: int) -> list[str]:
    """Fail a run as a dead letter without loading it: its log is closed, its steps and questions are.

    The run keeps an owner whose lease is over, so that `settle_abandoned` closes its books. Return the ids of the runs
    above and below it, which were told.
    """
    async with connection.transaction():
        buried = await connection.execute(_BURY, (run_id, owner, epoch))
        return await children.bury(connection, run_id) if buried.rowcount else []


_BURY = """
with buried as (
  update runs_run set state = 'failed', reason = 'dead_letter', owner = 'given-back', seq = seq + 1,
    lease_until = now() - interval '1 second', finished_at = now(), wake_at = null,
    error = jsonb_build_object('class', 'internal', 'code', 'dead_letter',
      'message', 'The run stopped its worker again and again and was given up. Look at the worker''s log.')
  where id = %s and owner = %s and epoch = %s returning id, seq
), steps as (
  update runs_step s set state = 'cancelled', wait_reason = null, finished_at = now() from buried
  where s.run_id = buried.id and s.state not in ('succeeded', 'failed', 'skipped', 'cancelled')
), questions as (
  update approvals_approval a set state = 'cancelled', decided_at = now() from buried
  where a.run_id = buried.id and a.state = 'open'
)
insert into runs_event (run_id, seq, type, at, payload)
select id, seq, 'run_finished', now(), jsonb_build_object('state', 'failed', 'reason', 'dead_letter')
from buried
"""
