"""The tables of the cost pages as rows, for programs and spreadsheets: the same figures from the same functions."""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from accounts.errors import Invalid
from accounts.models import Workspace
from pipelines.graph.model import Json
from pipelines.graph.money import dollars
from runs import dashboards, drilling, losses, speeds, unusual
from runs import reasons as why
from runs.behind import costs_by
from runs.spending import ask, latency, movers, waste
from runs.spending.filters import Filters
from runs.spending.rise import FACTORS

Row = Sequence[Json]
MOST_RUNS = 10_000


@dataclass(frozen=True, slots=True)
class Table:
    """Columns whose names end in `_usd` have dollars as text; null is what is not known."""

    columns: Sequence[str]
    rows: Iterable[Row]


def forecast(workspace: Workspace, filters: Filters, now: dt.datetime, given: Mapping[str, str]) -> Table:
    found = dashboards.foretold(workspace, filters, now)
    columns = ("until", "method", "history_days", "forecast_usd", "low_usd", "high_usd", "daily_usd", "said")
    money = (found.micros, found.low, found.high, found.daily)
    return Table(columns, [(found.until.isoformat(), str(found.method), found.days, *map(dollars, money), found.said)])


def moved(workspace: Workspace, filters: Filters, now: dt.datetime, given: Mapping[str, str]) -> Table:
    now_and_before = [costs_by(workspace, one) for one in (filters, filters.before())]
    rows = [
        (one.name, dollars(one.now), dollars(one.before), dollars(one.change)) for one in movers.movers(*now_and_before)
    ]
    return Table((filters.by, "cost_usd", "before_usd", "change_usd"), rows)


def rise(workspace: Workspace, filters: Filters, now: dt.datetime, given: Mapping[str, str]) -> Table:
    parts = why.factors_of(workspace, filters)
    return Table(("factor", "change_usd"), [(str(factor), dollars(parts.get(factor))) for factor in FACTORS])


def reasons(workspace: Workspace, filters: Filters, now: dt.datetime, given: Mapping[str, str]) -> Table:
    """What pipelines and models add to each reason: their parts sum to `rise`."""
    rows = [
        (line.pipeline, line.model, str(factor), *map(dollars, (line.before, line.now, line.parts[factor])))
        for line in why.lines(workspace, filters)
        for factor in FACTORS
    ]
    return Table(("pipeline", "model", "factor", "before_usd", "now_usd", "change_usd"), rows)


def wasted(workspace: Workspace, filters: Filters, now: dt.datetime, given: Mapping[str, str]) -> Table:
    lines = ask(filters.asking(workspace, *waste.BY, with_total=False)).lines
    rows = [
        (str(line.kind), place.pipeline, place.step, dollars(place.micros))
        for line in waste.waste(lines, len(lines), losses.unread_of(workspace, filters, lines))
        for place in line.places
    ]
    return Table(("kind", "pipeline", "step", "cost_usd"), rows)


def savings(workspace: Workspace, filters: Filters, now: dt.datetime, given: Mapping[str, str]) -> Table:
    lines = ask(filters.asking(workspace, *waste.BY, with_total=False)).lines
    _, places = waste.saved(lines, shown=len(lines))
    return Table(("pipeline", "step", "saved_usd"), [(one.pipeline, one.step, dollars(one.micros)) for one in places])


def results(workspace: Workspace, filters: Filters, now: dt.datetime, given: Mapping[str, str]) -> Table:
    """Runs begun in the period by how they stand, and what a successful one cost."""
    found, total = dashboards.results(workspace, filters), ask(filters.asking(workspace)).total
    per_run = found.per_good(total.cost)
    columns = ("runs", "succeeded", "failed", "cancelled", "stopped_at_cap", "cost_usd", "per_successful_run_usd")
    figures = (found.all, found.good, found.failed, found.cancelled, found.capped)
    return Table(columns, [(*figures, dollars(total.cost), dollars(per_run))])


def latencies(workspace: Workspace, filters: Filters, now: dt.datetime, given: Mapping[str, str]) -> Table:
    found = speeds.speeds(workspace, filters)
    places = (line.place for line in (*found.runs, *found.steps))
    columns = (
        *("pipeline", "step", "kind", "ended", "succeeded", "failed", "cancelled"),
        *("p50_seconds", "p95_seconds", "people_waits", "people_p50_seconds", "people_p95_seconds"),
    )
    return Table(columns, [_latency(place) for place in places])


def slowest(workspace: Workspace, filters: Filters, now: dt.datetime, given: Mapping[str, str]) -> Table:
    """The runs behind a time, the slowest first; at most 10,000."""
    found = speeds.behind(workspace, filters, given, most=MOST_RUNS)
    if found.days or found.count > MOST_RUNS:
        raise _too_many(found.count or found.times.count)
    rows: list[Row] = [
        (str(one.run.pk), one.run.number, one.run.pipeline.slug, one.run.state, round(one.seconds, 3), one.times)
        for one in found.lines
    ]
    if found.removed:
        rows.append((None, None, None, "removed", None, found.removed))
    return Table(("run", "number", "pipeline", "state", "seconds", "times"), rows)


def _latency(place: latency.Place) -> Row:
    states = [place.states.get(state, 0) for state in ("succeeded", "failed", "cancelled")]
    times = [place.work.p50, place.work.p95, place.people.p50, place.people.p95]
    work_50, work_95, people_50, people_95 = (None if one is None else round(one, 3) for one in times)
    of_place = (place.pipeline, place.node or None, place.kind, place.ended, *states)
    return (*of_place, work_50, work_95, place.people.count, people_50, people_95)


def anomalies(workspace: Workspace, filters: Filters, now: dt.datetime, given: Mapping[str, str]) -> Table:
    """Runs and hours that cost far more than usual, the furthest first."""
    found = unusual.unusual(workspace, filters)
    runs_: list[Row] = [
        (
            "run",
            str(one.run.pk),
            one.run.number,
            one.run.pipeline.slug,
            None,
            dollars(one.run.cost_micros),
            dollars(one.usual),
        )
        for one in found.runs
    ]
    hours: list[Row] = [
        ("hour", None, None, None, hour.begins.isoformat(), dollars(hour.micros), dollars(hour.usual))
        for hour, _ in found.hours
    ]
    return Table(("kind", "run", "number", "pipeline", "hour", "cost_usd", "usual_usd"), [*runs_, *hours])


def chargeback(workspace: Workspace, filters: Filters, now: dt.datetime, given: Mapping[str, str]) -> Table:
    """What each tag is charged, by pipeline: the lines sum to what was spent."""
    _, charges = dashboards.charges(workspace, filters)
    first, last = filters.first.isoformat(), filters.last.isoformat()
    rows = [
        (first, last, charge.tag, pipeline, dollars(micros))
        for charge in charges
        for pipeline, micros in sorted(charge.pipelines.items(), key=lambda line: (-(line[1] or 0), line[0] or ""))
    ]
    return Table(("from_day", "to_day", "tag", "pipeline", "charged_usd"), rows)


def runs(workspace: Workspace, filters: Filters, now: dt.datetime, given: Mapping[str, str]) -> Table:
    """The runs that a number is the sum of (`figure`, or `begun`), the largest part first; at most 10,000."""
    found = drilling.listed(workspace, filters, given, MOST_RUNS)
    if found.parts or found.count > MOST_RUNS:
        raise _too_many(found.count)
    amount = {"calls": "calls", "unpriced": "calls", "runs": "count"}.get(found.figure, f"{found.figure or 'run'}_usd")
    return Table(("run", "number", "pipeline", "state", amount), _runs(found))


def _too_many(count: int) -> Invalid:
    message = f"There are {count} runs behind that; at most {MOST_RUNS} are listed. Ask for fewer days."
    return Invalid(message, code="too_many_lines", where="/from")


def _runs(found: drilling.Found) -> Iterator[Row]:
    for line in found.lines:
        part = line.amount if line.amount is not None else line.spending.cost
        yield (str(line.run.pk), line.run.number, line.run.pipeline.slug, line.run.state, _said(part, found))
    if found.removed:
        yield (None, None, None, "removed", _said(found.removed, found))


def _said(part: int | None, found: drilling.Found) -> Json:
    return part if found.figure in drilling.COUNTED else dollars(part)


TABLES: Mapping[str, Callable[[Workspace, Filters, dt.datetime, Mapping[str, str]], Table]] = {
    "forecast": forecast,
    "movers": moved,
    "rise": rise,
    "reasons": reasons,
    "waste": wasted,
    "savings": savings,
    "results": results,
    "latency": latencies,
    "slowest": slowest,
    "anomalies": anomalies,
    "chargeback": chargeback,
    "runs": runs,
}
