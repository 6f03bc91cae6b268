"""The boards of runs as rows: each change a row, written with the step that made it; what stands there is read back.

A run's own board is in its memory (`runs.engine.board`); its rows are what people and programs read. A board that
several runs share is these rows: one change after the other, each once, whoever makes it and however often it is asked
for; and each of the runs reads what is new before it decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from pipelines.graph import canonical
from pipelines.graph.model import Json
from runs.effects import Insert, Row, RunFacts
from runs.engine.board import APPEND, Board, Change
from runs.engine.decision import Event
from runs.engine.facts import ErrorClass, StepError
from runs.models import BoardEntry, Run

# Of a fork's own steps and of the runs below them only what is kept; of other runs at the same board, everything.
_COPY = """
with recursive below as (
  select id, parent_path as top from runs_run where parent_id = %(run)s
  union all
  select r.id, b.top from runs_run r join below b on r.parent_id = b.id
)
insert into runs_boardentry (board_id, run_id, path, key, version, op, value, at)
select %(board)s, case when e.run_id = %(run)s then %(fork)s else e.run_id end, e.path, e.key, e.version, e.op, e.value,
  e.at
from runs_boardentry e left join below b on b.id = e.run_id
where e.board_id = %(old)s and case
  when e.run_id = %(run)s then e.path = any(%(paths)s) when b.id is not null then b.top = any(%(paths)s) else true end
"""

# One change of a board at a time, and whoever looks sees them in this order: the ids of its rows rise with it.
_ALONE = "select pg_advisory_xact_lock(hashtextextended('baton/board/' || %s, 0))"
_MINE = "select from runs_run where id = %s and owner = %s and epoch = %s for share"
_MADE = "select key, version, op, value from runs_boardentry where run_id = %s and request = %s"
_STANDING = """
select key, version, op, value from runs_boardentry
where board_id = %(board)s and key = %(key)s and version <= coalesce(%(upto)s, version) and version >= coalesce((
  select max(version) from runs_boardentry
  where board_id = %(board)s and key = %(key)s and op = 'write' and version <= coalesce(%(upto)s, version)), 0)
order by version
"""
_OTHERS = "select count(distinct key) from runs_boardentry where board_id = %s and key <> %s"
_CHANGE = """
insert into runs_boardentry (board_id, run_id, path, key, version, op, value, at, request)
values (%s, %s, %s, %s, %s, %s, %s, now(), %s)
"""
_OPEN = """
insert into runs_boardentry (board_id, run_id, path, key, version, op, value, at)
select %(board)s, %(run)s, '', first.key, 1, 'write', first.value, now() from jsonb_each(%(first)s) first
on conflict do nothing
"""
_ALL = """
select e.id, e.key, e.version, e.op, e.value from runs_boardentry e
left join (select key, max(version) as version from runs_boardentry where board_id = %(board)s and op = 'write'
  group by key) written on written.key = e.key
where e.board_id = %(board)s and e.version >= coalesce(written.version, 0) order by e.key, e.version
"""
_NEW = """
select id, key, version, op, value from runs_boardentry where board_id = %(board)s and id > %(seen)s order by id
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A board as one of the runs that share it sees it. `owner` holds the run at `epoch`."""

    board: str
    run: str
    owner: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """A change that a step wants to make of a shared board, known by `request` however often it is asked for.

    `expected` is the version that must still stand, None for any.
    """

    path: str
    request: str
    op: str
    key: str
    value: Json
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A change that stands on the board. `size` is the length of the list that was appended to."""

    change: Change
    size: int | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What is new on a board, oldest first, and up to where it was read."""

    upto: int
    changes: tuple[tuple[str, int, str, Json], ...]


@dataclass(slots=True)
class Entry:
    """What stands at a key. `path` is the step that changed it last, in the run `run`, and `at` when; a first value of
    a document has no path."""

    key: str
    value: Json
    version: int
    path: str | None = None
    at: datetime | None = None
    run: UUID | None = None


def changed(event: Event, run: RunFacts) -> list[Row]:
    """Return the row of a change (`board_changed`)."""
    names = ("key", "version", "op", "value")
    row = {name: event.payload[name] for name in names}
    board = {"board_id": run.board_id, "run_id": run.id, "path": event.path or "", "at": run.now.isoformat()}
    return [Insert("runs_boardentry", {**board, **row})]


def read(run: Run, first: Mapping[str, Json]) -> list[Entry]:
    """Return what stands on a run's board by key; `first` are the values its document begins with."""
    found = {key: Entry(key, value, 1) for key, value in first.items()}
    for row in BoardEntry.objects.filter(board_id=run.board_id).order_by("key", "version"):
        before = found.get(row.key) if row.version > 1 else None  # a first value is version 1 where it counts
        value = [*(before.value if before else ()), row.value] if row.op == APPEND else row.value
        found[row.key] = Entry(row.key, value, row.version, row.path or None, row.at, row.run_id)
    return sorted(found.values(), key=lambda entry: entry.key)


def copy(run: Run, fork: Run, paths: list[str]) -> None:
    """Write what stands on a run's board once more for a fork, without what steps wrote that it does not take over."""
    boards: dict[str, UUID | list[str]] = {"board": fork.board_id, "old": run.board_id}
    with connection.cursor() as cursor:
        cursor.execute(_COPY, {**boards, "fork": fork.pk, "run": run.pk, "paths": paths})


# -- boards that runs share -------------------------------------------------------------------------------------------


async def begin(connection: AsyncConnection[Any], place: Place, first: Mapping[str, Json]) -> None:
    """Put the first values of a run's document on the board that it shares, where nothing has ever stood there."""
    if first:
        async with connection.transaction():
            await connection.execute(_ALONE, (place.board,))
            await connection.execute(_OPEN, {"board": place.board, "run": place.run, "first": Jsonb(dict(first))})


async def change(connection: AsyncConnection[Any], place: Place, wanted: Wanted) -> Made | StepError:
    """Make a change unless it was made already, or return why not: `board_conflict`, `not_a_list`, `board_full`.

    Every run at the board waits for its turn; a former owner of the run changes nothing.
    """
    async with connection.transaction():
        await connection.execute(_ALONE, (place.board,))
        cursor = await connection.execute(_MADE, (place.run, wanted.request))
        if made := await cursor.fetchone():
            return await _made(connection, place, Change(*made))
        cursor = await connection.execute(_MINE, (place.run, place.owner, place.epoch))
        if await cursor.fetchone() is None:
            return StepError(ErrorClass.INTERNAL, "cancelled", "Another worker owns the run now.")
        standing = await _standing(connection, place, wanted.key)
        value, _ = canonical.sanitise(wanted.value)
        found = standing.change(wanted.key, wanted.op, value, wanted.expected)
        if isinstance(found, Change):
            row = (place.board, place.run, wanted.path, *found[:3], Jsonb(found.value), wanted.request)
            await connection.execute(_CHANGE, row)
            return await _made(connection, place, found)
        return found


async def look(connection: AsyncConnection[Any], board: str, seen: int) -> Seen:
    """Return what is new on a board since it was read up to `seen`; of all there is (0) only what still counts."""
    cursor = await connection.execute(_NEW if seen else _ALL, {"board": board, "seen": seen}, prepare=True)
    rows = await cursor.fetchall()
    return Seen(max((row[0] for row in rows), default=seen), tuple(row[1:] for row in rows))


async def _standing(connection: AsyncConnection[Any], place: Place, key: str, upto: int | None = None) -> Board:
    """Return the board with what stands at one key, or stood there at a version; the other entries are counted."""
    cursor = await connection.execute(_STANDING, {"board": place.board, "key": key, "upto": upto})
    board = Board()
    board.see(Change(*row) for row in await cursor.fetchall())
    if not board.version_of(key):
        cursor = await connection.execute(_OTHERS, (place.board, key))
        row = await cursor.fetchone()
        board.others = row[0] if row else 0
    return board


async def _made(connection: AsyncConnection[Any], place: Place, made: Change) -> Made:
    if made.op != APPEND:
        return Made(made, None)
    board = await _standing(connection, place, made.key, made.version)
    return Made(made, len(board.values[made.key]))
