"""The page of what a pipeline's draft must pass before it is published."""

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from accounts.access import Capability, actor_of, get, signed_in
from accounts.errors import Refused
from evals import datasets, gates
from evals.gates import Demand
from evals.models import PublishGate
from evals.views.forms import part, whole
from pipelines.models import Pipeline

OFFERED = 200


@require_http_methods(["GET", "POST"])
@signed_in
def gate(request: HttpRequest, slug: str) -> HttpResponse:
    """What must be passed; who sets the workspace's rules changes it or takes it away."""
    actor = actor_of(request)
    pipeline, found = get(Pipeline, actor, slug=slug), gates.read(actor, slug)
    refused, status = None, 200
    if request.method == "POST":
        try:
            if "remove" in request.POST:
                gates.remove(actor, slug)
                messages.success(request, f"{pipeline.name} is published without an evaluation from now on.")
            else:
                gates.put(actor, slug, _demand(request.POST, found))
                messages.success(request, "Drafts must pass this before they are published.")
            return redirect("publish-gate", slug)
        except Refused as refusal:
            refused, status = refusal, refusal.status
    context = {
        "pipeline": pipeline,
        "gate": found,
        "must": gates.percent(found.min_pass_rate) if found else "",
        "how": gates.how(found) if found else "",
        "newest": _newer(found),
        "typed": request.POST or _typed(found),
        "refused": refused,
        "datasets": datasets.listed(actor).order_by("name")[:OFFERED],
        "may_set": actor.can(Capability.RULES),
        "may_run": actor.can(Capability.RUN),
    }
    return render(request, "evals/gate.html", context, status=status)


def _demand(posted: Mapping[str, str], found: PublishGate | None) -> Demand:
    """Return what is asked; the version of a dataset stays what it was, unless the newest is asked for."""
    dataset = posted.get("dataset", "")
    stays = found is not None and found.dataset.dataset.name == dataset and "newest" not in posted
    return Demand(
        dataset=dataset,
        min_pass_rate=part(posted, "min_pass_rate") or 0,
        dataset_version=found.dataset.number if found and stays else None,
        judge=posted.get("judge", "").strip()[:128],
        repeats=whole(posted, "repeats") or 0,
    )


def _newer(found: PublishGate | None) -> int | None:
    """Return the number of the dataset's newest version where the gate has an older one."""
    number = datasets.newest(found.dataset.dataset).number if found else 0
    return number if found and number > found.dataset.number else None


def _typed(found: PublishGate | None) -> dict[str, Any]:
    if found is None:
        return {"min_pass_rate": "90", "repeats": "3"}
    rate = f"{round(found.min_pass_rate * 100, 6):g}"
    pinned = {"judge": found.judge, "repeats": found.repeats}
    return {"dataset": found.dataset.dataset.name, "min_pass_rate": rate, **pinned}
