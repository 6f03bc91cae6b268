"""How many runs there were, by day, pipeline and how they ended: the daily books and the runs that are not in them."""

import datetime as dt
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from accounts.models import Workspace
from runs.spending import cells, lines
from runs.spending.answers import given, that_keeps
from runs.spending.question import Only

KEYS = {"pipeline": "pipeline_id", "day": "day", "state": "state", "child": "is_child"}
KEPT = ("pipeline", "tag", "person", "trigger")
"""The dimensions of spending that runs have too, whether or not they called a model."""


@dataclass(frozen=True, slots=True)
class Count:
    """Of runs with what their own calls cost, in micro-dollars; `capped` are those that a budget stopped."""

    runs: int = 0
    cost: int = 0
    peak: int = 0
    unconfirmed: int = 0
    capped: int = 0


@dataclass(frozen=True, slots=True)
class Runs:
    """Which runs of a workspace: created on this day of its zone or later (None: ever), until the end of another, and
    with exactly these values of `pipeline_id`, `state`, `is_child` and `rehearsal`; `kept` is as a question's `only`,
    of KEPT."""

    workspace: Workspace
    first: dt.date | None = None
    only: Mapping[str, Any] = field(default_factory=dict)
    last: dt.date | None = None
    kept: Only = field(default_factory=dict)


def count(runs: Runs, by: Sequence[str]) -> dict[tuple[Any, ...], Count]:
    """Return the counts by any of pipeline (its id), day (a date), state and child (a step's). One query."""
    names = [KEYS[name] for name in by]
    statement, parameters = _statement(runs, names)
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return {tuple(row[: len(names)]): Count(*map(int, row[len(names) :])) for row in cursor.fetchall()}


def _statement(runs: Runs, names: Sequence[str]) -> tuple[str, dict[str, Any]]:
    zone = runs.workspace.zone
    parameters: dict[str, Any] = {"workspace": runs.workspace.pk, "zone": zone, **runs.only}
    parameters |= given(runs.kept) | {"first": runs.first, "last": runs.last}
    since, booked_since = ["true"], ["true"]
    if runs.first:
        parameters["since"] = _midnight(runs.first, zone)
        since, booked_since = [*since, "r.created_at >= %(since)s"], [*booked_since, "d.day >= %(first)s"]
    if runs.last:
        parameters["until"] = _midnight(runs.last + dt.timedelta(days=1), zone)
        since, booked_since = [*since, "r.created_at < %(until)s"], [*booked_since, "d.day <= %(last)s"]
    is_kept = "exists (select from runs_spendbook b where b.workspace_id = %(workspace)s and b.zone = %(zone)s)"
    figures = ", ".join(f"d.{name}" for name in lines.COUNTED)
    booked = (
        f"select {', '.join(f'd.{name}' for name in lines.COUNT)}, {figures} from runs_runday d"
        f" where d.workspace_id = %(workspace)s and {' and '.join(booked_since)} and {is_kept}"
    )
    # Two statements: with "or" in one, the planner finds no index for the runs that are not booked.
    of = f"r.workspace_id = %(workspace)s and {' and '.join(since)}"
    zone_of = "%(zone)s"
    open_runs = lines.counted(f"{of} and r.booked_at is null", zone_of)
    unread = lines.counted(f"{of} and r.booked_at is not null and not {is_kept}", zone_of)
    only = " and ".join([that_keeps(runs.kept), *(f"{name} = %({name})s" for name in runs.only)])
    groups = f"group by {', '.join(names)}" if names else "having count(*) > 0"
    keys = "".join(f"{name}, " for name in names)
    return (
        f"select {keys}{lines.totals()} from ({booked} union all {open_runs} union all {unread}) c"
        f" where {only} {groups}",
        parameters,
    )


def _midnight(day: dt.date, zone: str) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day, tzinfo=zoneinfo.ZoneInfo(zone))


def listing(runs: Runs) -> tuple[str, dict[str, Any]]:
    """Return a statement with the ids of these runs, the newest first, each beside the number of all."""
    zone = runs.workspace.zone
    parameters: dict[str, Any] = {"workspace": runs.workspace.pk, **runs.only} | given(runs.kept)
    where = ["r.workspace_id = %(workspace)s"]
    if runs.first:
        parameters["since"] = _midnight(runs.first, zone)
        where.append("r.created_at >= %(since)s")
    if runs.last:
        parameters["until"] = _midnight(runs.last + dt.timedelta(days=1), zone)
        where.append("r.created_at < %(until)s")
    of_run = ", ".join(f"{text} as {name}" for name, text in cells.OF_RUN.items() if name != "outcome")
    capped = f"{lines.COUNTED['capped']} as capped"
    source = (
        f"select r.id, r.created_at, r.pipeline_id, r.state, r.parent_id is not null as is_child, r.rehearsal,"
        f" {of_run}, {capped} from runs_run r where {' and '.join(where)}"
    )
    only = " and ".join([that_keeps(runs.kept), *(f"c.{name} = %({name})s" for name in runs.only)])
    return (
        f"select c.id, count(*) over () from ({source}) c where {only} order by c.created_at desc, c.id",
        parameters,
    )
