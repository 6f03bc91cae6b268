"""What agents said before: earlier steps of a run, and sessions that outlive runs. `runs.store` writes the turns of a
session in the commit that ends the step; here they are read, and forgotten when they are old or too many."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django import db
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from pipelines.graph.canonical import canonical_json, digest
from pipelines.graph.model import Json

MOST_TURNS = 200
MOST_CHARACTERS = 64_000
"""How much of one prompt or answer is heard again."""
KEPT_DAYS = 90
MOST_SUMMARIES = 20

_HEARD = """
select path, left(given->>'prompt', %(most)s) as prompt,
  left(case jsonb_typeof(came) when 'string' then came #>> '{}' else came::text end, %(most)s) as answer
from (
  select s.path, s.position, coalesce(s.input, i.value) as given, coalesce(s.output, o.value) as came
  from runs_step s
  left join runs_artifact i on i.run_id = s.run_id and i.hash = s.large #>> '{input,hash}'
  left join runs_artifact o on o.run_id = s.run_id and o.hash = s.large #>> '{output,hash}'
  where s.run_id = %(run)s and s.path = any(%(paths)s) and s.state = 'succeeded'
) step order by position
"""
_SAID = """
select prompt, answer, trust from (
  select id, prompt, answer, trust from runs_turn where workspace_id = %s and key = %s order by id desc limit %s
) newest order by id
"""
_SWEEP = """
delete from {table} where id in (
  select said.id from (
    select id, workspace_id, created_at, row_number() over (partition by workspace_id, key order by id desc) as nth
    from {table}
  ) said join accounts_workspace w on w.id = said.workspace_id
  where nth > %s or said.created_at < now() - make_interval(days => least(%s, w.keep_content_days)) limit 1000
)
"""


_SUMMARIES = """
select covers, text from runs_summary where workspace_id = %s and key = %s order by id desc limit %s
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """One exchange: what an agent was asked, whose words that was (`trust`), and what it answered."""

    prompt: str
    answer: str
    trust: str

    def as_json(self) -> dict[str, Json]:
        return asdict(self)

    @property
    def mark(self) -> str:
        """Return what tells this turn from others."""
        return digest(self.as_json()).removeprefix("sha256:")[:16]


@dataclass(frozen=True, slots=True)
class Summary:
    """What some turns were summed up to; `covers` has their marks."""

    covers: tuple[str, ...]
    text: str

    def as_json(self) -> dict[str, Json]:
        return {"covers": list(self.covers), "text": self.text}


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


async def summaries(connection: AsyncConnection[Any], workspace_id: str, key: str) -> list[Summary]:
    """Return what a talk of this workspace was summed up to, newest first. One query."""
    cursor = await connection.execute(_SUMMARIES, (workspace_id, key, MOST_SUMMARIES), prepare=True)
    return [Summary(tuple(covers), text) for covers, text in await cursor.fetchall()]


def sweep() -> None:
    """Forget turns and summaries that are old, or too many in one session, a thousand at a time.

    Old are those of 90 days ago, and of before the days for which their workspace keeps content.
    """
    with db.connection.cursor() as cursor:
        cursor.execute(_SWEEP.format(table="runs_turn"), (MOST_TURNS, KEPT_DAYS))
        cursor.execute(_SWEEP.format(table="runs_summary"), (MOST_SUMMARIES, KEPT_DAYS))


def from_json(found: Json) -> Sequence[Turn]:
    """Return the turns that a journal entry kept."""
    return [Turn(**turn) for turn in found]
