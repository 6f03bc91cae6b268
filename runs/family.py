"""A run and the runs that its steps started: what they come to together, and which steps started which.

A call is booked once, in the run that made it. What a run comes to with its children is added up when it is read.
"""

from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from accounts.access import Actor, scoped
from pipelines.graph.model import Json
from runs.models import Run, Totals

_BELOW = """
with recursive below as (
  select parent_id as above, id from runs_run where parent_id = any(%s)
  union all
  select b.above, r.id from below b join runs_run r on r.parent_id = b.id
)
select b.above, sum(cost_micros), sum(reserved_micros), sum(unconfirmed_micros), sum(unpriced_calls), sum(llm_calls),
  sum(input_tokens), sum(output_tokens)
from below b join runs_run r on r.id = b.id group by b.above
"""

_ALL = """
with recursive family as (
  select id from runs_run where id = %s
  union all
  select r.id from runs_run r join family f on r.parent_id = f.id
)
select id from family
"""


def add_up(runs: Iterable[Run]) -> None:
    """Tell each run what it comes to with all below it (`Run.totals`). One query, and none where nothing is below."""
    found = list(runs)
    below = _below([run.pk for run in found if run.children])
    for run in found:
        run.totals = _sum(run, below.get(run.pk, Totals()))


def started_by(actor: Actor, run: Run, paths: Collection[str]) -> "QuerySet[Run]":
    """Return the runs that these steps have started, as far as the actor sees them, the newest first."""
    rows = scoped(Run, actor).filter(parent=run, parent_path__in=paths)
    return rows.select_related("pipeline").order_by("-parent_count")


def ids_from(run: Run) -> list[UUID]:
    """Return the id of a run and of all below it. One query, and none where nothing is below."""
    if not run.children:
        return [run.pk]
    with connection.cursor() as cursor:
        cursor.execute(_ALL, (run.pk,))
        return [row[0] for row in cursor.fetchall()]


def parent_json(run: Run) -> Json:
    """Return who started a run: {run, path}, None where people did."""
    return {"run": str(run.parent_id), "path": run.parent_path} if run.parent_id else None


def _below(ids: Sequence[UUID]) -> dict[UUID, Totals]:
    if not ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_BELOW, (list(ids),))
        return {row[0]: Totals(*map(int, row[1:])) for row in cursor.fetchall()}


def _sum(run: Run, below: Totals) -> Totals:
    names = Totals.__dataclass_fields__
    return Totals(**{name: getattr(run, name) + getattr(below, name) for name in names})
