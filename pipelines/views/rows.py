"""What a row of the list of pipelines offers: duplicate, archive, restore, export."""

import json

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from accounts.access import actor_of, get, hidden_from, signed_in
from pipelines import bundles, creation, drafts
from pipelines.models import Pipeline


@require_POST
@signed_in
def duplicate(request: HttpRequest, slug: str) -> HttpResponse:
    made = creation.duplicate(actor_of(request), _pipeline(request, slug), request.POST.get("form", ""))
    messages.success(request, f"{made.name} is a draft of its own.")
    return redirect("pipeline", made.slug)


@require_POST
@signed_in
def archive(request: HttpRequest, slug: str) -> HttpResponse:
    pipeline = _pipeline(request, slug)
    drafts.archive(actor_of(request), pipeline)
    messages.success(request, f"{pipeline.name} is archived: its runs and versions stay, and it can be restored.")
    return redirect("pipelines")


@require_POST
@signed_in
def restore(request: HttpRequest, slug: str) -> HttpResponse:
    pipeline = _pipeline(request, slug)
    drafts.restore(actor_of(request), pipeline)
    messages.success(request, f"{pipeline.name} is back.")
    return redirect(f"{reverse('pipelines')}?archived")


@require_GET
@signed_in
def export(request: HttpRequest, slug: str) -> HttpResponse:
    """The draft and all that it names as a file; it holds names of secrets and never their values."""
    pipeline, hidden = _pipeline(request, slug), hidden_from(actor_of(request)).values()
    text = json.dumps(bundles.exported(pipeline, pipeline.draft.document, hidden), indent=2, ensure_ascii=False)
    headers = {"Content-Disposition": f'attachment; filename="{slug}.json"'}
    return HttpResponse(f"{text}\n", content_type="application/json; charset=utf-8", headers=headers)


def _pipeline(request: HttpRequest, slug: str) -> Pipeline:
    return get(Pipeline.objects.select_related("draft", "workspace"), actor_of(request), slug=slug)
