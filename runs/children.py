"""Child runs as rows of a worker's commit: their beginning, what they are told, and what they tell at their end.

`runs.engine.children` decides; here are the rows that follow, which travel with the decision.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from pipelines.graph.canonical import digest
from pipelines.graph.model import Json
from runs.dispatch import fact_row
from runs.effects import Insert, StartRun
from runs.engine import allotting, doubts
from runs.engine.decision import AskAbove, ChildStart, Decision, Tell
from runs.engine.facts import Answered, CancelRequested, ChildEnded, MoreWanted, to_json
from runs.engine.state import Execution
from runs.models import Run, Via


@dataclass(frozen=True, slots=True)
class Above:
    """What a run passes on to its children. `row` is its own; `editors` are those of its version and of all above."""

    row: Mapping[str, Any]
    version_id: str
    editors: tuple[str, ...]


def relatives(
    above: Above, decision: Decision, execution: Execution, revision: int, now: datetime
) -> list[StartRun | Insert]:
    """Return what a decision means for the runs below and above: those it starts, and what it tells and asks others."""
    return [
        *births(above, decision.children, now),
        *told(str(above.row["id"]), decision.tells, revision),
        *asked(above.row, decision.asks),
        *(ended(above.row, execution) if decision.ends else ()),
    ]


def births(above: Above, starts: Iterable[ChildStart], now: datetime) -> list[StartRun]:
    """Return the runs that a decision starts. Starter, tags and rehearsal are those of the run above."""
    return [_birth(above, start, now) for start in starts]


def told(run_id: str, tells: Iterable[Tell], revision: int) -> list[Insert]:
    """Return what a decision leaves in the inboxes of children; a repeated commit leaves it once."""
    return [
        fact_row(tell.child, tell.fact, _key(run_id, tell, f"{revision}:{number}")) for number, tell in enumerate(tells)
    ]


def ended(row: Mapping[str, Any], execution: Execution) -> list[Insert]:
    """Return what a run that has ended leaves for the run that started it."""
    if row["parent_id"] is None:
        return []
    fact = ChildEnded(
        row["parent_path"],
        row["parent_count"],
        execution.state,
        execution.reason,
        execution.output,
        doubts.error_of(execution),
        allotting.used_by(execution.spend),
    )
    return [fact_row(row["parent_id"], fact, _end_key(row["id"]))]


def asked(row: Mapping[str, Any], asks: Iterable[AskAbove]) -> list[Insert]:
    """Return the questions of a decision to the run that started this one."""
    return [
        fact_row(
            row["parent_id"],
            MoreWanted(row["parent_path"], row["parent_count"], ask.request, ask.what, ask.short),
            f"more:{row['id']}:{digest(ask.request)[7:23]}",
        )
        for ask in asks
    ]


def _birth(above: Above, start: ChildStart, now: datetime) -> StartRun:
    row = above.row
    parent = {"parent_run": str(row["id"]), "parent_number": row["number"], "parent_path": start.path}
    origin = {**start.origin.as_json(), "editors": list(above.editors), "detached": start.detached}
    return StartRun(
        row={
            **_defaults(),
            "id": start.id,
            "workspace_id": str(row["workspace_id"]),
            "pipeline_id": start.pipeline or str(row["pipeline_id"]),
            "version_id": start.version or above.version_id,
            "input": start.input,
            "tags": row["tags"],
            "rehearsal": row["rehearsal"],
            "started_by_id": row["started_by_id"],
            "via": Via.PIPELINE,
            "board_id": str(row["board_id"]) if start.origin.shares_board else start.id,
            "parent_id": str(row["id"]),
            "parent_path": start.path,
            "parent_count": start.number,
            "origin": origin,
            "budget": asdict(start.budget),
            "seq": 1,
            "created_at": now.isoformat(),
        },
        created=parent,
    )


@cache
def _defaults() -> Mapping[str, Json]:
    """Return the columns of a new run that have a default, so that a later column needs nothing here."""
    fields = (field for field in Run._meta.concrete_fields if field.has_default() and not field.primary_key)
    return {str(field.column): field.get_default() for field in fields}


def _key(run_id: str, tell: Tell, place: str) -> str:
    """A run is cancelled once, by whomever; pauses and resumes alternate, in one decision too."""
    if isinstance(tell.fact, CancelRequested):
        return "cancel"
    if isinstance(tell.fact, Answered):
        return f"answered:{run_id}:{digest(tell.fact.request)[7:23]}"
    return f"{to_json(tell.fact)['fact']}:{run_id}:{place}"


def _end_key(run_id: Any) -> str:
    return f"child:{run_id}"


_BURIED = """
with recursive below as (
  select * from runs_run where id = %(run)s
  union all
  select r.* from runs_run r join below b on r.parent_id = b.id
), used as (
  select coalesce(sum(cost_micros + reserved_micros + unconfirmed_micros), 0)::bigint as cost,
    coalesce(sum(cost_micros), 0)::bigint as paid,
    coalesce(sum(input_tokens + output_tokens), 0)::bigint + (
      select coalesce(sum(c.reserved_tokens), 0)::bigint from runs_call c join below on below.id = c.run_id
      where c.kind = 'model' and c.state in ('started', 'lost')
    ) as tokens,
    coalesce(sum(llm_calls), 0)::bigint as calls, coalesce(sum(machine_ms), 0)::bigint as machine_ms
  from below
)
select r.parent_id, r.parent_path, r.parent_count, r.error, to_jsonb(used) as spent from runs_run r, used
where r.id = %(run)s and r.state = 'failed'
"""
_LEAVE_FACT = (
    "insert into runs_inbox (run_id, key, fact, created_at) values (%s, %s, %s, now()) "
    "on conflict (run_id, key) do nothing"
)
_CHILDREN = """
select id from runs_run where parent_id = %s and state not in ('succeeded', 'failed', 'cancelled')
  and not coalesce((origin->>'detached')::bool, false)
"""


async def bury(connection: AsyncConnection[Any], run_id: str) -> list[str]:
    """Tell those around a run that was failed unread: its parent that it ended, its children to stop.

    Return the ids of the runs that were told. Belongs into the transaction that fails the run.
    """
    cursor = connection.cursor(row_factory=dict_row)
    await cursor.execute(_BURIED, {"run": run_id})
    row = await cursor.fetchone()
    if row is None:
        return []
    children: Sequence[Any] = await (await connection.execute(_CHILDREN, (run_id,))).fetchall()
    facts: list[tuple[str, str, Any]] = [
        (str(child), "cancel", CancelRequested(reason="The run that started it was given up.")) for (child,) in children
    ]
    if row["parent_id"]:
        end = ChildEnded(
            row["parent_path"], row["parent_count"], "failed", "dead_letter", None, row["error"], row["spent"]
        )
        facts.append((str(row["parent_id"]), _end_key(run_id), end))
    for told_id, key, fact in facts:
        await connection.execute(_LEAVE_FACT, (told_id, key, Jsonb(to_json(fact))))
    return [told_id for told_id, _, _ in facts]
