"""A run's steps in one line: how many are done, one segment per step, what is under way.

The database counts them, so that a run of thousands of steps costs a page, or a frame, no more than a short one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from uuid import UUID

from django.db import connection

from runs.engine.status import StepState
from runs.models import Step
from runs.words import PERSON_WAITS, badge_of

SEGMENTS = 12
_TELLING = ("bad", "wait", "run", "dg", "", "ok", "off")
_UNDER_WAY = ((StepState.WAITING,), (StepState.RUNNING, StepState.RETRYING))
# Steps that look the same in a segment are one row; `first` is the earliest of those that are under way, and its name.
_READ = """
select run_id, segment, state, wait_reason, flags, kind, port, count(*), total,
  min(array[lpad(place::text, 9, '0'), title, node]) filter (where state = any(%(busy)s)) as first
from (
  select *, case when total <= %(most)s then place else ((place + 1) * %(most)s + total - 1) / total - 1 end as segment
  from (
    select run_id, state, wait_reason, flags, title, node, case kind when 'human' then kind else '' end as kind,
      case kind when 'human' then port end as port, count(*) over (partition by run_id) as total,
      row_number() over (partition by run_id order by position, id) - 1 as place
    from runs_step where run_id = any(%(runs)s)
  ) ordered
) placed
group by run_id, segment, state, wait_reason, flags, kind, port, total order by run_id, segment
"""


@dataclass(frozen=True, slots=True)
class Glance:
    """`segments` has at most `SEGMENTS`; where steps share one it shows the most telling of them."""

    segments: Sequence[str] = field(default_factory=list)
    done: int = 0
    total: int = 0
    doing: str = ""
    needs_person: bool = False


@dataclass(frozen=True, slots=True)
class _Alike:
    """So many steps of one segment that look the same. `first` is (place, title, node) of the earliest."""

    segment: int
    state: str
    wait_reason: str | None
    flags: Sequence[str]
    kind: str
    port: str | None
    count: int
    total: int
    first: list[str]
    error: None = None


def of_runs(ids: Sequence[UUID]) -> dict[UUID, Glance]:
    """Return the glance of each of these runs that has steps. One query; none where there are no runs."""
    if not ids:
        return {}
    with connection.cursor() as cursor:
        busy = [state for states in _UNDER_WAY for state in states]
        cursor.execute(_READ, {"runs": list(ids), "busy": busy, "most": SEGMENTS})
        rows = cursor.fetchall()
    return {run_id: _glance([_Alike(*row[1:]) for row in own]) for run_id, own in groupby(rows, lambda row: row[0])}


def of_steps(steps: Sequence[Step]) -> Glance:
    """Return the glance of a run with these steps, in their order."""
    total = len(steps)
    return _glance([_alike(step, place, total) for place, step in enumerate(steps)])


def _alike(step: Step, place: int, total: int) -> _Alike:
    segment = place if total <= SEGMENTS else -(-(place + 1) * SEGMENTS // total) - 1
    first = [f"{place:09d}", step.title, step.node]
    return _Alike(
        segment, step.state, step.wait_reason, step.flags, step.kind, step.port, count=1, total=total, first=first
    )


def _glance(rows: Sequence[_Alike]) -> Glance:
    """`rows` are in the order of their segments."""
    segments = [
        min((badge_of(one).segment for one in alike), key=_TELLING.index)
        for _, alike in groupby(rows, attrgetter("segment"))
    ]
    return Glance(
        segments=segments,
        done=sum(one.count for one in rows if StepState(one.state).is_terminal),
        total=rows[0].total if rows else 0,
        doing=_doing(rows),
        needs_person=any(one.state == StepState.WAITING and one.wait_reason in PERSON_WAITS for one in rows),
    )


def _doing(rows: Iterable[_Alike]) -> str:
    for states in _UNDER_WAY:
        busy = [one for one in rows if one.state in states]
        if busy:
            _, title, node = min(one.first for one in busy)
            name, more = title or node.replace("_", " ").capitalize(), sum(one.count for one in busy) - 1
            return f"{name} and {more} more" if more else name
    return ""
