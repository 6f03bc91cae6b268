"""The rows that a new child run begins with, written in the commit of the decision that starts it."""

from typing import Any

import orjson
from psycopg import AsyncConnection, sql

from pipelines.graph import canonical
from runs import artifacts
from runs.artifacts import Large
from runs.effects import StartRun
from runs.engine.facts import RunRequested, to_json

# The counter is moved only for a run that is not there yet: a commit that is written twice counts once.
_BEGIN = """
with wanted as materialized (select * from jsonb_populate_record(null::runs_run, %(row)s::jsonb)),
counter as (
  insert into runs_runcounter (workspace_id, last)
  select workspace_id, 1 from wanted where not exists (select from runs_run r where r.id = wanted.id)
  on conflict (workspace_id) do update set last = runs_runcounter.last + 1 returning last
), born as (
  insert into runs_run ({names}, number) select {names}, counter.last from wanted, counter
  returning id, created_at
), logged as (
  insert into runs_event (run_id, seq, type, at, payload)
  select id, 1, 'run_created', created_at, %(created)s::jsonb from born
)
insert into runs_inbox (run_id, key, fact, created_at)
select id, 'start', %(start)s::jsonb, created_at from born
"""


async def write(connection: AsyncConnection[Any], birth: StartRun) -> None:
    """Create a child run, with its first event and the fact that starts it; nothing when it is there already."""
    row, large = dict(birth.row), list[Large]()
    text = canonical.compact_json(row)
    if len(text.encode()) > artifacts.INLINE:
        row, large = artifacts.take_out_input(row, str(row["id"]))
        text = canonical.compact_json(row)
    names = sql.SQL(", ").join(sql.Identifier(name) for name in row)
    born = await connection.execute(
        sql.SQL(_BEGIN).format(names=names),
        {
            "row": text,
            "created": orjson.dumps(dict(birth.created)).decode(),
            "start": orjson.dumps(to_json(RunRequested())).decode(),
        },
    )
    if born.rowcount:
        await artifacts.write(connection, large)
