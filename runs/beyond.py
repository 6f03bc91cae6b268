"""The values that the chart and the table of costs put together as the last line: each with its part of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from accounts.errors import Invalid
from accounts.models import Workspace
from runs.behind import costs_by, href, names_of
from runs.dashboards import Name, name_of, ranked
from runs.spending.filters import Filters
from runs.stacks import LISTED, columns_of


@dataclass(frozen=True, slots=True)
class Line:
    """A value, its micro-dollars (None where no price of them is known), and the address of its runs."""

    name: Name
    micros: int | None
    href: str


@dataclass(frozen=True, slots=True)
class Beyond:
    """`total` is the number of the line that puts them together, within `days` of the period; `more` follow a page."""

    days: Filters
    total: int
    count: int
    lines: Sequence[Line]
    more: bool


def beyond(workspace: Workspace, filters: Filters, at: str, page: int, most: int) -> Beyond:
    """Return what was spent on values that the period's table does not list, so many a page, the dearest first.

    `at` is the first day of a column of the chart, or "" for the whole period; which values these are, the period says.
    Raise Invalid for a day that no column begins with. Three queries.
    """
    days = _column(filters, at) if at else filters
    hidden = ranked(costs_by(workspace, filters))[LISTED:]
    spent = costs_by(workspace, days)
    found = ranked({value: spent[value] for value in hidden if spent.get(value, 0) != 0})
    names = names_of(workspace)
    lines = [
        Line(name_of(filters, value, names), spent[value], href(days.keeping(filters.by, value)))
        for value in found[most * (page - 1) : most * page]
    ]
    return Beyond(days, sum(spent[value] or 0 for value in found), len(found), lines, len(found) > most * page)


def _column(filters: Filters, at: str) -> Filters:
    found = next((column for column in columns_of(filters)[1] if column.first.isoformat() == at), None)
    if found is None:
        message = f"No column of the chart begins with {at[:40]!r}; it is a day as 2026-11-20."
        raise Invalid(message, code="bad_time", where="/at")
    return filters.within(found.first, found.last)
