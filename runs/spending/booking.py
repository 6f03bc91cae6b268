"""Brings ended runs into the daily books: each once, whole, exact to the micro-dollar.

A run that has ended and that nobody owns can change no more: its spans and entries enter through the fence, which its
owner alone passes. So its row is all that a booking has to look at and to lock. Whatever is not booked is read from
its spans; therefore a booking changes no answer, and none is late.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from uuid import UUID

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from accounts.models import Workspace
from runs.models import OPEN_RUN_STATES
from runs.spending import durations, hours, lines

RUNS_AT_ONCE = 500
RUNS_AT_ONCE_ANEW = 10_000
CALLS_AT_ONCE = 100_000
SECONDS = 1.0
_LOCK = 7_305_411

_OPEN_BOOKS = """
insert into runs_spendbook (workspace_id, zone)
select id, zone from accounts_workspace w where not exists (select from runs_spendbook b where b.workspace_id = w.id)
on conflict do nothing
"""
_OTHER_ZONES = """
select w.id from runs_spendbook b join accounts_workspace w on w.id = b.workspace_id where b.zone <> w.zone
"""
_TAKE = f"""
select r.id, r.llm_calls from runs_run r where r.booked_at is null and r.owner is null
  and not r.state in ({", ".join(f"'{state}'" for state in OPEN_RUN_STATES)})
order by r.finished_at limit %(most)s for update skip locked
"""
# A batch is a sliver of its tables. Asked for thousands of runs the planner would rather read them whole.
_BY_INDEX = """
select set_config('enable_seqscan', 'off', true), set_config('enable_mergejoin', 'off', true),
  set_config('work_mem', '64MB', true)
"""
_BOOK = f"""
with found as materialized ({lines.cells_of("r.id = any(%(runs)s)")}),
entered as ({lines.entering(lines.lines_of("found"), sealed=False, sign=1)}),
visited as ({lines.visits("found")}),
counted as ({lines.counting("r.id = any(%(runs)s)")}),
timed as ({durations.entering(durations.timed("r.id = any(%(runs)s)"), sealed=False, sign=1)}),
hourly as ({hours.entering(hours.spent("r.id = any(%(runs)s)"), sealed=False, sign=1)})
update runs_run set booked_at = now() where id = any(%(runs)s)
"""
_EMPTY = (
    "delete from runs_runday where workspace_id = %(workspace)s",
    "delete from runs_spendday where workspace_id = %(workspace)s and not is_sealed",
    "delete from runs_spendvisit where workspace_id = %(workspace)s and not is_sealed",
    "delete from runs_spendhour where workspace_id = %(workspace)s and not is_sealed",
    "delete from runs_stepday where workspace_id = %(workspace)s and not is_sealed",
    "update runs_run set booked_at = null"
    " where workspace_id = %(workspace)s and booked_at is not null and trimmed_at is null",
    "update runs_spendbook b set zone = w.zone from accounts_workspace w"
    " where w.id = b.workspace_id and w.id = %(workspace)s",
    # What retention has trimmed is not booked again, but its runs are there to be counted.
    lines.counting("r.workspace_id = %(workspace)s and r.trimmed_at is not null"),
)


@contextmanager
def alone(*, wait: bool = False) -> Iterator[CursorWrapper | None]:
    """Give a cursor in a transaction in which nobody else writes in the books; None while somebody does."""
    with transaction.atomic(), connection.cursor() as cursor:
        kind = "" if wait else "try_"
        cursor.execute(f"select pg_{kind}advisory_xact_lock(%s)::text", [_LOCK])
        (answer,) = cursor.fetchone()
        yield None if answer == "false" else cursor


def read_by_index(cursor: CursorWrapper) -> None:
    """Have the rest of the transaction find rows by index, and sort in memory."""
    cursor.execute(_BY_INDEX)


def book() -> None:
    """Bring ended runs into the books, for about a second. Each worker's poll calls it; one at a time works."""
    until, most = time.monotonic() + SECONDS, RUNS_AT_ONCE
    while book_some(most) == most and time.monotonic() < until:
        most = RUNS_AT_ONCE_ANEW  # many wait: a line that many runs share is then written once


def book_some(most: int = RUNS_AT_ONCE) -> int:
    """Bring at most so many ended runs into the books, in one transaction; return how many.

    It stops early where the runs have more calls than are good to have in one transaction.
    """
    with alone() as cursor:
        if cursor is None:
            return 0
        cursor.execute(_OPEN_BOOKS)
        cursor.execute(_OTHER_ZONES)
        for (workspace,) in cursor.fetchall():
            _empty(cursor, workspace)
        cursor.execute(_TAKE, {"most": most})
        runs = _with_few_calls(cursor.fetchall())
        if runs:
            read_by_index(cursor)
            cursor.execute(_BOOK, {"runs": runs})
    return len(runs)


def _with_few_calls(runs: Sequence[tuple[UUID, int]]) -> list[UUID]:
    """Return the first of these runs, which come with how many calls they made: at least one."""
    before = accumulate((calls for _, calls in runs), initial=0)
    return [run for (run, _), calls in zip(runs, before, strict=False) if calls < CALLS_AT_ONCE]


def rebuild(workspace: Workspace) -> None:
    """Make a workspace's books anew from its spans and ledger. Answers stay exact all the while, and are slower.

    The lines of runs whose spans retention has removed stay as they are.
    """
    with alone(wait=True) as cursor:
        if cursor is not None:
            cursor.execute(_OPEN_BOOKS)
            _empty(cursor, workspace.pk)
    while book_some(RUNS_AT_ONCE_ANEW):
        pass


def _empty(cursor: CursorWrapper, workspace: UUID) -> None:
    for statement in _EMPTY:
        cursor.execute(statement, {"workspace": workspace})
