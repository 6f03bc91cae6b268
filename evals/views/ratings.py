"""The pages on which people rate answers: one answer, and the way from one to the next of an evaluation."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from accounts import paging
from accounts.access import Actor, Capability, actor_of, get, require, signed_in
from accounts.errors import Refused
from evals import evaluations, ratings
from evals.models import Evaluation, Metric, Result
from evals.ratings import Opinion
from evals.scorers.texts import as_text
from evals.views.forms import fraction
from runs import artifacts
from runs.models import Run

LONGEST = 20_000
"""Characters of a value that are shown: the rest is on the run's own page."""


@require_http_methods(["GET", "POST"])
@signed_in
def rate(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """One answer, and what the reader says of it; what others and the judge said is shown to who has said theirs."""
    actor = actor_of(request)
    run = get(Run.objects.select_related("pipeline"), actor, pk=run_id)
    require(actor, Capability.RATE)
    evaluation = _evaluation(actor, {**request.GET.dict(), **request.POST.dict()})
    refused, status = None, 200
    if request.method == "POST":
        try:
            ratings.rate(actor, run.pk, _opinion(request.POST))
            return _onwards(request, run, evaluation)
        except Refused as refusal:
            refused, status = refusal, refusal.status
    sheet = _sheet(actor, run, evaluation, request.GET.get("cursor"))
    context = {**sheet, "typed": request.POST, "refused": refused}
    return render(request, "evals/rate.html", context, status=status)


@require_GET
@signed_in
def rate_next(request: HttpRequest, evaluation_id: UUID) -> HttpResponse:
    """Lead to the next answer that the reader has not rated, back to the evaluation when there is none."""
    actor = actor_of(request)
    require(actor, Capability.RATE)
    evaluation = evaluations.read(actor, evaluation_id)
    following = ratings.to_rate(actor, evaluation).first()
    if following is None or following.run_id is None:
        return redirect("evaluation", evaluation_id)
    return redirect(f"{reverse('run-rate', args=[following.run_id])}?evaluation={evaluation_id}")


def _onwards(request: HttpRequest, run: Run, evaluation: Evaluation | None) -> HttpResponse:
    if evaluation is not None:
        left = ratings.to_rate(actor_of(request), evaluation).count()
        messages.success(request, f"Kept. {left} more to rate." if left else "Kept. You have rated every answer.")
        return redirect("evaluation-rate", evaluation.pk)
    messages.success(request, "Your rating is kept.")
    return redirect("run-rate", run.pk)


def _evaluation(actor: Actor, given: Mapping[str, str]) -> Evaluation | None:
    return evaluations.read(actor, given["evaluation"]) if given.get("evaluation") else None


def _opinion(posted: Mapping[str, str]) -> Opinion:
    passed = {"yes": True, "no": False}.get(posted.get("passed", ""))
    return Opinion(passed, fraction(posted, "score"), posted.get("note", ""))


def _sheet(actor: Actor, run: Run, evaluation: Evaluation | None, cursor: str | None) -> dict[str, Any]:
    mine = ratings.mine(actor, run)
    said = paging.page(ratings.listed(actor, run), cursor, None, "-id") if mine else {"items": [], "next": None}
    result = _result(run, evaluation)
    return {
        "run": run,
        "evaluation": evaluation,
        "case": result.case if result else None,
        "expected": _shown(result.case.expected_output) if result and result.case.has_expected else "",
        "given": _pairs(artifacts.input_of(run)),
        "output": _shown(artifacts.whole(run.pk, run.large, "output", run.output)),
        "mine": mine,
        "said": said["items"],
        "older": said["next"],
        "metrics": _metrics(result) if mine and result else [],
        "left": ratings.to_rate(actor, evaluation).count() if evaluation else 0,
    }


def _pairs(given: Any) -> list[tuple[str, str]]:
    return [(name, _shown(value)) for name, value in given.items()] if isinstance(given, dict) else []


def _shown(value: Any) -> str:
    text = as_text(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _result(run: Run, evaluation: Evaluation | None) -> Result | None:
    rows = Result.objects.filter(run=run).select_related("case").order_by("-id")
    return (rows.filter(evaluation=evaluation) if evaluation else rows).first()


def _metrics(result: Result) -> list[Metric]:
    return list(result.metrics.filter(type="rubric").order_by("position"))
