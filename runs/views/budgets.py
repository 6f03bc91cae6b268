"""The pages of budgets: where each stands, and the forms that set, raise, extend and remove one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import Actor, Capability, actor_of, get, require, scoped, signed_in
from accounts.errors import Conflict, Invalid, Refused
from pipelines import budgets
from pipelines.budgets import BudgetFields
from pipelines.graph.model import DEFAULT_ALERTS
from pipelines.graph.money import dollars
from pipelines.models import Budget, BudgetChange, Pipeline
from runs.budgets import Standing, allow_more, standings

CHANGES = 30
WIDTH, HEIGHT = 132, 34
FORM = ["GET", "POST"]
KINDS = (("stop", "Stop the run"), ("ask_human", "Ask a manager for more"), ("cheaper_model", "Use a cheaper fallback"))


@dataclass(frozen=True, slots=True)
class BurnDown:
    """What is left of a month's cap by day, as points of an SVG polyline of WIDTH × HEIGHT."""

    points: str
    is_low: bool


@require_GET
@signed_in
def budget_list(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    rows = [(one, burn_down(one)) for one in standings(actor, timezone.now())]
    context = {
        "rows": rows,
        "changes": budgets.history(actor)[:CHANGES],
        "may_edit": actor.can(Capability.MANAGE),
        "zone": actor.workspace.zone,
    }
    return render(request, "runs/budgets.html", context)


@require_http_methods(FORM)
@signed_in
def new(request: HttpRequest) -> HttpResponse:
    """The form of a new budget; what is sent for a scope and period that has one already takes its place."""
    actor = actor_of(request)
    require(actor, Capability.MANAGE)
    if request.method == "GET":
        return _form(request, actor, None, {"scope": "workspace", "period": "day", "hard": "on"})
    return _save(request, actor, None)


@require_http_methods(FORM)
@signed_in
def budget(request: HttpRequest, budget_id: UUID) -> HttpResponse:
    """One budget: its form for managers, and what was done to it for everybody."""
    actor = actor_of(request)
    found = get(budgets.listed(actor), actor, pk=budget_id)
    if request.method == "GET":
        return _form(request, actor, found, _typed(found))
    return _save(request, actor, found)


@require_POST
@signed_in
def allow(request: HttpRequest, budget_id: UUID) -> HttpResponse:
    actor = actor_of(request)
    found = get(budgets.listed(actor).select_related("workspace"), actor, pk=budget_id)
    posted = request.POST.dict()
    try:
        added = allow_more(actor, found, posted.get("add_usd", "").strip(), posted.get("reason", ""))
    except (Invalid, Conflict) as refused:
        return _form(request, actor, found, _typed(found), refused)
    messages.success(request, f"${dollars(added)} more may be spent this {found.period}.")
    return redirect("budgets")


@require_POST
@signed_in
def remove(request: HttpRequest, budget_id: UUID) -> HttpResponse:
    actor = actor_of(request)
    found = get(budgets.listed(actor), actor, pk=budget_id)
    name = budgets.target(found)
    try:
        budgets.remove(actor, found, request.POST.get("reason", ""))
    except Invalid as refused:
        return _form(request, actor, found, _typed(found), refused)
    messages.success(request, f"The budget {name} is gone. Nothing is held to it any more.")
    return redirect("budgets")


def burn_down(one: Standing) -> BurnDown | None:
    """Return the line that falls from the cap on the first of the month; None for a day's budget."""
    if not one.by_day:
        return None
    left, points = float(one.cap), [(0.0, float(one.cap))]
    for day, spent in enumerate(one.by_day, start=1):
        left -= spent
        points.append((float(day), max(left, 0.0)))
    drawn = " ".join(f"{x / one.days * WIDTH:.1f},{HEIGHT - y / one.cap * HEIGHT:.1f}" for x, y in points)
    return BurnDown(drawn, is_low=one.used_up_on is not None)


def _save(request: HttpRequest, actor: Actor, found: Budget | None) -> HttpResponse:
    posted = request.POST.dict()
    try:
        kept = budgets.put(actor, _fields(posted, found))
    except Invalid as refused:
        return _form(request, actor, found, posted, refused)
    messages.success(request, f"The budget {budgets.target(kept)} is ${dollars(kept.max_cost_micros)}.")
    return redirect("budgets")


def _fields(posted: Mapping[str, str], found: Budget | None) -> BudgetFields:
    """Return what was typed; a budget that is there keeps its scope, its period and its alerts."""
    scope = posted.get("scope", "workspace")
    pipeline = posted.get("pipeline") or None if scope == "pipeline" else None
    tag = posted.get("tag", "").strip() if scope == "tag" else None
    if found is None and scope == "pipeline" and pipeline is None:
        raise Invalid("Choose the pipeline that the budget is for.", where="/pipeline")
    if found is not None:
        pipeline, tag = found.pipeline.slug if found.pipeline else None, found.tag
    return BudgetFields(
        period=found.period if found else posted.get("period", ""),
        max_cost_usd=posted.get("max_cost_usd", "").strip().removeprefix("$"),
        pipeline=pipeline,
        hard="hard" in posted,
        alert_at=tuple(found.alert_at) if found else DEFAULT_ALERTS,
        on_exceed=posted.get("on_exceed", "stop"),
        tag=tag,
        reason=posted.get("reason", ""),
    )


def _typed(found: Budget) -> dict[str, str]:
    typed = {"max_cost_usd": dollars(found.max_cost_micros) or "", "on_exceed": found.on_exceed}
    return typed | ({"hard": "on"} if found.hard else {})


def _form(
    request: HttpRequest, actor: Actor, found: Budget | None, typed: Mapping[str, str], refused: Refused | None = None
) -> HttpResponse:
    name = budgets.target(found) if found else ""
    changes: Iterable[BudgetChange] = budgets.history(actor).filter(scope=name)[:CHANGES] if found else ()
    context = {
        "budget": found,
        "name": name,
        "typed": typed,
        "refused": refused,
        "changes": changes,
        "kinds": KINDS,
        "pipelines": scoped(Pipeline, actor).filter(archived_at=None).order_by("name"),
        "may_edit": actor.can(Capability.MANAGE),
    }
    return render(request, "runs/budget.html", context, status=refused.status if refused else 200)
