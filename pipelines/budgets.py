"""Caps over a day or a month, for a workspace or one of its pipelines; `runs.allowance` holds calls to them."""

from dataclasses import dataclass

from django.db import transaction

from accounts import audit
from accounts.access import Actor, Capability, get, require
from accounts.errors import Invalid
from pipelines.graph.model import DEFAULT_ALERTS
from pipelines.graph.money import dollars, micros
from pipelines.models import ON_EXCEED, Budget, Pipeline

_MOST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class BudgetFields:
    """`pipeline` is a slug, or None for the whole workspace; `alert_at` are shares of the cap in (0, 1].

    A budget that is not `hard` only alerts. `on_exceed` says what happens to a step that a hard one refuses a call.
    """

    period: str
    max_cost_usd: str
    pipeline: str | None = None
    hard: bool = True
    alert_at: tuple[float, ...] = DEFAULT_ALERTS
    on_exceed: str = "stop"


@transaction.atomic
def put(actor: Actor, fields: BudgetFields) -> Budget:
    """Set the budget of this scope and period, instead of the one before; Invalid naming the field, NotFound,
    Forbidden."""
    require(actor, Capability.MANAGE)
    if fields.period not in ("day", "month"):
        raise Invalid(f"The period is day or month, not {fields.period!r}.", where="/period")
    if fields.on_exceed not in ON_EXCEED:
        raise Invalid(f"on_exceed is {', '.join(ON_EXCEED)}, not {fields.on_exceed!r}.", where="/on_exceed")
    for index, share in enumerate(fields.alert_at):
        if not 0 < share <= 1:
            raise Invalid("An alert is a share of the cap: more than 0, at most 1.", where=f"/alert_at/{index}")
    pipeline = get(Pipeline, actor, slug=fields.pipeline) if fields.pipeline is not None else None
    budget, _ = Budget.objects.update_or_create(
        workspace=actor.workspace,
        pipeline=pipeline,
        period=fields.period,
        defaults={
            "max_cost_micros": _cap(fields.max_cost_usd),
            "hard": fields.hard,
            "on_exceed": fields.on_exceed,
            "alert_at": sorted(set(fields.alert_at)),
        },
    )
    told = {"max_cost_usd": dollars(budget.max_cost_micros), "hard": budget.hard, "on_exceed": budget.on_exceed}
    audit.record(actor.workspace, actor.user, "budget.set", target(budget), told)
    return budget


@transaction.atomic
def remove(actor: Actor, budget: Budget) -> None:
    """Take a budget away: from now on nothing is held to it."""
    require(actor, Capability.MANAGE)
    Budget.objects.select_for_update().filter(pk=budget.pk).first()  # a counter that begins just now is gone with it
    gone = target(budget)
    budget.delete()
    audit.record(actor.workspace, actor.user, "budget.removed", gone)


def target(budget: Budget) -> str:
    """Return what people call a budget: "workspace/day", "pipeline brief/month"."""
    scope = f"pipeline {budget.pipeline.slug}" if budget.pipeline is not None else "workspace"
    return f"{scope}/{budget.period}"


def _cap(amount: str) -> int:
    try:
        cap = micros(amount)
    except ValueError as error:
        raise Invalid(str(error), where="/max_cost_usd") from None
    if not 0 < cap <= _MOST:
        raise Invalid('The cap must be more than $0, as text like "50.00".', where="/max_cost_usd")
    return cap
