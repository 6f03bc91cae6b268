"""What each hour cost: a workspace's book of hours and the spans of what is not in it yet. Hours are UTC's."""

import datetime as dt

from django.db import connection

from accounts.models import Workspace
from runs.spending import cells
from runs.spending.adding import adding

LINE = ("workspace_id", "hour")
FIGURES = ("cost",)


def spent(runs: str) -> str:
    """Return the statement with what these runs cost: LINE, then FIGURES. Which runs is a condition over `r`."""
    hour = f"date_trunc('hour', {cells.END}, 'UTC')"
    return (
        f"select r.workspace_id, {hour} as hour, sum(s.cost_micros)::bigint as cost"
        " from runs_run r join runs_span s on s.run_id = r.id and s.workspace_id = r.workspace_id"
        f" where {cells.A_CALL} and s.cost_micros > 0 and {runs} group by 1, 2"
    )


def entering(source: str, *, sealed: bool, sign: int) -> str:
    """Return the statement that adds lines to the book, or takes them off it with the sign -1."""
    return adding("runs_spendhour", LINE, FIGURES, source, sealed=sealed, sign=sign)


_READ = f"""
select hour, sum(cost)::bigint from (
  select hour, cost from runs_spendhour where workspace_id = %(workspace)s and hour >= %(since)s and hour < %(until)s
  union all
  select hour, cost from ({spent("r.workspace_id = %(workspace)s and r.booked_at is null")}) open
  where hour >= %(since)s and hour < %(until)s
) one group by hour having sum(cost) > 0
"""


def by_hour(workspace: Workspace, since: dt.datetime, until: dt.datetime) -> dict[dt.datetime, int]:
    """Return the micro-dollars of each hour that begins in a time and cost anything. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_READ, {"workspace": workspace.pk, "since": since, "until": until})
        return dict(cursor.fetchall())
