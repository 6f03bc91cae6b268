"""Removes the events and spans of runs that ended long ago; what they cost stays in the books and in the ledger.

They hold content, so where content is kept for fewer days than they are, they go with it (`runs.removal`).
"""

from runs.spending import durations, hours, lines
from runs.spending.booking import alone, read_by_index

RUNS_AT_ONCE = 100
LEAST_DAYS = 31
"""Pages that read spans look at most a month back."""

_TAKE = f"""
select r.id from accounts_workspace w cross join lateral (
  select id from runs_run where workspace_id = w.id and booked_at is not null and trimmed_at is null
    and finished_at < now() - make_interval(days => greatest(least(w.keep_days, w.keep_content_days), {LEAST_DAYS}))
  order by finished_at limit {RUNS_AT_ONCE}
) r where coalesce(w.keep_days, w.keep_content_days) is not null limit {RUNS_AT_ONCE}
"""
_THESE = "r.id = any(%(runs)s)"
# The lines of these runs move to sealed ones, which a rebuild leaves alone: what they were made from is gone then.
_SEAL = f"""
with found as materialized ({lines.cells_of(_THESE)}),
made as materialized ({lines.lines_of("found")}),
taken_off as ({lines.entering("table made", sealed=False, sign=-1)}),
sealed as ({lines.entering("table made", sealed=True, sign=1)}),
timed as materialized ({durations.timed(_THESE)}),
timed_off as ({durations.entering("table timed", sealed=False, sign=-1)}),
timed_and_sealed as ({durations.entering("table timed", sealed=True, sign=1)}),
hourly as materialized ({hours.spent(_THESE)}),
hourly_off as ({hours.entering("table hourly", sealed=False, sign=-1)}),
hourly_and_sealed as ({hours.entering("table hourly", sealed=True, sign=1)})
update runs_spendvisit set is_sealed = true where run_id = any(%(runs)s)
"""
_REMOVE = (
    "delete from runs_event where run_id = any(%(runs)s)",
    "delete from runs_span where run_id = any(%(runs)s)",
    "update runs_run set trimmed_at = now() where id = any(%(runs)s)",
)


def sweep() -> None:
    """Remove the events and spans of at most 100 runs whose workspace keeps them no longer, in one transaction.

    Each worker's poll calls it. Runs that are not in the books yet are left for later.
    """
    with alone() as cursor:
        if cursor is None:
            return
        cursor.execute(_TAKE)
        runs = [row[0] for row in cursor.fetchall()]
        if not runs:
            return
        read_by_index(cursor)
        for statement in (_SEAL, *_REMOVE):
            cursor.execute(statement, {"runs": runs})
