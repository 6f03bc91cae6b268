"""What the cost pages call things, which runs are behind a figure, and the address where they are listed."""

import datetime as dt

from django.urls import reverse

from accounts.models import Workspace
from pipelines.models import Pipeline
from runs.spending import ask, charged, counts, waste
from runs.spending.filters import NONE, Filters

NOBODYS = {"agent": "no agent", "tag": "no tag", "person": "nobody", "step": "no step", "pipeline": "no pipeline"}


def names_of(workspace: Workspace) -> dict[str, str]:
    """Return what the pages call pipelines, by slug. One query."""
    return dict(Pipeline.objects.filter(workspace=workspace).values_list("slug", "name"))


def costs_by(workspace: Workspace, filters: Filters) -> dict[str | None, int | None]:
    """Return the micro-dollars of each value of the filters' dimension, None where no price is known. One query."""
    lines = ask(filters.asking(workspace, filters.by, with_total=False)).lines
    return {key[0]: one.cost for key, one in lines.items()}


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
