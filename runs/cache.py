"""Results of steps kept for later steps of the same workspace; `runs.store` writes them with the step's success."""

from dataclasses import dataclass
from typing import Any

from django import db
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from pipelines.graph.model import Json
from runs import artifacts

_LOOK_UP = """
select run_id, path, output, meta, ports, model, cost_micros, large from runs_cacheentry
where workspace_id = %s and key = %s and expires_at > now()
"""
_SWEEP = "delete from runs_cacheentry where id in (select id from runs_cacheentry where expires_at < now() limit 1000)"


@dataclass(frozen=True, slots=True)
class Kept:
    """A result and where it came from: `run_id`, `path`; `cost_micros` is what it cost there (None: unknown)."""

    run_id: str
    path: str
    output: Json
    meta: Json
    ports: tuple[str, ...]
    model: str
    cost_micros: int | None


async def look_up(connection: AsyncConnection[Any], workspace_id: str, key: str) -> Kept | None:
    """Return the result under this key, unless it has expired. One query, two for a large one."""
    cursor = connection.cursor(row_factory=dict_row)
    await cursor.execute(_LOOK_UP, (workspace_id, key), prepare=True)
    row = await cursor.fetchone()
    if row is None:
        return None
    try:
        await artifacts.put_back(connection, row["run_id"], [row])
    except KeyError:  # retention has removed it between the two queries
        return None
    return Kept(**{**row, "run_id": str(row["run_id"]), "ports": tuple(row["ports"])})


def sweep() -> None:
    """Remove what has expired, a thousand at a time."""
    with db.connection.cursor() as cursor:
        cursor.execute(_SWEEP)
