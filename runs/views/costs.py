"""The managers' pages of costs: what was spent, how fast and well runs went, what tags are charged, and the runs."""

import datetime as dt
import zoneinfo
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.access import Actor, actor_of, signed_in
from accounts.errors import Invalid
from runs import behind, charts, costs, dashboards, drilling, speeds
from runs import beyond as not_listed
from runs import reasons as why
from runs.spending import filters
from runs.spending.rise import Factor

FACTORS = {
    Factor.RUNS: ("More runs", "Fewer runs", "how many runs there were"),
    Factor.CALLS: ("More calls", "Fewer calls", "calls per run, also retries and rounds"),
    Factor.MIX: ("Dearer mix", "Cheaper mix", "which pipelines and models were called"),
    Factor.TOKENS: ("Longer calls", "Shorter calls", "tokens per call"),
    Factor.PRICE: ("Higher prices", "Lower prices", "what a token cost"),
}
PAGE = 100


@require_GET
@signed_in
def spend(request: HttpRequest) -> HttpResponse:
    actor, now = actor_of(request), timezone.now()
    asked = _filters(request, actor)
    board = dashboards.board(actor.workspace, asked, now)
    named = [(_factor(factor, part), part, factor) for factor, part in board.parts.items()]
    context = {
        "board": board,
        "chart": charts.stacked(board.stack, _daily_cap(board), _ahead(board)),
        "bridge": charts.bridge(
            board.before.cost or 0,
            board.parts,
            board.total.cost or 0,
            {factor: _factor(factor, part)[0] for factor, part in board.parts.items()},
        ),
        "factors": named,
        "splits": [(name, replace(asked, by=name).query()) for name in filters.SPLITS],
    }
    return render(request, "runs/costs/spend.html", context | _bar(actor, asked, "spend"))


@require_GET
@signed_in
def speed(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    asked = _filters(request, actor)
    found = speeds.speeds(actor.workspace, asked)
    context = {
        "tables": [("Runs", found.runs), ("Steps", found.steps)],
        "only_pipeline": set(asked.only) <= {"pipeline"},
    }
    return render(request, "runs/costs/speed.html", context | _bar(actor, asked, "speed"))


@require_GET
@signed_in
def slowest(request: HttpRequest) -> HttpResponse:
    """The runs behind a time of a pipeline or a step."""
    actor = actor_of(request)
    asked = _filters(request, actor, (*speeds.OTHERS, "page"))
    found = speeds.behind(actor.workspace, asked, request.GET, drilling.page_of(request.GET))
    bar = _bar(actor, asked, "speed")
    spot = {"kind": found.spot.kind, "part": found.spot.part, "state": found.spot.state}
    beside = urlencode({name: value for name, value in spot.items() if value})
    return render(request, "runs/costs/slowest.html", {"found": found} | bar | {"beside": f"&{beside}"})


@require_GET
@signed_in
def chargeback(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    asked = _filters(request, actor)
    total, charges = dashboards.charges(actor.workspace, asked)
    lines = [(charge, behind.of_charge(asked, charge.tag)) for charge in charges]
    context = {"total": total, "lines": lines, "months": _months(actor, asked), "all": behind.href(asked)}
    context |= {"unpriced": behind.href(asked, "unpriced")}
    return render(request, "runs/costs/chargeback.html", context | _bar(actor, asked, "chargeback"))


@require_GET
@signed_in
def runs(request: HttpRequest) -> HttpResponse:
    """The runs that sum to a number: `?figure=` of what was spent, or those `?begun=` and how they stand."""
    actor = actor_of(request)
    asked = _filters(request, actor, drilling.OTHERS)
    found = drilling.listed(actor.workspace, asked, request.GET)
    number = {name: request.GET[name] for name in drilling.NUMBERS if name in request.GET}
    lasting = {name: value for name, value in number.items() if name in drilling.LASTING}
    context = {"found": found, "number": urlencode(number), "beside": f"&{urlencode(lasting)}" if lasting else ""}
    return render(request, "runs/costs/runs.html", _bar(actor, asked, "runs") | context)


@require_GET
@signed_in
def reasons(request: HttpRequest) -> HttpResponse:
    """The pipelines and models that a reason of the change, `?factor=`, is made of."""
    actor = actor_of(request)
    asked, page = _filters(request, actor, ("factor", "page")), drilling.page_of(request.GET)
    factor = _factor_of(request.GET.get("factor", Factor.RUNS))
    lines = [(line, line.parts[factor]) for line in why.lines(actor.workspace, asked)]
    total = sum(part for _, part in lines)
    lines = sorted((one for one in lines if one[1]), key=lambda one: -abs(one[1]))
    context = {
        "factors": [(FACTORS[one][2], one, one is factor) for one in Factor],
        "factor": factor,
        "said": _factor(factor, total),
        "total": total,
        "lines": lines[PAGE * (page - 1) : PAGE * page],
        "more": _page(request, asked, page + 1, factor=factor) if len(lines) > PAGE * page else "",
    }
    bar = _bar(actor, asked, "reasons")
    return render(request, "runs/costs/reasons.html", bar | context | {"beside": f"&factor={factor}"})


@require_GET
@signed_in
def beyond(request: HttpRequest) -> HttpResponse:
    """The values that the chart, in the column that begins with the day `?at=`, and the table put together."""
    actor = actor_of(request)
    asked, page, at = _filters(request, actor, ("at", "page")), drilling.page_of(request.GET), request.GET.get("at", "")
    found = not_listed.beyond(actor.workspace, asked, at, page, PAGE)
    more = _page(request, asked, page + 1, **({"at": at} if at else {})) if found.more else ""
    return render(request, "runs/costs/beyond.html", _bar(actor, asked, "beyond") | {"found": found, "more": more})


def _page(request: HttpRequest, asked: filters.Filters, page: int, **more: str) -> str:
    return f"{request.path}?{asked.query(**more, page=str(page))}"


def _factor_of(text: str) -> Factor:
    if text not in FACTORS:
        message = f"There is no factor {text[:40]!r}, only {', '.join(FACTORS)}."
        raise Invalid(message, code="unknown_figure", where="/factor")
    return Factor(text)


def _filters(request: HttpRequest, actor: Actor, others: tuple[str, ...] = ()) -> filters.Filters:
    return filters.read(dict(request.GET.lists()), _today(actor), others)


def _today(actor: Actor) -> dt.date:
    return timezone.now().astimezone(zoneinfo.ZoneInfo(actor.workspace.zone)).date()


def _bar(actor: Actor, asked: filters.Filters, at: str) -> dict[str, Any]:
    """Return what every page of costs shows above its figures: periods, what is kept, and forms to keep more."""
    kept = [
        (name, behind.NOBODYS.get(name, "none") if value is None else value, asked.without(name).query())
        for name, values in asked.only.items()
        for value in values
    ]
    offered = dashboards.offered(actor.workspace, asked)
    return {
        "asked": asked,
        "query": asked.query(),
        "against": asked.before(),
        "periods": named_periods(asked, _today(actor)),
        "kept": kept,
        "offered": [(name, values, (asked.only.get(name) or ("",))[0]) for name, values in offered.items() if values],
        "hidden": [
            (name, filters.NONE if one is None else one)
            for name, many in asked.only.items()
            for one in many
            if not offered.get(name)
        ],
        "place": at,
        "api_query": asked.query(),
        "zone_name": actor.workspace.zone,
    }


def named_periods(asked: filters.Filters, today: dt.date) -> list[tuple[str, str, bool]]:
    """Return the periods that have a name, each with its query and whether it is shown; of two alike, the first is."""
    month = today.replace(day=1)
    eve = month - dt.timedelta(days=1)
    named = {
        "This month": (month, today),
        "Last month": (eve.replace(day=1), eve),
        "7 days": (today - dt.timedelta(days=6), today),
        "30 days": (today - dt.timedelta(days=29), today),
        "90 days": (today - dt.timedelta(days=89), today),
    }
    shown = next((name for name, days in named.items() if days == (asked.first, asked.last)), None)
    return [(name, asked.within(*days).query(), name == shown) for name, days in named.items()]


def _months(actor: Actor, asked: filters.Filters) -> list[tuple[dt.date, str, bool]]:
    """Return the last twelve months, the newest first, each with its query."""
    day, found = _today(actor).replace(day=1), []
    for _ in range(12):
        last = (day.replace(day=28) + dt.timedelta(days=4)).replace(day=1) - dt.timedelta(days=1)
        found.append(
            (day, asked.within(day, last).query(), asked.first == day and asked.last >= min(last, _today(actor)))
        )
        day = (day - dt.timedelta(days=1)).replace(day=1)
    return found


def _factor(factor: Factor, part: int) -> tuple[str, str]:
    more, less, what = FACTORS[factor]
    return (more if part >= 0 else less, what)


def _daily_cap(board: dashboards.Board) -> int | None:
    """Return the workspace's budget of a day, where the chart shows all of its spending."""
    caps = (cap for cap in board.caps if cap.period == "day" and cap.is_whole)
    return None if board.filters.only else next((cap.max_micros for cap in caps), None)


def _ahead(board: dashboards.Board) -> tuple[int, int] | None:
    """Return how many days are to come and what each is thought to cost, where the chart ends today."""
    if board.forecast.daily is None or board.filters.last != board.day or len(board.filters.days) > costs.MONTH:
        return None
    return (board.forecast.until - board.day).days, board.forecast.daily
