"""What was spent: sums over the spans of model calls, in the workspace's own days and months."""

import datetime as dt
import zoneinfo
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Count, F, Q, Sum
from django.db.models.functions import TruncDate, TruncHour

from accounts.models import Workspace
from pipelines.models import Budget, Pipeline
from runs.models import BudgetCounter, Run, Span

SERIES = 6
WHOLE = "Workspace"
DIMENSIONS = {"pipeline": "pipeline_id", "agent": "agent", "model": "model"}


@dataclass(frozen=True, slots=True)
class Spend:
    """Money is micro-dollars. `micros` is None when every call was without a known price."""

    micros: int | None = 0
    calls: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a table; `colour` is the class of its chart series."""

    name: str
    today: Spend
    month: Spend
    slug: str = ""
    colour: str = ""


@dataclass(frozen=True, slots=True)
class Cap:
    """A budget and what its period has used."""

    name: str
    period: str
    max_micros: int
    spent_micros: int
    reserved_micros: int


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    colour: str
    micros: Sequence[int]

    @property
    def total(self) -> int:
        return sum(self.micros)


@dataclass(frozen=True, slots=True)
class Days:
    """Spend by day from the first of the month until today, stacked; the largest series first."""

    days: Sequence[dt.date]
    series: Sequence[Series]

    @property
    def totals(self) -> list[int]:
        return [sum(column) for column in zip(*(one.micros for one in self.series), strict=True)] or [0] * len(
            self.days
        )


@dataclass(frozen=True, slots=True)
class Summary:
    today: Spend
    month: Spend
    unconfirmed_micros: int
    runs: int
    stopped_at_cap: int
    good_runs: int
    pipelines: Sequence[Line]
    agents: Sequence[Line]
    models: Sequence[Line]
    days: Days
    caps: Sequence[Cap]
    zone: str

    @property
    def per_good_run(self) -> int | None:
        """The month's spend by the runs that delivered; None while there is none."""
        return (self.month.micros or 0) // self.good_runs if self.good_runs else None


@dataclass(frozen=True, slots=True)
class Period:
    """The starts of the workspace's day and month around a moment."""

    zone: zoneinfo.ZoneInfo
    today: dt.datetime
    month: dt.datetime

    @classmethod
    def around(cls, workspace: Workspace, now: dt.datetime) -> "Period":
        zone = zoneinfo.ZoneInfo(workspace.zone)
        midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
        return cls(zone, midnight, midnight.replace(day=1))


def summary(workspace: Workspace, now: dt.datetime) -> Summary:
    """Return everything the costs page shows. Each number adds up from the same spans."""
    period = Period.around(workspace, now)
    pipelines = _lines(workspace, period, "pipeline")
    days = _days(workspace, period, pipelines)
    colours = {series.name: series.colour for series in days.series}
    # One pass over the spans by pipeline gives the totals too, so that table and totals cannot disagree.
    today_total = _together(line.today for line in pipelines)
    month_total = _together(line.month for line in pipelines)
    runs = Run.objects.filter(workspace=workspace, created_at__gte=period.month).aggregate(
        unconfirmed=Sum("unconfirmed_micros"),
        all=Count("id", filter=Q(parent=None)),
        good=Count("id", filter=Q(parent=None, state="succeeded")),
        capped=Count("id", filter=Q(parent=None, state="failed", reason__contains="budget")),
    )
    return Summary(
        today=today_total,
        month=month_total,
        unconfirmed_micros=runs["unconfirmed"] or 0,
        runs=runs["all"],
        stopped_at_cap=runs["capped"],
        good_runs=runs["good"],
        pipelines=[_coloured(line, colours) for line in pipelines],
        agents=_lines(workspace, period, "agent"),
        models=_lines(workspace, period, "model"),
        days=days,
        caps=caps(workspace, period),
        zone=workspace.zone,
    )


def today(workspace: Workspace, now: dt.datetime) -> tuple[Spend, Cap | None]:
    """Return today's spend and the workspace's daily budget, if it has one. Two queries."""
    period = Period.around(workspace, now)
    daily = [cap for cap in caps(workspace, period, whole_workspace=True) if cap.period == "day"]
    return _total(workspace, period.today), daily[0] if daily else None


def since(workspace: Workspace, start: dt.datetime) -> Spend:
    """Return what was spent from a moment until now."""
    return _total(workspace, start)


def by_hour(workspace: Workspace, now: dt.datetime) -> list[int]:
    """Return today's spend in micro-dollars for each of the 24 hours."""
    period = Period.around(workspace, now)
    rows = (
        _model_spans(workspace, period.today)
        .annotate(hour=TruncHour("end", tzinfo=period.zone))
        .values_list("hour")
        .annotate(total=Sum("cost_micros"))
    )
    found = {hour.hour: total or 0 for hour, total in rows}
    return [found.get(hour, 0) for hour in range(24)]


def caps(workspace: Workspace, period: Period, *, whole_workspace: bool = False) -> list[Cap]:
    """Return the workspace's budgets with what this day or month has used of them."""
    budgets = (
        Budget.objects.filter(workspace=workspace)
        .select_related("pipeline", "workspace")
        .order_by("pipeline__name", "period")
    )
    if whole_workspace:
        budgets = budgets.filter(pipeline=None)
    starts = {"day": period.today.date(), "month": period.month.date()}
    counters = {
        (counter.budget_id, counter.period_start): counter
        for counter in BudgetCounter.objects.filter(budget__in=budgets, period_start__in=set(starts.values()))
    }
    return [_cap(budget, counters.get((budget.pk, starts[budget.period])), period) for budget in budgets]


def _cap(budget: Budget, counter: BudgetCounter | None, period: Period) -> Cap:
    """Return a budget with what its counter says; its first call makes the counter, and until then the spans know."""
    if counter is None:
        spans = _model_spans(budget.workspace, period.today if budget.period == "day" else period.month)
        spans = spans.filter(pipeline=budget.pipeline) if budget.pipeline else spans
        counter = BudgetCounter(spent_micros=spans.aggregate(spent=Sum("cost_micros"))["spent"] or 0)
    return Cap(
        name=budget.pipeline.name if budget.pipeline else WHOLE,
        period=budget.period,
        max_micros=budget.max_cost_micros,
        spent_micros=counter.spent_micros,
        reserved_micros=counter.reserved_micros,
    )


def _model_spans(workspace: Workspace, since: dt.datetime):  # type: ignore[no-untyped-def]  # a QuerySet of Span
    return Span.objects.filter(workspace=workspace, model__isnull=False, end__gte=since).order_by()


def _sums(prefix: str, since: dt.datetime | None = None) -> dict[str, Sum | Count]:
    """Return the aggregates of one spend; `since` narrows them to the later part of the rows."""
    late = Q(end__gte=since) if since else Q()
    unpriced = Q(cost_micros__isnull=True, status="ok")  # a call that failed costs nothing
    return {
        f"{prefix}micros": Sum("cost_micros", filter=late),
        f"{prefix}calls": Count("id", filter=late),
        f"{prefix}unpriced": Count("id", filter=late & unpriced),
        f"{prefix}input": Sum("input_tokens", filter=late),
        f"{prefix}output": Sum("output_tokens", filter=late),
    }


def _spend(row: Mapping[str, int | None], prefix: str) -> Spend:
    unpriced, micros = row[f"{prefix}unpriced"] or 0, row[f"{prefix}micros"]
    return Spend(
        micros=None if unpriced and micros is None else micros or 0,
        calls=row[f"{prefix}calls"] or 0,
        unpriced=unpriced,
        input_tokens=row[f"{prefix}input"] or 0,
        output_tokens=row[f"{prefix}output"] or 0,
    )


def _together(spends: Iterable[Spend]) -> Spend:
    parts = list(spends)
    unpriced, micros = sum(part.unpriced for part in parts), sum(part.micros or 0 for part in parts)
    return Spend(
        micros=None if unpriced and not micros else micros,
        calls=sum(part.calls for part in parts),
        unpriced=unpriced,
        input_tokens=sum(part.input_tokens for part in parts),
        output_tokens=sum(part.output_tokens for part in parts),
    )


def _total(workspace: Workspace, since: dt.datetime) -> Spend:
    return _spend(_model_spans(workspace, since).aggregate(**_sums("all_")), "all_")


def _lines(workspace: Workspace, period: Period, dimension: str) -> list[Line]:
    """Return the month's spend by one dimension, dearest first."""
    rows = list(
        _model_spans(workspace, period.month)
        .values(key=F(DIMENSIONS[dimension]))
        .annotate(**_sums("month_"), **_sums("today_", period.today))
    )
    names = _names(row["key"] for row in rows) if dimension == "pipeline" else {}
    lines = [
        Line(
            name=names[row["key"]].name if row["key"] in names else str(row["key"] or "no agent"),
            slug=names[row["key"]].slug if row["key"] in names else "",
            today=_spend(row, "today_"),
            month=_spend(row, "month_"),
        )
        for row in rows
    ]
    return sorted(lines, key=lambda line: (-(line.month.micros or 0), line.name))


def _names(keys: Iterable[object]) -> dict[object, Pipeline]:
    return dict(Pipeline.objects.in_bulk(list(keys)))


def _coloured(line: Line, colours: Mapping[str, str]) -> Line:
    return Line(line.name, line.today, line.month, line.slug, colours.get(line.name, "co"))


def _days(workspace: Workspace, period: Period, lines: Sequence[Line]) -> Days:
    count = (period.today.date() - period.month.date()).days + 1
    days = [period.month.date() + dt.timedelta(days=offset) for offset in range(count)]
    rows = (
        _model_spans(workspace, period.month)
        .annotate(day=TruncDate("end", tzinfo=period.zone))
        .values_list("pipeline_id", "day")
        .annotate(total=Sum("cost_micros"))
    )
    found: dict[str, dict[dt.date, int]] = {}
    names = _names({row[0] for row in rows})
    shown = [line.name for line in lines[:SERIES]]
    for pipeline_id, day, total in rows:
        name = names[pipeline_id].name if pipeline_id in names else str(pipeline_id)
        per_day = found.setdefault(name if name in shown else "Other", {})
        per_day[day] = per_day.get(day, 0) + (total or 0)
    order = [name for name in [*shown, "Other"] if name in found]
    return Days(
        days,
        [
            Series(name, "co" if name == "Other" else f"c{index + 1}", [found[name].get(day, 0) for day in days])
            for index, name in enumerate(order)
        ],
    )
