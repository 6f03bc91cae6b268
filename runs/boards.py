"""The boards of runs as rows: each change a row, written with the step that made it; what stands there is read back.

The engine keeps the run's board in memory (`runs.engine.board`); these rows are what people and programs read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from pipelines.graph.model import Json
from runs.effects import Insert, Row, RunFacts
from runs.engine.board import APPEND
from runs.engine.decision import Event
from runs.models import BoardEntry, Run

_COPY = """
insert into runs_boardentry (board_id, run_id, path, key, version, op, value, at)
select %(board)s, %(fork)s, path, key, version, op, value, at from runs_boardentry
where run_id = %(run)s and path = any(%(paths)s)
"""


@dataclass(slots=True)
class Entry:
    """What stands at a key. `path` is the step that changed it last and `at` when; None for a first value."""

    key: str
    value: Json
    version: int
    path: str | None = None
    at: datetime | None = None


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
        before = found.get(row.key)
        value = [*(before.value if before else ()), row.value] if row.op == APPEND else row.value
        found[row.key] = Entry(row.key, value, row.version, row.path, row.at)
    return sorted(found.values(), key=lambda entry: entry.key)


def copy(run: Run, fork: Run, paths: list[str]) -> None:
    """Write what steps of a run did to its board once more for a fork that takes them over."""
    names: dict[str, UUID | list[str]] = {"board": fork.board_id, "fork": fork.pk, "run": run.pk, "paths": paths}
    with connection.cursor() as cursor:
        cursor.execute(_COPY, names)
