"""What cost far more than usual in a period: runs, and hours of the workspace, each with what is behind it."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from accounts.models import Workspace
from runs.behind import href
from runs.models import Run
from runs.spending import cells, counts, hours
from runs.spending import unusual as bands
from runs.spending.answers import given, that_keeps
from runs.spending.filters import Filters
from runs.spending.unusual import FLOOR, LOOKED_BACK, TIMES, Hour

MOST = 10
_DAYS_LOOKED_INTO = 50
_MOST_DAYS = 92
"""Of a longer period only the last hours are looked at."""
_OF_NEWEST, _LEAST_RUNS = 200, 5
_USUAL = f"""
select p.id, percentile_disc(0.5) within group (order by r.cost_micros)
from unnest(%(pipelines)s::uuid[]) p(id) cross join lateral (
  select cost_micros from runs_run where pipeline_id = p.id and created_at < %(until)s and not rehearsal
    and cost_micros > 0
  order by created_at desc limit {_OF_NEWEST}
) r group by p.id having count(*) >= {_LEAST_RUNS}
"""  # noqa: S608  (what is put in is a constant)
_RUNS = """
select c.id, c.usual from (
  select r.id, r.cost_micros, x.usual, r.pipeline_id, {of_run}
  from unnest(%(pipelines)s::uuid[], %(since)s::timestamptz[], %(until)s::timestamptz[], %(usual)s::bigint[])
    x(pipeline, since, until, usual)
  join runs_run r on r.pipeline_id = x.pipeline and r.created_at >= x.since and r.created_at < x.until
    and not r.rehearsal and r.cost_micros > {times} * x.usual and r.cost_micros > x.usual + {floor}
) c where {kept} order by c.cost_micros::float8 / c.usual desc, c.id limit {most}
"""


@dataclass(frozen=True, slots=True)
class Dear:
    """A run that cost more than three times the median of its pipeline's newest runs; micro-dollars."""

    run: Run
    usual: int

    @property
    def times(self) -> float:
        return self.run.cost_micros / self.usual


@dataclass(frozen=True, slots=True)
class Unusual:
    """The furthest first, at most ten of each. Hours are told of all that a workspace spends, and under no filter."""

    runs: Sequence[Dear] = ()
    hours: Sequence[tuple[Hour, str]] = ()


def unusual(workspace: Workspace, filters: Filters) -> Unusual:
    """Return what was unusual in a period. Five queries; the books say on which days there is something to look for."""
    return Unusual(() if filters.names_calls else _runs(workspace, filters), _hours(workspace, filters))


def _runs(workspace: Workspace, filters: Filters) -> list[Dear]:
    kept = {name: values for name, values in filters.only.items() if name in counts.KEPT}
    of = counts.Runs(workspace, filters.first, {"rehearsal": False}, filters.last, kept)
    peaks = {key: one.peak for key, one in counts.count(of, ("pipeline", "day")).items() if one.peak > FLOOR}
    asking = filters.asking(workspace)
    usual = _usual({pipeline for pipeline, _ in peaks}, asking.until)
    worst = {key: peak / usual[key[0]] for key, peak in peaks.items() if peak > TIMES * usual.get(key[0], peak)}
    days = sorted(worst, key=lambda key: -worst[key])[:_DAYS_LOOKED_INTO]
    found = _dearer(
        kept, [(pipeline, filters.within(day, day).asking(workspace), usual[pipeline]) for pipeline, day in days]
    )
    rows = Run.objects.filter(workspace=workspace, pk__in=found).select_related("pipeline")
    runs = {run.pk: run for run in rows.defer("input", "output", "origin", "error")}
    return [Dear(runs[pk], micros) for pk, micros in found.items() if pk in runs]


def _usual(pipelines: set[UUID], until: dt.datetime) -> dict[UUID, int]:
    """Return the median cost of the newest runs of each of these pipelines that has enough."""
    with connection.cursor() as cursor:
        cursor.execute(_USUAL, {"pipelines": list(pipelines), "until": until})
        return dict(cursor.fetchall())


def _dearer(kept: Mapping[str, Any], days: Sequence[tuple[UUID, Any, int]]) -> dict[UUID, int]:
    """Return the runs of pipelines on days that cost far more than usual, with that."""
    of_run = ", ".join(f"{text} as {name}" for name, text in cells.OF_RUN.items() if name != "outcome")
    statement = _RUNS.format(of_run=of_run, times=TIMES, floor=FLOOR, kept=that_keeps(kept), most=MOST)
    workspace = {"workspace": days[0][1].workspace.pk} if days else {"workspace": None}
    parameters = {
        "pipelines": [pipeline for pipeline, _, _ in days],
        "since": [day.since for _, day, _ in days],
        "until": [day.until for _, day, _ in days],
        "usual": [usual for _, _, usual in days],
    }
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters | given(kept) | workspace)
        return dict(cursor.fetchall())


def _hours(workspace: Workspace, filters: Filters) -> list[tuple[Hour, str]]:
    if filters.only:
        return []
    first = max(filters.first, filters.last - dt.timedelta(days=_MOST_DAYS))
    asking = filters.within(first, filters.last).asking(workspace)
    spent = hours.by_hour(workspace, asking.since - dt.timedelta(days=LOOKED_BACK), asking.until)
    found = bands.hours(spent, asking.zone, first, filters.last)[:MOST]
    return [(one, _behind(filters, one)) for one in found]


def _behind(filters: Filters, one: Hour) -> str:
    day = one.begins.date()
    return href(filters.within(day, day), hour=one.begins.astimezone(dt.UTC).isoformat())
