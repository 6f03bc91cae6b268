"""Where budgets stand, and money allowed beyond one, for programs and spreadsheets."""

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router
from pydantic import Field

from accounts import sheets
from accounts.access import Actor, actor_of, get
from accounts.errors import NotFound
from accounts.schemas import Body
from accounts.sheets import Form
from pipelines import budgets
from pipelines.api.shapes import budget as budget_shape
from pipelines.graph.model import Json
from pipelines.graph.money import dollars
from runs.budgets import Standing, allow_more, standings

router = Router(tags=["budgets"])

COLUMNS = (
    *("name", "scope", "pipeline", "tag", "period", "period_start", "max_cost_usd", "allowed_usd", "spent_usd"),
    *("held_usd", "left_usd", "used_up_on", "hard", "on_exceed"),
)


class MoreBody(Body):
    add_usd: str = Field(description="dollars, as text")
    reason: str = Field(max_length=budgets.LONGEST_REASON)


@router.get(
    "/costs/budgets",
    response=Any,
    summary="What the present day or month has used of each budget, and what is left",
    openapi_extra=sheets.OR_A_SHEET,
)
def list_standings(request: HttpRequest, form: Form = "json") -> Any:
    """`allowed_usd` is what a manager allowed beyond the cap, `held_usd` is held for calls that are being made.

    A pipeline's budget holds what the runs below its own spend too.
    """
    items = [_standing(one) for one in standings(actor_of(request), timezone.now())]
    return sheets.of_items("budgets", COLUMNS, items) if form == "csv" else {"items": items, "next": None}


@router.post("/budgets/{budget_id}/allow", response=Any, summary="Allow more in the present day or month alone")
def allow(request: HttpRequest, budget_id: str, body: MoreBody) -> dict[str, Json]:
    """The cap itself stays. Answers with where the budget stands now; it counts for the next call."""
    actor = actor_of(request)
    found = get(budgets.listed(actor).select_related("workspace"), actor, pk=budget_id)
    allow_more(actor, found, body.add_usd, body.reason)
    return _now(actor, str(found.pk))


def _now(actor: Actor, budget_id: str) -> dict[str, Json]:
    """Return where a budget stands; NotFound where it was removed meanwhile."""
    for one in standings(actor, timezone.now()):
        if str(one.budget.pk) == budget_id:
            return _standing(one)
    raise NotFound


def _standing(one: Standing) -> dict[str, Json]:
    return {
        **budget_shape(one.budget),
        "name": one.name,
        "period_start": one.start.isoformat(),
        "allowed_usd": dollars(one.extra),
        "spent_usd": dollars(one.spent),
        "held_usd": dollars(one.reserved),
        "left_usd": dollars(one.left),
        "used_up_on": one.used_up_on.isoformat() if one.used_up_on else None,
    }
