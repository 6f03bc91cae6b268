"""What alert rules look at, from the books: spend, share of failed runs and machine time, by the workspace's days."""

import datetime as dt
import zoneinfo
from dataclasses import dataclass
from typing import Any

from django.db import connection

from accounts.models import Workspace
from notices.verdicts import Reading
from pipelines.models import Pipeline
from runs.costs import LAST_MOMENT
from runs.spending import Question, ask

# Rehearsals and the children of runs are nobody's idea of how often a pipeline fails, or how long it takes.
_OWN = "r.parent_id is null and not r.rehearsal and (%(pipeline)s::uuid is null or r.pipeline_id = %(pipeline)s)"
# Two statements, each with its index. What retention has trimmed ended before any rule looks back.
_ENDED = " union all ".join(
    "select (r.finished_at at time zone %(zone)s)::date as day, r.state, r.machine_ms from runs_run r"  # noqa: S608  (constants)
    f" where r.workspace_id = %(workspace)s and r.finished_at >= %(since)s and {booked} and {_OWN}"
    for booked in ("r.booked_at is null", "r.booked_at is not null and r.trimmed_at is null")
)
_TIMES = f"""
select day, percentile_cont(0.95) within group (order by machine_ms), count(*)
from ({_ENDED}) r where state = 'succeeded' group by day
"""  # noqa: S608  (what is put in is a constant)
_FAILURES = f"""
select day, count(*) filter (where state = 'failed'), count(*)
from ({_ENDED}) r where state in ('failed', 'succeeded') group by day
"""  # noqa: S608  (what is put in is a constant)
_BEGAN = f"""
select distinct (r.created_at at time zone %(zone)s)::date from runs_run r
where r.workspace_id = %(workspace)s and r.created_at >= %(since)s and r.created_at <= %(now)s and {_OWN}
  and ((r.created_at at time zone %(zone)s)::time <= %(by)s
    or (r.created_at at time zone %(zone)s)::date = %(today)s)
"""  # noqa: S608  (what is put in is a constant)


@dataclass(frozen=True, slots=True)
class Scope:
    """A workspace, or one of its pipelines."""

    workspace: Workspace
    pipeline: Pipeline | None = None

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        return zoneinfo.ZoneInfo(self.workspace.zone)

    def begins(self, day: dt.date) -> dt.datetime:
        return dt.datetime(day.year, day.month, day.day, tzinfo=self.zone)

    def given(self, first: dt.date) -> dict[str, Any]:
        pipeline = self.pipeline.pk if self.pipeline else None
        since = self.begins(first)
        return {"workspace": self.workspace.pk, "pipeline": pipeline, "zone": self.zone.key, "since": since}


def by_day(metric: str, scope: Scope, first: dt.date) -> dict[dt.date, Reading]:
    """Return the readings of each day since the first that has any: runs count on the day on which they ended.

    A day of unknown prices alone has no spend.
    """
    return _METRICS[metric](scope, first)


def began(scope: Scope, first: dt.date, now: dt.datetime, grace: dt.timedelta) -> set[dt.date]:
    """Return the days on which a run had begun by this time of day less the grace; today counts with any run."""
    local = now.astimezone(scope.zone)
    by = local - grace
    if by.date() != local.date():  # nobody expects anything in the first minutes of a day
        return {local.date()}
    given = scope.given(first) | {"now": now, "by": by.time(), "today": local.date()}
    return {row[0] for row in _rows(_BEGAN, given)}


def _spend(scope: Scope, first: dt.date) -> dict[dt.date, Reading]:
    only = {"pipeline": scope.pipeline.slug} if scope.pipeline else {}
    question = Question(scope.workspace, ("day",), scope.begins(first), LAST_MOMENT, scope.zone, only, with_total=False)
    return {
        dt.date.fromisoformat(str(day)): Reading(one.cost, one.calls)
        for (day,), one in ask(question).lines.items()
        if one.cost is not None
    }


def _failures(scope: Scope, first: dt.date) -> dict[dt.date, Reading]:
    return {
        day: Reading(failed * 10_000 // ended, ended) for day, failed, ended in _rows(_FAILURES, scope.given(first))
    }


def _latency(scope: Scope, first: dt.date) -> dict[dt.date, Reading]:
    return {day: Reading(round(p95), runs) for day, p95, runs in _rows(_TIMES, scope.given(first))}


def _rows(statement: str, given: dict[str, Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return list(cursor.fetchall())


_METRICS = {"spend": _spend, "failures": _failures, "latency": _latency}
