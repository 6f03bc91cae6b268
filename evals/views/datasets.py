"""The pages of datasets: a new one, and one with its cases and versions. `saving` has those that make a case."""

import json

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from accounts import json_body
from accounts.access import Capability, actor_of, get, require, signed_in
from accounts.errors import Refused
from evals import cases, datasets
from evals.cases import CaseFields
from evals.models import Case, Dataset, DatasetVersion

SHOWN = 200
_EXAMPLE = [
    {
        "name": "A late parcel",
        "inputs": {"message": "Where is my parcel?"},
        "asserts": [{"type": "contains", "value": "sorry", "ignore_case": True}],
    }
]


@require_http_methods(["GET", "POST"])
@signed_in
def new(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    require(actor, Capability.EDIT)
    typed, refused, status = {"cases": _pretty(_EXAMPLE)}, None, 200
    if request.method == "POST":
        typed = request.POST.dict()
        try:
            name = typed.get("name", "").strip()
            datasets.create(actor, name, _cases(typed), typed.get("description", "")[:500])
        except Refused as refusal:
            refused, status = refusal, refusal.status
        else:
            return redirect("dataset", name)
    return render(request, "evals/dataset_new.html", {"typed": typed, "refused": refused}, status=status)


@require_http_methods(["GET", "POST"])
@signed_in
def one(request: HttpRequest, name: str) -> HttpResponse:
    """A version with its cases; who may edit saves them changed, as the next version."""
    actor = actor_of(request)
    refused, status = None, 200
    dataset = get(Dataset, actor, name=name)
    if request.method == "POST":
        require(actor, Capability.EDIT)
        try:
            saved = datasets.add_version(actor, name, _cases(request.POST.dict()), request.POST.get("note", ""))
        except Refused as refusal:
            refused, status = refusal, refusal.status
        else:
            messages.success(request, f"Version {saved.number} of {name} stands.")
            return redirect("dataset", name)
    versions = DatasetVersion.objects.filter(dataset=dataset).select_related("created_by")
    version = datasets.version_of(actor, name, _number(request.GET.get("version")))
    found = list(Case.objects.filter(version=version).order_by("position"))
    context = {
        "dataset": dataset,
        "version": version,
        "versions": versions.order_by("-number")[:20],
        "cases": found[:SHOWN],
        "text": request.POST.get("cases") or _pretty([cases.as_json(case) for case in found]),
        "refused": refused,
        "may_edit": actor.can(Capability.EDIT),
        "may_run": actor.can(Capability.RUN),
    }
    return render(request, "evals/dataset.html", context, status=status)


def _cases(typed: dict[str, str]) -> list[CaseFields]:
    return cases.read(json_body.parse(typed.get("cases", "").encode()), "")


def _number(text: str | None) -> int | None:
    known = text and text.isascii() and text.isdecimal() and len(text) < 10
    return int(text) if text and known else None


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
