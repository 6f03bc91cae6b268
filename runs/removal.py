"""Removes what runs that ended long ago were given and said; what they cost and what people decided stays.

Runs in a family go together: one that people started, with all that its steps started, in one transaction. Other apps
say what they hold of a run's content (`also`) and which runs they still need (`unless`), in SQL.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from uuid import UUID

from accounts.errors import Gone
from runs.models import Run
from runs.spending.booking import alone, read_by_index
from runs.spending.retention import LEAST_DAYS

FAMILIES_AT_ONCE = 100
EVENTS_AT_ONCE = 20_000
"""A run's number of events says how many rows it has."""
SAID = "It was removed by retention."

_OLD = f"finished_at < now() - make_interval(days => greatest(w.keep_content_days, {LEAST_DAYS}))"
_TAKE = f"""
select family.runs, family.events from accounts_workspace w cross join lateral (
  select id from runs_run where workspace_id = w.id and parent_id is null and trimmed_at is not null
    and content_removed_at is null and {_OLD} order by finished_at
) root cross join lateral (
  with recursive below as (
    select id, seq, trimmed_at, finished_at from runs_run where id = root.id
    union all
    select c.id, c.seq, c.trimmed_at, c.finished_at from runs_run c join below on c.parent_id = below.id
  )
  select array_agg(r.id) as runs, sum(r.seq)::bigint as events from below r
  having bool_and(r.trimmed_at is not null and r.{_OLD} %s)
) family where w.keep_content_days is not null limit {FAMILIES_AT_ONCE}
"""
_THESE = "run_id = any(%(runs)s)"
# What the engine says of a cap is all figures. Of other errors the class, the code and the place stay.
_ERROR = f"""
error = case when error->>'class' = 'budget' then error when error is not null then jsonb_strip_nulls(
  jsonb_build_object('class', error->'class', 'code', error->'code', 'path', error->'path', 'message', '{SAID}')) end
"""
# The mark comes first: whoever holds a run's row to copy from it is waited for, and whoever comes later sees the mark.
_REMOVE = (
    "update runs_run set content_removed_at = now(), input = '{}', output = null, large = null, "
    f"{_ERROR} where id = any(%(runs)s)",
    # A title may be a model's. What a step had been spared stays with where from.
    "update runs_step set title = '', input = null, output = null, meta = null, large = null, "
    "memo = case when memo ? 'reused_from' then jsonb_build_object('reused_from', memo->'reused_from') end, "
    f"{_ERROR} where {_THESE}",
    f"delete from runs_call where {_THESE}",
    f"delete from runs_inbox where {_THESE}",
    f"delete from runs_cacheentry where {_THESE}",
    f"delete from runs_artifact where {_THESE}",
    # By the board: what a fork took over stands on its own, under the names of the runs that wrote it.
    "delete from runs_boardentry where board_id = any(select board_id from runs_run where id = any(%(runs)s))",
)
_ALSO: list[str] = []
_UNLESS: list[str] = []


def also(*statements: str) -> None:
    """Register statements that remove what else holds content of the runs with the ids `%(runs)s`."""
    _ALSO.extend(one for one in statements if one not in _ALSO)


def unless(condition: str) -> None:
    """Register a condition on which a run `r` keeps its content, and its family with it."""
    if condition not in _UNLESS:
        _UNLESS.append(condition)


def refuse(run: Run) -> None:
    """Raise Gone `content_removed` for a run whose content retention has removed."""
    if run.content_removed_at is not None:
        day = f"{run.content_removed_at:%-d %B %Y}"
        message = f"What run {run.number} was given and came to was removed by retention on {day}. Start a new run."
        raise Gone(message, code="content_removed")


def sweep() -> None:
    """Remove the content of some families whose workspace keeps it no longer, in one transaction.

    Each worker's poll calls it; one at a time works. It takes families up to some 20,000 events, one at the least.
    Runs whose events and spans are there yet are left for later.
    """
    with alone() as cursor:
        if cursor is None:
            return
        read_by_index(cursor)
        cursor.execute(_TAKE % "".join(f"and not {condition} " for condition in _UNLESS))
        runs = list(_some(cursor.fetchall()))
        for statement in (*_REMOVE, *_ALSO) if runs else ():
            cursor.execute(statement, {"runs": runs})


def _some(families: Sequence[tuple[list[UUID], int]]) -> Iterator[UUID]:
    before = accumulate((events for _, events in families), initial=0)
    for (family, _), events in zip(families, before, strict=False):
        if events < EVENTS_AT_ONCE:
            yield from family
