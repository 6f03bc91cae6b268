"""Why spending changed against another period, and which pipelines and models each reason is made of."""

from collections.abc import Mapping
from dataclasses import dataclass

from accounts.models import Workspace
from runs.behind import NOBODYS, href, names_of
from runs.spending import Spending, ask
from runs.spending.filters import Filters
from runs.spending.rise import Factor, Kind, Spent, Work, by_kind, rise

_BY = ("pipeline", "model")


@dataclass(frozen=True, slots=True)
class Line:
    """A pipeline with a model: its micro-dollars before and now, the addresses of both, and its part of each reason."""

    pipeline: str | None
    name: str
    model: str | None
    before: int
    now: int
    hrefs: Mapping[str, str]
    parts: Mapping[Factor, int]


def factors(
    workspace: Workspace, before: tuple[Filters, Spending], now: tuple[Filters, Spending]
) -> Mapping[Factor, int]:
    """Return each factor's part of the change between two periods, given with their totals. Two queries.

    Empty where one of the two has calls, and no price of them is known.
    """
    periods = _periods(workspace, before, now)
    return rise(*periods) if periods else {}


def factors_of(workspace: Workspace, filters: Filters) -> Mapping[Factor, int]:
    """Return `factors` against the period before. Four queries."""
    against = filters.before()
    return factors(workspace, (against, _total(workspace, against)), (filters, _total(workspace, filters)))


def lines(workspace: Workspace, filters: Filters) -> list[Line]:
    """Return the pipelines and models whose parts sum to `factors_of`, the largest change first. Five queries."""
    against = filters.before()
    periods = _periods(workspace, (against, _total(workspace, against)), (filters, _total(workspace, filters)))
    if not periods:
        return []
    before, now = periods
    names = names_of(workspace)
    found = [
        _line((against, before), (filters, now), kind, parts, names) for kind, parts in by_kind(before, now).items()
    ]
    return sorted(found, key=lambda line: (-abs(line.now - line.before), line.name, line.model or ""))


def _line(
    before: tuple[Filters, Spent],
    now: tuple[Filters, Spent],
    kind: Kind,
    parts: Mapping[Factor, int],
    names: Mapping[str, str],
) -> Line:
    pipeline, model = kind
    hrefs = {
        name: href(filters.keeping("pipeline", pipeline).keeping("model", model))
        for name, (filters, _) in (("before", before), ("now", now))
    }
    name = NOBODYS["pipeline"] if pipeline is None else names.get(pipeline, pipeline)
    return Line(pipeline, name, model, before[1].cost_of(kind), now[1].cost_of(kind), hrefs, parts)


def _periods(
    workspace: Workspace, before: tuple[Filters, Spending], now: tuple[Filters, Spending]
) -> tuple[Spent, Spent] | None:
    if before[1].cost is None or now[1].cost is None:
        return None
    return _spent(workspace, before), _spent(workspace, now)


def _spent(workspace: Workspace, period: tuple[Filters, Spending]) -> Spent:
    filters, total = period
    found = ask(filters.asking(workspace, *_BY, with_total=False)).lines
    work = {key: Work(one.calls, one.input_tokens + one.output_tokens, one.cost or 0) for key, one in found.items()}
    return Spent(total.runs, work)


def _total(workspace: Workspace, filters: Filters) -> Spending:
    return ask(filters.asking(workspace)).total
