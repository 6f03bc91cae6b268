"""A new pipeline: from three questions, from a template, empty, or from a JSON document."""

from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.access import Capability, actor_of, require, signed_in
from accounts.errors import Refused
from accounts.ids import new_id
from pipelines import bundles, creation
from pipelines.graph.hygiene import MAX_IMPORT_BYTES


@require_GET
@signed_in
def new(request: HttpRequest) -> HttpResponse:
    require(actor_of(request), Capability.EDIT)
    return _page(request)


@require_POST
@signed_in
def blank(request: HttpRequest) -> HttpResponse:
    made = creation.blank(actor_of(request), request.POST.get("name", ""), request.POST.get("form", ""))
    return redirect("pipeline", made.slug)


@require_POST
@signed_in
def import_document(request: HttpRequest) -> HttpResponse:
    """Make a draft from an uploaded file, else from the pasted text; a refusal shows where, and makes nothing."""
    actor = actor_of(request)
    require(actor, Capability.EDIT)
    try:
        made = bundles.imported(actor, _given(request), request.POST.get("form", ""))
    except Refused as refused:
        return _page(request, refused=refused, pasted=request.POST.get("document", ""))
    for line in _told(made):
        messages.success(request, line)
    return redirect("pipeline", made.pipeline.slug)


def _told(found: bundles.Imported) -> Iterator[str]:
    """Yield what an import came to beside its pipeline."""
    others = [name for name in found.made if name != found.pipeline.slug]
    if others:
        yield f"Came along: {', '.join(others)}."
    if found.reused:
        yield f"Was here already and is used: {', '.join(found.reused)}."
    if found.missing:
        yield f"Not here yet: the secrets {', '.join(found.missing)}. An admin adds them."


def _given(request: HttpRequest) -> str | bytes:
    """Return the document, a file only as far as its size can be refused."""
    file = request.FILES.get("file")
    return file.read(MAX_IMPORT_BYTES + 1) if file else request.POST.get("document", "")


def _page(request: HttpRequest, refused: Refused | None = None, **context: Any) -> HttpResponse:
    context |= {"form": new_id().hex, "refused": refused, "megabytes": MAX_IMPORT_BYTES // 1_000_000}
    return render(request, "pipelines/new.html", context, status=refused.status if refused else 200)
