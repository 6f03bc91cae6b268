"""Routes of what calls are held to by day and month."""

from typing import Any

from django.http import HttpRequest
from ninja import Router, Status

from accounts import sheets
from accounts.access import get
from accounts.errors import Invalid
from accounts.paging import page
from accounts.sheets import Form
from pipelines import budgets
from pipelines.api import shapes
from pipelines.api.caller import caller

router = Router(tags=["budgets"])

CHANGES = ("at", "by", "scope", "act", "was_usd", "cap_usd", "reason")


@router.get("/budgets", response=shapes.Page[shapes.BudgetOut], summary="List the caps over days and months")
def list_budgets(request: HttpRequest, cursor: str | None = None, limit: int | None = None) -> Any:
    return page(budgets.listed(caller(request)), cursor, limit, "id", shapes.budget)


@router.get(
    "/budgets/changes",
    response={200: shapes.Page[shapes.BudgetChangeOut]},
    summary="List what was done to budgets, and why",
    openapi_extra=sheets.OR_A_SHEET,
)
def list_changes(request: HttpRequest, cursor: str | None = None, limit: int | None = None, form: Form = "json") -> Any:
    rows = budgets.history(caller(request))
    if form == "csv":
        return sheets.of_rows("budget-changes", CHANGES, rows, shapes.budget_change)
    return page(rows, cursor, limit, "-id", shapes.budget_change)


@router.post("/budgets", response={201: shapes.BudgetOut}, summary="Set a cap, instead of the one before")
def put_budget(request: HttpRequest, body: shapes.BudgetIn) -> Status[Any]:
    named = {"workspace": (None, None), "pipeline": (body.pipeline, None), "tag": (None, body.tag)}
    expected = named.get(body.scope)
    if expected != (body.pipeline, body.tag) or (body.scope != "workspace" and expected == (None, None)):
        message = 'The scope is "workspace", "pipeline" with the slug of a pipeline, or "tag" with a tag.'
        raise Invalid(message, where="/scope")
    fields = budgets.BudgetFields(
        period=body.period,
        max_cost_usd=body.max_cost_usd,
        pipeline=body.pipeline,
        hard=body.hard,
        alert_at=tuple(body.alert_at),
        on_exceed=body.on_exceed,
        tag=body.tag,
        reason=body.reason,
    )
    return Status(201, shapes.budget(budgets.put(caller(request), fields)))


@router.delete("/budgets/{budget_id}", response={204: None}, summary="Remove a cap")
def remove_budget(request: HttpRequest, budget_id: str, reason: str = "") -> Status[None]:
    """A hard one goes only with a reason."""
    actor = caller(request)
    budgets.remove(actor, get(budgets.listed(actor), actor, pk=budget_id), reason)
    return Status(204, None)
