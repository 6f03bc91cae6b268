"""The pages that make a case: of a run that went well, and of what a person rejected."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from accounts.access import Actor, Capability, actor_of, get, require, signed_in
from accounts.errors import Refused
from approvals.models import Approval
from evals import datasets, rejections
from evals.models import DatasetVersion
from runs.models import Run

SHOWN = 200


@dataclass(frozen=True, slots=True)
class Offer:
    """What can be saved as a case. `add` takes the dataset's name and the case's; `of` is what people call it."""

    run: Run
    name: str
    of: str
    add: Callable[[str, str], DatasetVersion]
    rejected: Approval | None = None
    reason: str = ""


@require_http_methods(["GET", "POST"])
@signed_in
def save_run(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Save a run as a test case: what went in, and what came out as what is expected from now on."""
    actor = actor_of(request)
    run = get(Run.objects.select_related("pipeline"), actor, pk=run_id)
    require(actor, Capability.EDIT)
    called = f"Run #{run.number}"
    offer = Offer(run, f"Run {run.number}", called, lambda *names: datasets.add_run(actor, run, *names))
    return _save(request, actor, offer)


@require_http_methods(["GET", "POST"])
@signed_in
def save_rejection(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """Make a rejection a test case: what went in, and the reason as what later answers are held against."""
    actor = actor_of(request)
    found = rejections.rejected(actor, approval_id)
    require(actor, Capability.EDIT)
    offer = Offer(
        run=found.run,
        name=rejections.title(found),
        of="The rejection",
        add=lambda *names: rejections.add(actor, found.pk, *names),
        rejected=found,
        reason=rejections.reason_of(found),
    )
    return _save(request, actor, offer)


def _save(request: HttpRequest, actor: Actor, offer: Offer) -> HttpResponse:
    """Save what is offered in the dataset that the form names, or show the form."""
    refused, status = None, 200
    if request.method == "POST":
        name = request.POST.get("dataset", "").strip()
        try:
            saved = offer.add(name, request.POST.get("name", ""))
        except Refused as refusal:
            refused, status = refusal, refusal.status
        else:
            messages.success(request, f"{offer.of} is a case of {name} now, in its version {saved.number}.")
            return redirect("dataset", name)
    known = list(datasets.listed(actor).order_by("name").values_list("name", flat=True)[:SHOWN])
    context = {"offer": offer, "known": known, "suggested": offer.run.pipeline.slug.lower(), "refused": refused}
    return render(request, "evals/save_case.html", context, status=status)
