"""The pages of alert rules: what each looks at and what it found, and the form that sets one."""

from collections.abc import Mapping
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import Actor, Capability, actor_of, get, require, scoped, signed_in
from accounts.errors import Conflict, Invalid, Refused
from accounts.roles import Role
from notices import alerts
from notices.alerts import AlertFields
from notices.models import AlertRule, Channel
from pipelines.models import Pipeline

FOUND = 30
FORM = ["GET", "POST"]
UNITS = {"spend": "dollars", "failures": "percent of runs", "latency": "seconds"}


@require_GET
@signed_in
def alert_list(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    rows = [(rule, about(rule), whom(rule)) for rule in alerts.listed(actor).order_by("name")]
    context = {
        "rows": rows,
        "found": alerts.firings(actor)[:FOUND],
        "may_edit": actor.can(Capability.MANAGE),
        "zone": actor.workspace.zone,
    }
    return render(request, "notices/alerts.html", context)


@require_http_methods(FORM)
@signed_in
def alert(request: HttpRequest, rule_id: UUID | None = None) -> HttpResponse:
    """The form of a rule; a POST saves it, or shows again what was typed and why it cannot be saved."""
    actor = actor_of(request)
    known = get(alerts.listed(actor), actor, pk=rule_id) if rule_id else None
    require(actor, Capability.MANAGE)
    if request.method == "GET":
        return _form(request, actor, known, _typed(known))
    try:
        saved = alerts.put(actor, _fields(request), known)
    except (Invalid, Conflict) as refused:
        return _form(request, actor, known, request.POST.dict(), refused)
    messages.success(request, f"{saved.name} is looked at once a minute from now on.")
    return redirect("alerts")


@require_POST
@signed_in
def remove(request: HttpRequest, rule_id: UUID) -> HttpResponse:
    actor = actor_of(request)
    gone = get(alerts.listed(actor), actor, pk=rule_id)
    alerts.remove(actor, gone)
    messages.success(request, f"{gone.name} is removed.")
    return redirect("alerts")


def about(rule: AlertRule) -> str:
    """Return what a rule looks at, as a sentence without its end."""
    where = f" of {rule.pipeline.name}" if rule.pipeline else ""
    if rule.kind == AlertRule.Kind.SILENCE:
        return f"When{where.replace(' of', '', 1)} has not begun by the time it usually does"
    what = {"spend": "Spend", "failures": "The share of failed runs", "latency": "The time that 95% of runs stay under"}
    limit = alerts.limit_text(rule)
    if rule.kind == AlertRule.Kind.ANOMALY:
        return f"{what[rule.metric]}{where} in a day above {limit} times the median of the last 28 days"
    shown = {"spend": f"${limit}", "failures": f"{limit}%", "latency": f"{limit} s"}[rule.metric]
    return f"{what[rule.metric]}{where} in a {rule.period} above {shown}"


def whom(rule: AlertRule) -> str:
    return ", ".join([*(f"{role}s" for role in rule.roles), *rule.people, *(f"channel {one}" for one in rule.channels)])


def _fields(request: HttpRequest) -> AlertFields:
    posted = request.POST
    people = posted.get("people", "").replace(",", " ").split()
    return AlertFields(
        name=posted.get("name", ""),
        kind=posted.get("kind", ""),
        metric=posted.get("metric", ""),
        limit=posted.get("limit", ""),
        pipeline=posted.get("pipeline") or None,
        period=posted.get("period", "day"),
        roles=tuple(role for role in Role if f"role-{role}" in posted),
        people=tuple(people),
        channels=tuple(posted.getlist("channels")),
    )


def _typed(rule: AlertRule | None) -> dict[str, str]:
    if rule is None:
        return {"kind": "threshold", "metric": "spend", "period": "day", "role-manager": "on"}
    return {
        "name": rule.name,
        "kind": rule.kind,
        "metric": rule.metric,
        "limit": alerts.limit_text(rule),
        "pipeline": rule.pipeline.slug if rule.pipeline else "",
        "period": rule.period,
        "people": ", ".join(rule.people),
        **{f"role-{role}": "on" for role in rule.roles},
    }


def _form(
    request: HttpRequest,
    actor: Actor,
    known: AlertRule | None,
    typed: Mapping[str, str],
    refused: Refused | None = None,
) -> HttpResponse:
    chosen = request.POST.getlist("channels") if request.method == "POST" else known.channels if known else []
    context = {
        "rule": known,
        "typed": typed,
        "refused": refused,
        "kinds": AlertRule.Kind.choices,
        "metrics": [(value, word, UNITS[value]) for value, word in AlertRule.Metric.choices],
        "roles": [(role, f"role-{role}" in typed) for role in Role],
        "channels": [(one, one.name in chosen) for one in scoped(Channel, actor).order_by("name")],
        "pipelines": scoped(Pipeline, actor).filter(archived_at=None).order_by("name"),
    }
    return render(request, "notices/alert.html", context, status=refused.status if refused else 200)
