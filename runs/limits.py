"""How many calls a connection takes: at once, in a minute, and how many tokens in a minute, over all workers.

A connection without limits is never asked here. The calls of one that has limits are counted exactly, over the last
sixty seconds, by rows that only this module writes, one caller of a connection at a time. Whoever must wait has a place
in line that is kept while it keeps asking. Everything by the database's clock.
"""

import math
from dataclasses import dataclass
from typing import Any

from django import db
from psycopg import AsyncConnection
from psycopg.rows import dict_row

PLACE_SECONDS = 5
"""How long a place in line is kept for somebody who does not ask again."""
MINUTE = "interval '60 seconds'"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model call of a run that wants to go through a connection; `tokens` is the most it may use."""

    connection_id: str
    run_id: str
    call: str
    owner: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Use:
    """A connection's limits (None: no limit) and what stands against them: calls under way, requests and tokens of the
    last minute. `behind`: somebody asked before. `leaves_in` is the seconds until the oldest request leaves its minute.
    """

    max_concurrent: int | None
    rpm: int | None
    tpm: int | None
    open: int
    requests: int
    tokens: int
    behind: bool
    leaves_in: float


def seconds_to_wait(use: Use, tokens: int) -> float | None:
    """Return None when a call for so many tokens may go now, else the seconds after which asking again makes sense.

    A call that alone needs more than a minute's tokens goes when the minute is empty: else it never could.
    """
    if use.behind or (use.max_concurrent is not None and use.open >= use.max_concurrent):
        return math.inf
    if use.rpm is not None and use.requests >= use.rpm:
        return use.leaves_in
    if use.tpm is not None and use.tokens + min(tokens, use.tpm) > use.tpm:
        return use.leaves_in
    return None


LIMITED = "(max_concurrent is not null or rpm is not null or tpm is not null)"
_NAMES = f"select workspace_id, name, id from pipelines_connection where {LIMITED}"
_ALONE = "select pg_advisory_xact_lock(hashtextextended(%(connection_id)s, 3))"
_USE = f"""
select c.max_concurrent, c.rpm, c.tpm,
  (select count(*) from runs_connectionuse u where u.connection_id = c.id and u.taken_at is not null
    and u.given_back_at is null and u.until > statement_timestamp()) as open,
  coalesce(m.requests, 0) as requests, coalesce(m.tokens, 0)::bigint as tokens,
  coalesce(extract(epoch from m.oldest + {MINUTE} - statement_timestamp()), 0)::float8 as leaves_in,
  exists (select from runs_connectionuse u where u.connection_id = c.id and u.taken_at is null
    and u.until > statement_timestamp() and not (u.run_id = %(run_id)s and u.call = %(call)s)
    and u.id < coalesce((select id from runs_connectionuse where run_id = %(run_id)s and call = %(call)s), u.id + 1)
  ) as behind
from pipelines_connection c
left join lateral (
  select count(*) as requests, sum(u.tokens) as tokens, min(u.taken_at) as oldest from runs_connectionuse u
  where u.connection_id = c.id and u.taken_at > statement_timestamp() - {MINUTE}
) m on true
where c.id = %(connection_id)s and {LIMITED}
"""
_NOTE = """
insert into runs_connectionuse (connection_id, run_id, call, owner, tokens, asked_at, taken_at, until)
values (%(connection_id)s, %(run_id)s, %(call)s, %(owner)s, %(tokens)s, statement_timestamp(),
  case when %(taken)s then statement_timestamp() end, statement_timestamp() + make_interval(secs => %(seconds)s))
on conflict (run_id, call) do update
set owner = excluded.owner, taken_at = excluded.taken_at, until = excluded.until, given_back_at = null
"""
_GIVE_BACK = """
update runs_connectionuse set given_back_at = statement_timestamp(), tokens = coalesce(%s, tokens)
where run_id = %s and call = %s
"""
_FORGET = "delete from runs_connectionuse where run_id = %s and call = %s"
_RENEW = """
update runs_connectionuse set until = statement_timestamp() + make_interval(secs => %s)
where owner = %s and taken_at is not null and given_back_at is null and until > statement_timestamp()
"""
_SWEEP = f"""
delete from runs_connectionuse where (given_back_at is not null or until < now())
  and coalesce(taken_at, asked_at) < now() - {MINUTE}
"""


async def limited(connection: AsyncConnection[Any]) -> dict[tuple[str, str], str]:
    """Return the ids of all connections with a limit by (workspace id, name)."""
    cursor = await connection.execute(_NAMES, prepare=True)
    return {(str(workspace_id), name): str(found) for workspace_id, name, found in await cursor.fetchall()}


async def admit(connection: AsyncConnection[Any], wanted: Wanted, lease_seconds: float) -> float | None:
    """Let a call through and return None, or give it a place in line and return after how many seconds to ask again
    (infinity: when another call ends). A transaction of its own, under a lock of the connection."""
    given = {name: getattr(wanted, name) for name in ("connection_id", "run_id", "call", "owner", "tokens")}
    async with connection.transaction():
        await connection.execute(_ALONE, given)
        cursor = connection.cursor(row_factory=dict_row)
        await cursor.execute(_USE, given, prepare=True)
        row = await cursor.fetchone()
        if row is None:  # the limits were lifted meanwhile
            return None
        wait = seconds_to_wait(Use(**row), wanted.tokens)
        taken = wait is None
        await connection.execute(_NOTE, {**given, "taken": taken, "seconds": lease_seconds if taken else PLACE_SECONDS})
    return wait


async def give_back(connection: AsyncConnection[Any], run_id: str, call: str, tokens: int | None) -> None:
    """Note that a call is over, and what it used where that is known; its request still counts in its minute."""
    await connection.execute(_GIVE_BACK, (tokens, run_id, call))


async def forget(connection: AsyncConnection[Any], run_id: str, call: str) -> None:
    """Take back a call that was not made, or somebody's place in line."""
    await connection.execute(_FORGET, (run_id, call))


async def renew(connection: AsyncConnection[Any], owner: str, lease_seconds: float) -> None:
    """Say that this owner's calls are still under way."""
    await connection.execute(_RENEW, (lease_seconds, owner))


def sweep() -> None:
    """Remove what counts for nothing any more."""
    with db.connection.cursor() as cursor:
        cursor.execute(_SWEEP)
