"""The costs page."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.access import actor_of, signed_in
from runs import charts
from runs import costs as spending


@require_GET
@signed_in
def costs(request: HttpRequest) -> HttpResponse:
    summary = spending.summary(actor_of(request).workspace, timezone.now())
    daily = next((cap.max_micros for cap in summary.caps if cap.period == "day" and cap.name == spending.WHOLE), None)
    context = {"summary": summary, "chart": charts.stacked(summary.days, daily), "month": summary.days.days[-1]}
    return render(request, "runs/costs.html", context)
