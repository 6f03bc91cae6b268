"""What the managers' pages of costs show: figures of one moment, each with the address of the runs that sum to it."""

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from django.urls import reverse

from accounts.models import Workspace
from pipelines.models import Pipeline
from runs import losses, reasons
from runs.behind import NOBODYS, begun, beyond_href, href, names_of, of_results
from runs.costs import Cap, Period, caps
from runs.snapshot import one_snapshot
from runs.spending import Key, Spending, ask, chargeback, counts, latency, waste
from runs.spending.filters import Filters
from runs.spending.forecast import LOOK_BACK, Forecast, forecast
from runs.spending.movers import Mover, movers
from runs.spending.question import plus
from runs.spending.rise import Factor
from runs.stacks import LISTED, Series, Stack, stack
from runs.unusual import Unusual, unusual

MOVERS = 6
ALWAYS = 20
"""A check that said the same so many times in a row, and never another thing, may not be needed each time."""


@dataclass(frozen=True, slots=True)
class Name:
    """A value of a dimension: what the page calls it, and the address where only it is kept."""

    value: str | None
    text: str
    href: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table by the chosen dimension; `hrefs` has the addresses of its figures."""

    name: Name
    colour: str
    spending: Spending
    mover: Mover
    hrefs: Mapping[str, str]

    @property
    def per_run(self) -> int | None:
        """None where there are no runs, or no price is known."""
        cost, runs = self.spending.cost, self.spending.runs
        return cost // runs if cost is not None and runs else None


@dataclass(frozen=True, slots=True)
class Results:
    """Runs begun in the period and not by another run's step, by how they stand."""

    all: int
    good: int
    failed: int
    cancelled: int
    capped: int

    @property
    def ended(self) -> int:
        return self.good + self.failed + self.cancelled

    def per_good(self, cost: int | None) -> int | None:
        """Return what a good one cost; None where there are none, or no price is known."""
        return None if cost is None or not self.good else cost // self.good


@dataclass(frozen=True, slots=True)
class Cells:
    """A line of the chart's table: micro-dollars and the address of what is behind them, by column and in sum."""

    name: str
    cells: Sequence[tuple[int, str]]
    total: int | None
    href: str


@dataclass(frozen=True, slots=True)
class Board:
    """The page of costs. `total` and `before` are the period's and the compared one's."""

    day: dt.date
    filters: Filters
    against: Filters
    total: Spending
    before: Spending
    today: Spending
    month: int | None
    rows: Sequence[Row]
    gone: Sequence[Row]
    stack: Stack
    forecast: Forecast
    month_cap: Cap | None
    results: Results
    results_before: Results
    waste: Sequence[losses.Loss]
    wasted: int
    saved: int
    savers: Sequence[tuple[str, int, str]]
    parts: Mapping[Factor, int]
    agreeing: Sequence[tuple[latency.Place, Spending, str]]
    caps: Sequence[Cap]
    zone: str
    unusual: Unusual

    @property
    def per_good(self) -> int | None:
        return self.results.per_good(self.total.cost)

    @property
    def per_good_change(self) -> float | None:
        """How many percent a good result costs more than before."""
        now, before = self.per_good, self.results_before.per_good(self.before.cost)
        return 100 * (now - before) / before if now is not None and before else None

    @property
    def change(self) -> int | None:
        return Mover(None, self.total.cost, self.before.cost).change

    @property
    def over_cap(self) -> int:
        """How far the forecast is above the workspace's budget of the month."""
        cap = self.month_cap
        return max((self.forecast.micros or 0) - cap.max_micros, 0) if cap else 0

    @property
    def month_days(self) -> Filters:
        """The month until today, of what the filters keep."""
        return self.filters.within(self.day.replace(day=1), self.day)

    @property
    def is_of_month(self) -> bool:
        return self.filters == self.month_days

    @property
    def shown(self) -> Sequence[Row]:
        return self.rows[:LISTED]

    @property
    def hidden(self) -> tuple[int, int, str]:
        """Return how many rows are not shown, what they come to, and the address of these rows."""
        rest = self.rows[LISTED:]
        return len(rest), sum(row.spending.cost or 0 for row in rest), beyond_href(self.filters)

    @property
    def movers(self) -> list[Row]:
        """Return the rows that changed most, also those that nothing was spent on any more."""
        moved = [row for row in (*self.rows, *self.gone) if row.mover.change]
        return sorted(moved, key=lambda row: -abs(row.mover.change or 0))[:MOVERS]

    @property
    def cells(self) -> list[Cells]:
        """Return the chart's numbers, each with the address of its runs."""
        return [self._cells(series) for series in self.stack.listed]

    def _cells(self, series: Series) -> Cells:
        if series.is_rest:
            parts = [
                (micros, beyond_href(self.filters, column.first))
                for micros, column in zip(series.micros, self.stack.columns, strict=True)
            ]
            return Cells(series.name, parts, series.total, beyond_href(self.filters))
        spent = next((row.spending.cost for row in self.rows if row.name.value == series.value), series.total)
        kept = self.filters.keeping(self.filters.by, series.value)
        parts = [
            (micros, href(kept.within(column.first, column.last)))
            for micros, column in zip(series.micros, self.stack.columns, strict=True)
        ]
        return Cells(series.name, parts, spent, href(kept))

    @property
    def hrefs(self) -> dict[str, str]:
        """Return the addresses of the runs behind the figures of the top row."""
        today = self.day.isoformat()
        figures = ("cost", "unconfirmed", "saved", "unpriced", "runs", "calls", "wasted")
        found = {figure: href(self.filters, figure) for figure in figures}
        found |= {state: of_results(self.filters, state) for state in ("all", "succeeded", "failed", "cancelled")}
        found |= {"capped": of_results(self.filters, "capped"), "before": href(self.against)}
        kept = self.filters.keeping("day", today)
        return found | {"today": href(kept), "today_calls": href(kept, "calls"), "month": href(self.month_days)}


def board(workspace: Workspace, filters: Filters, now: dt.datetime) -> Board:
    """Return everything the page of costs shows, from one snapshot. Its queries read the daily books."""
    with one_snapshot():
        return _board(workspace, filters, now)


def _board(workspace: Workspace, filters: Filters, now: dt.datetime) -> Board:
    against = filters.before()
    period = Period.around(workspace, now)
    by_day = ask(filters.asking(workspace, filters.by, "day"))
    earlier = ask(against.asking(workspace, filters.by))
    by_place = ask(filters.asking(workspace, *waste.BY, with_total=False)).lines
    names = names_of(workspace)
    month = _month_by_day(workspace, filters, now)
    rows, gone = _rows(
        filters, by_day.lines, ask(filters.asking(workspace, filters.by, with_total=False)).lines, earlier.lines, names
    )
    limits = caps(workspace, period)
    lost = losses.losses(workspace, filters, by_place, names)
    saved, savers = waste.saved(by_place)
    return Board(
        day=period.today.date(),
        filters=filters,
        against=against,
        total=by_day.total,
        before=earlier.total,
        today=month.get(period.today.date(), Spending()),
        month=_sum([one.cost for day, one in month.items() if day >= period.month.date()]),
        rows=rows,
        gone=gone,
        stack=stack(filters, [(row.name.text, row.name.value) for row in rows], by_day.lines),
        forecast=forecast(_costs(month), period.today.date()),
        month_cap=next((cap for cap in limits if cap.period == "month" and cap.is_whole), None),
        results=results(workspace, filters),
        results_before=results(workspace, against),
        waste=lost,
        wasted=sum(loss.line.micros for loss in lost),
        saved=saved,
        savers=[losses.place_of(filters, place, names, "saved") for place in savers],
        parts=reasons.factors(workspace, (against, earlier.total), (filters, by_day.total)),
        agreeing=_agreeing(workspace, filters, by_place),
        caps=limits,
        zone=workspace.zone,
        unusual=unusual(workspace, filters),
    )


def name_of(filters: Filters, value: str | None, names: Mapping[str, str]) -> Name:
    by = filters.by
    text = NOBODYS.get(by, "none") if value is None else names.get(value, value) if by == "pipeline" else value
    return Name(value, text, f"{reverse('costs')}?{filters.keeping(by, value).query()}")


def ranked(spent: Mapping[str | None, int | None]) -> list[str | None]:
    """Return values in the order of the table, the dearest first, given what was spent on each."""
    return sorted(spent, key=lambda value: (-(spent[value] or 0), value or ""))


def foretold(workspace: Workspace, filters: Filters, now: dt.datetime) -> Forecast:
    """Return what this month will have cost at its end, of what the filters keep. One query."""
    today = Period.around(workspace, now).today.date()
    return forecast(_costs(_month_by_day(workspace, filters, now)), today)


def _month_by_day(workspace: Workspace, filters: Filters, now: dt.datetime) -> dict[dt.date, Spending]:
    """Return this month until today, and what a forecast looks back on."""
    period = Period.around(workspace, now)
    today = period.today.date()
    first = min(period.month.date(), today - dt.timedelta(days=LOOK_BACK))
    lines = ask(filters.within(first, today).asking(workspace, "day", with_total=False)).lines
    return {dt.date.fromisoformat(str(day)): one for (day,), one in lines.items()}


def _sum(costs: Sequence[int | None]) -> int | None:
    """Return what is known of the sum; None where something was called and no price is known."""
    return reduce(plus, costs) if costs else 0


def _costs(days: Mapping[dt.date, Spending]) -> dict[dt.date, int]:
    return {day: one.cost or 0 for day, one in days.items()}


def results(workspace: Workspace, filters: Filters) -> Results:
    """Return how the runs begun in the period stand. Where a call's own dimension is kept, those with such calls."""
    if filters.names_calls:
        lines = ask(filters.asking(workspace, "outcome", with_total=False)).lines
        states = {key[0]: one.runs for key, one in lines.items()}
        good, failed, cancelled = (states.get(state, 0) for state in ("succeeded", "failed", "cancelled"))
        return Results(sum(states.values()), good, failed, cancelled, 0)
    found = counts.count(begun(workspace, filters), ("state",))

    def runs(state: str) -> int:
        return found.get((state,), counts.Count()).runs

    return Results(
        all=sum(one.runs for one in found.values()),
        good=runs("succeeded"),
        failed=runs("failed"),
        cancelled=runs("cancelled"),
        capped=sum(one.capped for one in found.values()),
    )


def _rows(
    filters: Filters,
    by_day: Mapping[Key, Spending],
    lines: Mapping[Key, Spending],
    earlier: Mapping[Key, Spending],
    names: Mapping[str, str],
) -> tuple[list[Row], list[Row]]:
    """Return the rows of the period, the dearest first, and those that only the compared period has."""
    against = filters.before()
    spent, spent_before = ({key[0]: one.cost for key, one in found.items()} for found in (lines, earlier))
    moved = {mover.name: mover for mover in movers(spent, spent_before)}

    def row(value: str | None, colour: str) -> Row:
        spending = lines.get((value,), Spending())
        kept = filters.keeping(filters.by, value)
        hrefs = {figure: href(kept, figure) for figure in ("cost", "runs", "calls")}
        hrefs |= {"before": href(kept.within(against.first, against.last))}
        return Row(name_of(filters, value, names), colour, spending, moved[value], hrefs)

    present = [row(value, f"c{number + 1}" if number < 6 else "co") for number, value in enumerate(ranked(spent))]
    return present, [row(value, "co") for value in spent_before if value not in spent]


def _agreeing(
    workspace: Workspace, filters: Filters, by_place: Mapping[Key, Spending]
) -> list[tuple[latency.Place, Spending, str]]:
    """Return the checks that always said the same, with what they cost, the dearest first."""
    spent: dict[tuple[str | None, str | None], int] = defaultdict(int)
    for (pipeline, step, _), one in by_place.items():
        spent[pipeline, step] += one.cost or 0
    pipelines = [value for value in filters.only.get("pipeline", ()) if value]
    found = []
    for place in latency.places(workspace, filters.first, filters.last, pipelines):
        cost = spent[place.pipeline, place.node]
        if place.kind == "check" and cost and len(place.ports) == 1 and sum(place.ports.values()) >= ALWAYS:
            kept = filters.keeping("pipeline", place.pipeline).keeping("step", place.node)
            found.append((place, Spending(cost=cost), href(kept)))
    return sorted(found, key=lambda one: -(one[1].cost or 0))


def charges(workspace: Workspace, filters: Filters) -> tuple[Spending, list[chargeback.Charge]]:
    """Return what the period cost, and how tags share it: the charges sum to the cost."""
    found = ask(filters.asking(workspace, *chargeback.BY))
    return found.total, chargeback.charges(found.lines)


def offered(workspace: Workspace, filters: Filters) -> dict[str, list[str]]:
    """Return the pipelines of the workspace, and the models and tags of the period, for a form to choose from."""
    lines = ask(Filters(filters.first, filters.last).asking(workspace, "model", "tag", with_total=False)).lines
    pipelines = Pipeline.objects.filter(workspace=workspace, archived_at=None).values_list("slug", flat=True)
    found = {
        "pipeline": set(pipelines),
        "model": {key[0] for key in lines if key[0]},
        "tag": {key[1] for key in lines if key[1]},
    }
    kept = {name: {value for value in filters.only.get(name, ()) if value} for name in found}
    return {name: sorted(found[name] | kept[name]) for name in found}
