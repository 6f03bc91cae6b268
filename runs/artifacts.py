"""Values too large for a row: kept once per run under their digest, and named by the rows they belong to.

A row that a value was taken out of has null in its place and says in its column `large` which value belongs there:
`{"output": {"hash", "size"}}`. The reference stands beside the value and never in it, so nothing that a model, a tool
or a person writes can pass for one. `runs.store` takes values out in the commit that writes their rows, whoever makes a
run its input in the same transaction; whoever needs them whole asks here.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeGuard
from uuid import UUID

import orjson
from django.db import connection as django_connection
from django.db.models import F, Func, TextField, Value
from psycopg import AsyncConnection

from accounts.errors import NotFound
from pipelines.graph import canonical
from pipelines.graph.model import Json
from runs.models import Artifact, Run

INLINE = 256 * 1024
"""Bytes of JSON up to which a value stands in its row."""
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "runs": ("output",),
    "steps": ("input", "output", "meta"),
    "calls": ("request", "response"),
    "results": ("output", "meta"),
}
"""The columns of each part of a commit that may hold a large value."""
SHORT, MOST_TEXTS = 60, 20
"""Characters of a short text of a large input, and how many of them its reference repeats."""

_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_THERE = "select hash from runs_artifact where run_id = %s and hash = any(%s)"
_KEEP = (
    "insert into runs_artifact (run_id, hash, size, value) values (%s, %s, %s, %s::jsonb) "
    "on conflict (run_id, hash) do nothing"
)
_READ = "select hash, value from runs_artifact where run_id = %s and hash = any(%s)"
_COPY = """
insert into runs_artifact (run_id, hash, size, value)
select %(to)s, a.hash, a.size, a.value from runs_artifact a
where a.run_id = %(from)s and a.hash in (
  select named.value->>'hash' from runs_step s, jsonb_each(s.large) named where s.run_id = %(to)s
)
on conflict (run_id, hash) do nothing
"""


@dataclass(frozen=True, slots=True)
class Large:
    """A value on its way out of a row; `text` is its canonical JSON, `size` the bytes of that."""

    run_id: str
    hash: str
    size: int
    text: str

    @property
    def reference(self) -> dict[str, Json]:
        return {"hash": self.hash, "size": self.size}


def take_out(row: Mapping[str, Any], columns: Iterable[str], run_id: str) -> tuple[dict[str, Any], list[Large]]:
    """Return the row without what is too large for it, and that."""
    found: dict[str, Large] = {}
    for column in columns:
        if (large := _measured(row.get(column), run_id)) is not None:
            found[column] = large
    if not found:
        return dict(row), []
    references = {column: _reference(row[column], large) for column, large in found.items()}
    return {**row, **dict.fromkeys(found), "large": references}, list(found.values())


def take_out_input(row: Mapping[str, Any], run_id: str) -> tuple[dict[str, Any], list[Large]]:
    """Return a new run's row without an input that is too large for it, and that.

    The reference repeats the input's short texts: lists name a run by one of them.
    """
    kept, large = take_out(row, ("input",), run_id)
    if large:
        kept["large"]["input"]["texts"] = _short_texts(row["input"])
    return kept, large


def _short_texts(value: Json) -> dict[str, str]:
    texts = value.items() if isinstance(value, dict) else ()
    return dict(islice(((name, text) for name, text in texts if is_short(name) and is_short(text)), MOST_TEXTS))


def is_short(value: Json) -> TypeGuard[str]:
    """Tell whether a value is a text that can stand for a run in a line."""
    return isinstance(value, str) and 0 < len(value) <= SHORT


def _measured(value: Json, run_id: str) -> Large | None:
    if not isinstance(value, str | dict | list | tuple):
        return None
    clean = canonical.sanitise(value)[0]
    if len(orjson.dumps(clean)) <= INLINE:
        return None
    text = canonical.canonical_json(clean)
    return Large(run_id, "sha256:" + hashlib.sha256(text).hexdigest(), len(text), text.decode())


def _reference(value: Json, large: Large) -> dict[str, Json]:
    """Return what a row says of its value, with how long its lists are: a page counts the items of a For each."""
    lists = (
        {name: len(part) for name, part in value.items() if isinstance(part, list)} if isinstance(value, dict) else {}
    )
    return {**large.reference, "lengths": lists} if lists else large.reference


async def write(connection: AsyncConnection[Any], values: Sequence[Large]) -> None:
    """Keep values, each once per run; those that are there already are not sent again."""
    by_run: dict[str, dict[str, Large]] = {}
    for value in values:
        by_run.setdefault(value.run_id, {})[value.hash] = value
    for run_id, wanted in sorted(by_run.items()):
        rows = await (await connection.execute(_THERE, (run_id, list(wanted)))).fetchall()
        there = {row[0] for row in rows}
        for value in sorted(wanted.values(), key=lambda value: value.hash):
            if value.hash not in there:
                await connection.execute(_KEEP, (run_id, value.hash, value.size, value.text))


async def put_back(connection: AsyncConnection[Any], run_id: UUID | str, rows: Sequence[dict[str, Any]]) -> None:
    """Put the values of a run's rows back in their places. One query where any is missing, none otherwise."""
    named = [(row, large) for row in rows if (large := row.pop("large", None))]
    if not named:
        return
    hashes = sorted({reference["hash"] for _, large in named for reference in large.values()})
    found = dict(await (await connection.execute(_READ, (run_id, hashes))).fetchall())
    for row, large in named:
        row.update({column: found[reference["hash"]] for column, reference in large.items()})


def keep(values: Sequence[Large]) -> None:
    """Keep values in the present transaction of this thread."""
    with django_connection.cursor() as cursor:
        cursor.executemany(_KEEP, [(value.run_id, value.hash, value.size, value.text) for value in values])


def whole(run_id: UUID, large: Mapping[str, Any] | None, column: str, value: Json) -> Json:
    """Return what a column holds, whether in its row or beside it. One query where it is beside it."""
    reference = (large or {}).get(column)
    if reference is None:
        return value
    return Artifact.objects.values_list("value", flat=True).get(run_id=run_id, hash=reference["hash"])


def input_of(run: Run) -> Json:
    """Return what a run was given. One query where that is too large for its row."""
    return whole(run.pk, run.large, "input", run.input)


def glimpse_of_input(run: Run) -> Json:
    """Return what a run was given where that stands in its row, else the short texts of it. No query."""
    return (run.large or {}).get("input", {}).get("texts", run.input)


def read(run: Run, hash_: str) -> Json:
    """Return a large value of a run; raise NotFound for a digest that it does not have. One query."""
    found = Artifact.objects.filter(run=run, hash=hash_) if _HASH.fullmatch(hash_) else Artifact.objects.none()
    for value in found.values_list("value", flat=True):
        return value
    raise NotFound


def beginning(run_id: UUID, hash_: str, most: int) -> str:
    """Return the first characters of a value as text; the rest stays in the database. One query."""
    as_text = Func(F("value"), Value("{}"), template="(%(expressions)s)", arg_joiner=" #>> ", output_field=TextField())
    shown = Func(as_text, Value(most), function="left", output_field=TextField())
    return str(Artifact.objects.filter(run_id=run_id, hash=hash_).values_list(shown, flat=True).get())


def copy(from_run: UUID, to_run: UUID) -> None:
    """Give a fork the large values that the steps it took over name. One statement, inside the database."""
    with django_connection.cursor() as cursor:
        cursor.execute(_COPY, {"from": from_run, "to": to_run})
