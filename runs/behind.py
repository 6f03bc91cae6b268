"""Which runs are behind a figure of the cost pages, and the address where they are listed."""

import datetime as dt

from django.urls import reverse

from accounts.models import Workspace
from runs.spending import charged, counts, waste
from runs.spending.filters import NONE, Filters

NOBODYS = {"agent": "no agent", "tag": "no tag", "person": "nobody", "step": "no step", "pipeline": "no pipeline"}


def href(filters: Filters, figure: str = "cost", **more: str) -> str:
    """Return the address of the runs that sum to a figure."""
    return f"{reverse('cost-runs')}?{filters.query(figure=figure, **more)}"


def beyond_href(filters: Filters, at: dt.date | None = None) -> str:
    """Return the address of the values that a table puts together, in the column of a chart or in the whole period."""
    return f"{reverse('cost-beyond')}?{filters.query(**({'at': at.isoformat()} if at else {}))}"


def of_results(filters: Filters, state: str) -> str:
    """Return the address of the runs behind a figure of `results`."""
    if filters.names_calls:
        return href(filters if state == "all" else filters.keeping("outcome", state), "runs")
    return f"{reverse('cost-runs')}?{filters.query(begun=state)}"


def of_charge(filters: Filters, tag: str | None) -> dict[str, str]:
    """Return the addresses of the runs behind what a tag is charged, by the figures of `charged`."""
    return {figure: href(filters, figure, share=NONE if tag is None else tag) for figure in charged.FIGURES}


def begun(workspace: Workspace, filters: Filters, **only: object) -> counts.Runs:
    """Return the runs that were begun in the period, not by another run's step."""
    kept = {name: values for name, values in filters.only.items() if name in counts.KEPT}
    return counts.Runs(workspace, filters.first, {"is_child": False, **only}, filters.last, kept)


def of_loss(filters: Filters, kind: waste.Kind) -> tuple[Filters, str]:
    """Return which runs and which of their figures sum to a kind of waste."""
    if kind in (waste.Kind.FAILED, waste.Kind.CANCELLED):
        kept = filters.only.get("outcome", (kind.value,))
        only = {**filters.only, "outcome": tuple(one for one in kept if one == kind) or ("",)}
        return Filters(filters.first, filters.last, filters.by, only), "rest"
    if kind is waste.Kind.UNREAD:
        return filters.keeping("outcome", "succeeded"), "first"
    return filters, kind.value
