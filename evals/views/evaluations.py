"""The pages of evaluations: the list with its datasets, a new one, and one with its cases, metrics and verdict."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import paging
from accounts.access import Actor, Capability, actor_of, require, scoped, signed_in
from accounts.errors import Refused
from evals import datasets, evaluations, inspection, ratings
from evals.comparison import Verdict
from evals.evaluations import Gate, Order
from evals.inspection import CaseLine, View
from evals.models import Evaluation, Pair, Result
from evals.views import words
from evals.views.forms import part, whole
from pipelines.models import Pipeline
from runs.words import Badge

FILTERS = {"failed": "Failed", "worse": "Worse", "better": "Better", "flaky": "Flaky", "errors": "Not scored"}
OFFERED = 200


@require_GET
@signed_in
def listed(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    page = paging.page(evaluations.listed(actor), request.GET.get("cursor"), None, "-created_at")
    rows = [(row, words.badge_of(row), words.version_of(row), _verdict(row)) for row in page["items"]]
    found = datasets.listed(actor).order_by("name")[:OFFERED]
    return render(request, "evals/evaluations.html", {"rows": rows, "next": page["next"], "datasets": found})


@require_http_methods(["GET", "POST"])
@signed_in
def new(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    require(actor, Capability.RUN)
    refused, status = None, 200
    if request.method == "POST":
        try:
            return redirect("evaluation", evaluations.start(actor, _order(request.POST)).pk)
        except Refused as refusal:
            refused, status = refusal, refusal.status
    typed = request.POST or {"repeats": "3", **request.GET.dict()}
    return render(request, "evals/new.html", {**_offers(actor), "typed": typed, "refused": refused}, status=status)


@require_GET
@signed_in
def one(request: HttpRequest, evaluation_id: UUID) -> HttpResponse:
    actor = actor_of(request)
    row = evaluations.read(actor, evaluation_id)
    view = inspection.view(row, request.GET.get("only", ""))
    return render(request, "evals/evaluation.html", _context(actor, row, view))


def _context(actor: Actor, row: Evaluation, view: View) -> dict[str, Any]:
    return {
        "view": view,
        "row": row,
        "badge": words.badge_of(row),
        "version": words.version_of(row),
        "verdict": _verdict(row),
        "preferred": _preferred(row),
        "lines": [_badged(line) for line in view.lines],
        "flaky": words.FLAKY,
        "filters": [(key, word, view.counts[key]) for key, word in FILTERS.items() if view.counts[key]],
        "may_cancel": row.is_open and (row.started_by_id == actor.user.pk or actor.can(Capability.CANCEL_ANY)),
        "to_rate": ratings.to_rate(actor, row).count() if actor.can(Capability.RATE) else 0,
    }


@require_POST
@signed_in
def cancel(request: HttpRequest, evaluation_id: UUID) -> HttpResponse:
    evaluations.cancel(actor_of(request), evaluation_id)
    messages.success(request, "Nothing more is started, and the runs under way were told to stop.")
    return redirect("evaluation", evaluation_id)


def _badged(line: CaseLine) -> tuple[CaseLine, list[tuple[Result, Badge]], list[tuple[Pair, Badge]]]:
    answers = [(one, words.badge_of_result(one)) for one in line.results]
    return line, answers, [(pair, words.badge_of_pair(pair)) for pair in line.pairs]


def _preferred(row: Evaluation) -> tuple[str, str] | None:
    found = row.preference
    return words.VERDICTS[Verdict(found["verdict"])] if found and found["verdict"] else None


def _verdict(row: Evaluation) -> tuple[str, str] | None:
    return words.VERDICTS[Verdict(row.comparison["verdict"])] if row.comparison else None


def _offers(actor: Actor) -> dict[str, Any]:
    return {
        "pipelines": scoped(Pipeline, actor).filter(archived_at=None).order_by("name")[:OFFERED],
        "datasets": datasets.listed(actor).order_by("name")[:OFFERED],
    }


def _order(posted: Mapping[str, str]) -> Order:
    rate, drop = (part(posted, name) for name in ("min_pass_rate", "max_regression"))
    version = posted.get("version", "").strip().lower().removeprefix("v")
    return Order(
        pipeline=posted.get("pipeline", ""),
        dataset=posted.get("dataset", ""),
        dataset_version=whole(posted, "dataset_version"),
        version=int(version) if version.isascii() and version.isdecimal() and len(version) < 10 else version or None,
        baseline=whole(posted, "baseline"),
        repeats=whole(posted, "repeats") or 0,
        judge=posted.get("judge", "").strip()[:128],
        gate=Gate(rate, posted.get("max_cost_usd", "").strip() or None, drop),
        replay="replay" in posted,
        prefer=posted.get("prefer", "").strip(),
    )
