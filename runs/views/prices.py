"""The pages of prices: what models cost and since when, what past calls would cost now, and on another model."""

import datetime as dt
from collections.abc import Mapping
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import Actor, Capability, actor_of, get, require, scoped, signed_in
from accounts.errors import Invalid, Refused
from pipelines import homes
from pipelines.graph.money import dollars
from pipelines.library import price_changes
from pipelines.library.price_changes import PriceFields
from pipelines.models import Connection, Pipeline
from runs import price_list, what_if

CHANGES = 30


@require_GET
@signed_in
def prices(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    lines = price_list.listed(actor, timezone.now())
    context = {
        "lines": lines,
        "unknown": [one for one in lines if one.source == price_list.UNKNOWN],
        "changes": price_changes.history(actor)[:CHANGES],
        "connections": {row.name for row in _connections(actor)},
        "may_edit": actor.can(Capability.MANAGE),
    }
    return render(request, "runs/price_list.html", context)


@require_http_methods(["GET", "POST"])
@signed_in
def set_price(request: HttpRequest) -> HttpResponse:
    """The form of one model's price; `?model=` says which."""
    actor = actor_of(request)
    require(actor, Capability.MANAGE)
    if request.method == "GET":
        return _form(request, actor, _known(actor, request.GET.get("model", "")))
    typed = request.POST.dict()
    name, _, model = typed.get("model", "").strip().partition("/")
    connection = get(Connection, actor, name=name)
    try:
        change = price_changes.set_price(actor, connection, _fields(model, typed, ZoneInfo(actor.workspace.zone)))
    except Invalid as refused:
        return _form(request, actor, typed, refused)
    when = "at once" if typed.get("from", "").strip() == "" else f"from {change.from_at:%-d %B %Y %H:%M} UTC on"
    messages.success(request, f"{name}/{model} has its price {when}. Runs that have begun keep theirs.")
    return redirect("prices")


@require_POST
@signed_in
def withdraw(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    typed = request.POST.dict()
    name, _, model = typed.get("model", "").partition("/")
    connection = get(Connection, actor, name=name)
    try:
        price_changes.withdraw(actor, connection, model, typed.get("reason", ""))
    except Invalid as refused:
        return _form(request, actor, _known(actor, f"{name}/{model}"), refused)
    messages.success(request, f"{name}/{model} costs what the packaged table says, if it knows.")
    return redirect("prices")


@require_GET
@signed_in
def recalculated(request: HttpRequest) -> HttpResponse:
    """What would change if past calls were counted at the prices of now; nothing does."""
    actor = actor_of(request)
    last, this = price_list.months(actor.workspace, timezone.now())
    between = last if request.GET.get("month") == "last" else this
    lines = price_list.repriced(actor, between)
    known = [one for one in lines if one.difference is not None]
    context = {
        "lines": lines,
        "month": between[0],
        "is_last": between == last,
        "booked": sum(one.spending.cost or 0 for one in known),
        "at_today": sum(one.at_today or 0 for one in known),
        "unknown": len(lines) - len(known),
    }
    return render(request, "runs/recalculated.html", context)


@require_GET
@signed_in
def another_model(request: HttpRequest) -> HttpResponse:
    """What a month would have cost on another model."""
    actor = actor_of(request)
    given, refused, found = request.GET, None, None
    last, this = price_list.months(actor.workspace, timezone.now())
    between = this if given.get("month") == "this" else last
    if given.get("to"):
        slug = given.get("pipeline", "")
        pipeline = get(Pipeline, actor, slug=slug) if slug else None
        try:
            asked = what_if.Asked(given["to"].strip(), between, pipeline, given.get("model") or None)
            found = what_if.ask_of(actor, asked)
        except Invalid as error:
            refused = error
    lines = price_list.listed(actor, timezone.now())
    context = {
        "found": found,
        "asked": given,
        "query": urlencode({name: value for name, value in given.items() if value}),
        "refused": refused,
        "month": between[0],
        "targets": price_list.models_to_choose(lines),
        "models": sorted(price_list.by_model(actor.workspace, between)),
        "pipelines": homes.of_people(scoped(Pipeline, actor)).order_by("name"),
    }
    return render(request, "runs/what_if.html", context, status=refused.status if refused else 200)


def _connections(actor: Actor) -> "list[Connection]":
    return list(scoped(Connection, actor).exclude(kind="mcp").order_by("name"))


def _fields(model: str, typed: Mapping[str, str], zone: ZoneInfo) -> PriceFields:
    amounts = [typed.get(name, "").strip().removeprefix("$") for name in ("input", "output", "cached")]
    moment = typed.get("from", "").strip()
    try:
        from_at = dt.datetime.fromisoformat(moment) if moment else None
    except ValueError:
        raise Invalid("The moment is a day and a time, as 2026-12-01T00:00.", where="/from") from None
    if from_at is not None and from_at.tzinfo is None:
        from_at = from_at.replace(tzinfo=zone)
    return PriceFields(model, amounts[0], amounts[1], amounts[2] or None, from_at, typed.get("reason", ""))


def _known(actor: Actor, ref: str) -> dict[str, str]:
    """Return what is known of a model's price, as the form shows it."""
    line = next((one for one in price_list.listed(actor, timezone.now()) if one.ref == ref), None)
    price = line.price if line else None
    typed = {"model": ref, "own": "yes" if line and line.source == price_list.OWN else ""}
    if price is not None:
        typed |= {"input": dollars(price.input) or "", "output": dollars(price.output) or ""}
        typed["cached"] = dollars(price.cached_input) or ""
    return typed


def _form(request: HttpRequest, actor: Actor, typed: Mapping[str, str], refused: Refused | None = None) -> HttpResponse:
    context = {
        "typed": typed,
        "refused": refused,
        "connections": _connections(actor),
        "zone": actor.workspace.zone,
    }
    return render(request, "runs/price.html", context, status=refused.status if refused else 200)
