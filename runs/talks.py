"""What agents said before: earlier steps of a run, and sessions that outlive runs. `runs.store` writes the turns of a
session in the commit that ends the step; here they are read, and forgotten when they are old or too many."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django import db
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from pipelines.graph.canonical import canonical_json
from pipelines.graph.model import Json

MOST_TURNS = 200
MOST_CHARACTERS = 64_000
"""How much of one prompt or answer is heard again."""
KEPT_DAYS = 90

_HEARD = """
select path, left(input->>'prompt', %(most)s) as prompt,
  left(case jsonb_typeof(output) when 'string' then output #>> '{}' else output::text end, %(most)s) as answer
from runs_step where run_id = %(run)s and path = any(%(paths)s) and state = 'succeeded' order by position
"""
_SAID = """
select prompt, answer, trust from (
  select id, prompt, answer, trust from runs_turn where workspace_id = %s and key = %s order by id desc limit %s
) newest order by id
"""
_SWEEP = f"""
delete from runs_turn where id in (
  select id from (
    select id, created_at, row_number() over (partition by workspace_id, key order by id desc) as nth from runs_turn
  ) turns where nth > {MOST_TURNS} or created_at < now() - interval '{KEPT_DAYS} days' limit 1000
)
"""  # noqa: S608  (what is put in is a constant)


@dataclass(frozen=True, slots=True)
class Turn:
    """One exchange: what an agent was asked, whose words that was (`trust`), and what it answered."""

    prompt: str
    answer: str
    trust: str

    def as_json(self) -> dict[str, Json]:
        return asdict(self)


def kept(value: Json) -> str:
    """Return a value as a session keeps it: text, and no more of it than a talk needs."""
    text = value if isinstance(value, str) else canonical_json(value).decode()
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"


async def heard(connection: AsyncConnection[Any], run_id: str, trusts: dict[str, str]) -> list[Turn]:
    """Return what the steps at these paths were asked and answered, in their order, of those that succeeded. One query.

    `trusts` says whose words each prompt is.
    """
    cursor = connection.cursor(row_factory=dict_row)
    given = {"run": run_id, "paths": list(trusts), "most": MOST_CHARACTERS}
    await cursor.execute(_HEARD, given, prepare=True)
    rows = await cursor.fetchall()
    return [Turn(row["prompt"] or "", row["answer"] or "", trusts[row["path"]]) for row in rows]


async def said(connection: AsyncConnection[Any], workspace_id: str, key: str) -> list[Turn]:
    """Return the newest turns of a session of this workspace, oldest first. One query."""
    cursor = await connection.execute(_SAID, (workspace_id, key, MOST_TURNS), prepare=True)
    return [Turn(*row) for row in await cursor.fetchall()]


def sweep() -> None:
    """Forget turns that are old, or too many in one session, a thousand at a time."""
    with db.connection.cursor() as cursor:
        cursor.execute(_SWEEP)


def from_json(found: Json) -> Sequence[Turn]:
    """Return the turns that a journal entry kept."""
    return [Turn(**turn) for turn in found]
