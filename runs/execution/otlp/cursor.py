"""How far the spans have been sent: one row, held by one sender at a time, moved only after the collector took them.

Spans are numbered as they are written, but become visible as their transactions end: a higher number may be seen
before a lower one. So nothing is sent past a number until every transaction that ran when it was first seen has
ended. A commit writes its run before its spans (`runs.store`), so a span's number is drawn after its transaction has
an id, and this rule skips none.
"""

import secrets
from dataclasses import dataclass
from typing import Any

from django.db import connection

from pipelines.graph.canonical import sanitise
from runs.models import SpanExport

OTLP = "otlp"
HOLD_SECONDS = 60
"""How long a sender that dies keeps the others from sending."""
BACKOFF = (2, 5, 10, 30, 60)
"""Seconds to wait after failures in a row; the last is for all further ones."""

_LOOK = """
    SELECT coalesce(max(id), 0), pg_snapshot_xmax(pg_current_snapshot())::text::bigint FROM runs_span
"""
_OLDEST = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
_TAKE = """
    UPDATE runs_spanexport SET holder = %(holder)s, held_until = clock_timestamp() + make_interval(secs => %(seconds)s)
    WHERE name = %(name)s AND coalesce(next_at <= clock_timestamp(), true)
      AND (held_until IS NULL OR held_until < clock_timestamp())
    RETURNING position
"""
# Fenced by holder and position: a sender that was taken for dead moves nothing when it comes back.
_MOVE = """
    UPDATE runs_spanexport SET position = %(to)s, sent = sent + %(sent)s, refused = refused + %(refused)s,
      failures = 0, next_at = NULL, error = %(error)s,
      held_until = clock_timestamp() + make_interval(secs => %(seconds)s)
    WHERE name = %(name)s AND holder = %(holder)s AND position = %(position)s RETURNING position
"""
_FAIL = """
    UPDATE runs_spanexport SET failures = failures + 1, error = %(error)s, held_until = NULL,
      next_at = clock_timestamp() + make_interval(secs => (%(waits)s::int[])[least(failures + 1, %(steps)s)])
    WHERE name = %(name)s AND holder = %(holder)s
"""
_LET_GO = "UPDATE runs_spanexport SET held_until = NULL WHERE name = %(name)s AND holder = %(holder)s"


class Lost(Exception):
    """Another sender goes on from here: this one was silent for too long."""


@dataclass(frozen=True, slots=True)
class _Sight:
    """The newest span at one moment, and the first transaction id that was not given out then."""

    newest: int
    horizon: int


class Horizon:
    """Tells up to which number all spans are there to be read. One per process, asked by one thread."""

    def __init__(self) -> None:
        self._sight: _Sight | None = None
        self._safe: int | None = None

    def safe(self) -> int | None:
        """Return a number up to which no span can appear any more, None while none is known; two queries."""
        sight = self._sight = self._sight or _Sight(*_row(_LOOK))
        (oldest,) = _row(_OLDEST)
        if oldest >= sight.horizon:
            self._safe, self._sight = sight.newest, None
        return self._safe


@dataclass(slots=True)
class Cursor:
    """The row as the sender holds it: all spans up to `position` are done with."""

    holder: str
    position: int

    def move(self, to: int, sent: int, refused: int = 0, error: str = "") -> None:
        """Say that all spans up to `to` are done with, and keep the row; raise Lost when another sender has it."""
        found = _row(
            _MOVE,
            to=to,
            sent=sent,
            refused=refused,
            error=_kept(error),
            seconds=HOLD_SECONDS,
            name=OTLP,
            holder=self.holder,
            position=self.position,
        )
        if not found:
            raise Lost
        self.position = to

    def fail(self, error: str) -> None:
        """Let go of the row until it is time to try again."""
        waits = {"waits": list(BACKOFF), "steps": len(BACKOFF), "error": _kept(error)}
        _do(_FAIL, name=OTLP, holder=self.holder, **waits)

    def let_go(self) -> None:
        _do(_LET_GO, name=OTLP, holder=self.holder)


def has_more(safe: int) -> bool:
    """Tell whether a span up to `safe` waits to be sent and may be now; begin at this moment if nothing ever was."""
    row = SpanExport.objects.filter(name=OTLP).values_list("position", flat=True).first()
    if row is None:
        SpanExport.objects.get_or_create(name=OTLP, defaults={"position": safe})
        return False
    return row < safe


def take() -> Cursor | None:
    """Take the row, or return None: another sender holds it, or it is too early after a failure."""
    holder = secrets.token_hex(16)
    found = _row(_TAKE, name=OTLP, holder=holder, seconds=HOLD_SECONDS)
    return Cursor(holder, found[0]) if found else None


def _kept(error: str) -> str:
    """Return what a row can hold of a text that a collector may have written."""
    return str(sanitise(error)[0])[:500]


def _row(statement: str, **parameters: Any) -> tuple[int, ...]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchone() or ()


def _do(statement: str, **parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
