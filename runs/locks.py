"""Named locks of a workspace: which step's turn it is. First come, first served, over all its runs and workers.

A place in line is a row of the step's run, written and removed in that run's own commits. So a lock is as durable as
the run: it outlives a worker, is held on by whoever takes the run over, and is given back when the run has ended.
"""

from uuid import UUID

from django.db import connection, transaction

from runs import dispatch
from runs.effects import Insert, Remove, Row, RunFacts
from runs.engine.decision import Event
from runs.engine.facts import LockGranted

_TABLE = "runs_steplock"

# One grants at a time, and sees all that was committed before: else two that look at the same moment could each find a
# different first in line.
_ALONE = "select pg_advisory_xact_lock(hashtextextended('baton/locks', 0))"
_FORGET = """
delete from runs_steplock l using runs_run r
where r.id = l.run_id and r.state in ('succeeded', 'failed', 'cancelled')
"""
_GRANT = """
with first as (select distinct on (workspace_id, name) id, workspace_id, name from runs_steplock
  order by workspace_id, name, id)
update runs_steplock l set granted_at = now() from first
where l.id = first.id and l.granted_at is null and not exists (
  select from runs_steplock o
  where o.workspace_id = first.workspace_id and o.name = first.name and o.granted_at is not null)
returning l.id, l.run_id, l.request
"""


def ask(event: Event, run: RunFacts) -> list[Row]:
    """Return the place in line of a step that waits for a lock (`step_waiting`)."""
    if not event.payload.get("lock"):
        return []
    place = {"request": event.payload["request"], "name": event.payload["lock"], "asked_at": run.now.isoformat()}
    return [Insert(_TABLE, {"workspace_id": run.workspace_id, "run_id": run.id, **place})]


def give_back(event: Event, run: RunFacts) -> list[Row]:
    """Return what gives a step's lock, or its place in line, back (`lock_released`)."""
    return [Remove(_TABLE, {"run_id": run.id, "request": event.payload["request"]})]


def look() -> None:
    """Give every lock that is free to the first in its line, and tell that step's run. Each worker does it every two
    seconds, and at once after a decision that asked for a lock or gave one back."""
    if not _is_waited_for():
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_ALONE)
        cursor.execute(_FORGET)
        cursor.execute(_GRANT)
        granted: list[tuple[int, UUID, str]] = cursor.fetchall()
        for place, run_id, request in granted:
            dispatch.report(run_id, LockGranted(request), key=f"lock:{place}")


def _is_waited_for() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("select exists (select from runs_steplock where granted_at is null)")
        return bool(cursor.fetchone()[0])
