"""Approval health, and the log of decisions as a page and as a sheet."""

from datetime import timedelta

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts import paging, sheets
from accounts.access import Capability, actor_of, require, scoped, signed_in
from accounts.models import User
from approvals import counted, decision_log
from approvals.counted import Asked
from approvals.decision_log import COLUMNS, Wanted
from approvals.health import PERIODS, health
from approvals.policy import Choice
from approvals.views.words import SAID
from pipelines import homes
from pipelines.models import Pipeline


@require_GET
@signed_in
def approval_health(request: HttpRequest) -> HttpResponse:
    """Waits, what is overdue, and who carries how much."""
    asked = request.GET.get("days", "")
    days = int(asked) if asked in map(str, PERIODS) else 30
    context = {"health": health(actor_of(request), days), "periods": PERIODS}
    return render(request, "approvals/health.html", context)


@require_GET
@signed_in
def questions(request: HttpRequest) -> HttpResponse:
    """The questions that a figure of health counts."""
    actor, month = actor_of(request), timezone.now() - timedelta(days=30)
    require(actor, Capability.READ)
    asked = Asked.read(request.GET, month)
    rows = counted.listed(actor, asked)
    page = paging.page(rows.select_related("pipeline", "run"), request.GET.get("cursor"), 50, ("-created_at", "pk"))
    context = {"asked": asked, "count": rows.count(), "lines": page["items"], "next": page["next"]}
    return render(request, "approvals/counted.html", context)


@require_GET
@signed_in
def decisions(request: HttpRequest) -> HttpResponse:
    """The log of decisions, narrowed by its address."""
    actor, wanted = actor_of(request), Wanted.read(request.GET)
    page = paging.page(decision_log.decisions(actor, wanted), request.GET.get("cursor"), 50, ("-at", "pk"))
    context = {
        "wanted": wanted,
        "lines": [(record, SAID.get(record.decision, record.decision)) for record in page["items"]],
        "next": page["next"],
        "people": User.objects.filter(memberships__workspace=actor.workspace).order_by("name"),
        "pipelines": homes.of_people(scoped(Pipeline, actor)).order_by("name"),
        "choices": [(str(choice), SAID[choice]) for choice in Choice],
    }
    return render(request, "approvals/decisions.html", context)


@require_GET
@signed_in
def decisions_sheet(request: HttpRequest) -> StreamingHttpResponse:
    """The same log for a spreadsheet."""
    actor = actor_of(request)
    require(actor, Capability.READ)
    rows = decision_log.decisions(actor, Wanted.read(request.GET))
    return sheets.of_rows("decisions", COLUMNS, rows, decision_log.shape)
