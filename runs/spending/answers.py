"""Answers from the daily books of ended runs and the spans of all that is not in them yet, in one snapshot."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection
from django.utils import timezone

from accounts.models import Workspace
from runs.snapshot import one_snapshot
from runs.spending import cells
from runs.spending.periods import Between, Period, period_of
from runs.spending.question import DIMENSIONS, TAGS, Answer, Key, Only, Question, Spending

COLUMN = {
    **{name: name for name in ("agent", "model", "person", "trigger", "outcome", "day")},
    "pipeline": "pipeline_id",
    "step": "node",
    "tag": "tags",
    "tags": "tags",
}
_SHOWN = {
    **{name: f"c.{name}" for name in ("agent", "model", "trigger", "outcome")},
    "pipeline": "p.slug",
    "step": "c.node",
    "tag": "t.tag",
    "tags": "to_json(c.tags)::text",
    "person": "u.email",
    "day": "c.day::text",
}
_JOINS = {
    "pipeline": "left join pipelines_pipeline p on p.id = c.pipeline_id",
    "person": "left join accounts_user u on u.id = c.person",
    "tag": "cross join lateral unnest(coalesce(nullif(c.tags, '{}'), array[null]::varchar[])) as t(tag)",
}
_KEPT = {
    "pipeline": (
        "c.pipeline_id in (select id from pipelines_pipeline where workspace_id = %(workspace)s and slug = {0})"
    ),
    "person": "c.person in (select id from accounts_user where email = {0})",
    "tag": "c.tags && {1}",
}
_KEPT_WITHOUT = {"tag": "c.tags = '{}'"}
_NOT_BOOKED = "r.workspace_id = %(workspace)s and r.booked_at is null"
_IN_MASK = {"agent": "a", "step": "n", "model": "m"}


def ask(question: Question) -> Answer:
    """Return the lines of a question and their total. At most five queries, whatever the length of the history.

    Raise Invalid (`calls_removed`) where the period cuts through a day whose spans retention has removed.
    """
    with one_snapshot():
        period = period_of(question, timezone.now())
        lines = _read(question, period, tuple(question.by))
        total = _read(question, period, ()) if question.by and question.with_total else lines
    return Answer(dict(sorted(lines.items(), key=lambda line: _rank(question, *line))), total.get((), Spending()))


def by_hour(workspace: Workspace, day: Between, zone: dt.tzinfo) -> list[int]:
    """Return the micro-dollars of each hour of a day, by the clock of the zone, from its spans. One query."""
    statement = (
        'select extract(hour from s."end" at time zone %s)::int, sum(s.cost_micros) from runs_span s'
        ' where s.workspace_id = %s and s.model is not null and s."end" >= %s and s."end" < %s group by 1'
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [str(zone), workspace.pk, *day])
        found = dict(cursor.fetchall())
    return [int(found.get(hour) or 0) for hour in range(24)]


def _rank(question: Question, key: Key, spending: Spending) -> tuple[Any, ...]:
    day = key[question.by.index("day")] if "day" in question.by else ""
    return (day, -(spending.cost or 0), [name or "" for name in key])


def _read(question: Question, period: Period, by: tuple[str, ...]) -> dict[Key, Spending]:
    statement, parameters = _statement(question, period, by)
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        rows = cursor.fetchall()
    names = (*cells.SUMS, "runs")
    return {tuple(row[: len(by)]): spending_of(dict(zip(names, row[len(by) :], strict=True))) for row in rows}


def spending_of(row: Mapping[str, Any]) -> Spending:
    sums = {name: int(value or 0) for name, value in row.items()}
    priced, cost = sums.pop("priced"), sums.pop("cost")
    return Spending(cost=None if sums["unpriced"] and not priced else cost, **sums)


def _statement(question: Question, period: Period, by: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    named = [name for name in (*DIMENSIONS, TAGS) if name in by or name in question.only]
    mask = cells.MASKS["".join(letter for name, letter in _IN_MASK.items() if name in named)]
    parameters: dict[str, Any] = {"workspace": question.workspace.pk, "zone": question.zone.key}
    parameters |= given(question.only)
    parts = _parts(period, list(dict.fromkeys(COLUMN[name] for name in named)), mask, parameters)
    sums = [f"sum(c.{name})" for name in cells.SUMS] + ["sum(c.runs) + count(distinct c.run_id)"]
    joins = " ".join(_JOINS[name] for name in by if name in _JOINS)
    kept = that_keeps(question.only)
    groups = ", ".join(str(number) for number in range(1, len(by) + 1)) or "()"
    return (
        f"select {', '.join([_SHOWN[name] for name in by] + sums)} from ({' union all '.join(parts)}) c {joins}"
        f" where {kept} group by {groups} having count(*) > 0",
        parameters,
    )


def given(only: Only) -> dict[str, Any]:
    """Return the parameters of `that_keeps`."""
    values = {name: _values(one) for name, one in only.items()}
    named = {f"only_{name}": [value for value in one if value is not None] for name, one in values.items()}
    return named | {f"none_{name}": None in one for name, one in values.items()}


def that_keeps(only: Only) -> str:
    """Return the condition over rows `c` that keeps what has one of the values in each of these dimensions."""
    return " and ".join(["true", *(_kept(name) for name in only)])


def _values(one: str | Sequence[str | None] | None) -> Sequence[str | None]:
    return (one,) if one is None or isinstance(one, str) else one


def _kept(name: str) -> str:
    column = f"c.{COLUMN[name]}"
    values = f"%(only_{name})s::varchar[]"
    has = _KEPT.get(name, f"{column} = {{0}}").format(f"any({values})", values)
    return f"({has} or (%(none_{name})s and {_KEPT_WITHOUT.get(name, f'{column} is null')}))"


def _parts(period: Period, columns: Sequence[str], mask: str, parameters: dict[str, Any]) -> list[str]:
    """Return the statements whose rows together are the period, each call in one of them."""
    parameters |= {"first": period.days[0], "last": period.days[1]}
    parts = [part for edge in period.edges for part in raw(columns, edge, "true", parameters)]
    if period.is_booked and period.days[0] < period.days[1]:
        parts += raw(columns, period.whole, _NOT_BOOKED, parameters)
        parts += _booked(columns, mask, "true")
    elif not period.is_booked:
        parts += raw(columns, period.whole, "r.trimmed_at is null", parameters)
        parts += _booked(columns, mask, "d.is_sealed")
    return parts


def raw(columns: Sequence[str], time: Between, kept: str, parameters: dict[str, Any]) -> list[str]:
    """Return the statements that read the spans and entries of a time, of the runs that are kept."""
    number = len(parameters)
    parameters |= {f"since_{number}": time[0], f"until_{number}": time[1]}

    def where(table: str, at: str) -> str:
        return f"{table}.workspace_id = %(workspace)s and {at} >= %(since_{number})s and {at} < %(until_{number})s"

    tables = cells.FROM_RUNS if kept == _NOT_BOOKED else cells.FROM_SPANS
    of_spans, of_entries = (_keys(*of, columns) for of in ((cells.OF_SPAN, cells.END), (cells.OF_ENTRY, cells.AT)))
    return [
        cells.spans(of_spans, f"{where('s', cells.END)} and {kept}", tables),
        cells.entries(of_entries, f"{where('r', cells.AT)} and {kept}"),
    ]


def _keys(of: Mapping[str, str], at: str, columns: Sequence[str]) -> dict[str, str]:
    day = f"({at} at time zone %(zone)s)::date"
    return {name: day if name == "day" else of[name] for name in columns}


def _booked(columns: Sequence[str], mask: str, kept: str) -> list[str]:
    """Return the statements of the lines of these days, added up before others join them: they are many."""
    names = "".join(f"d.{name}, " for name in columns)
    groups = f"group by {', '.join(f'd.{name}' for name in columns)}" if columns else "having count(*) > 0"
    sums = ", ".join(f"sum(d.{name})" for name in cells.SUMS)
    where = f"where d.workspace_id = %(workspace)s and d.day >= %(first)s and d.day < %(last)s and {kept}"
    return [
        f"select {names}null::uuid, sum(d.{mask}), {sums} from runs_spendday d {where} {groups}",
        f"select {names}d.run_id, 0, {', '.join('0' for _ in cells.SUMS)} from runs_spendvisit d {where}",
    ]
