"""The pages of pipelines as far as they need runs: the list with its health, and one pipeline with its Run form."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from accounts.access import actor_of, signed_in
from accounts.errors import Refused
from runs import health, launch


@require_GET
@signed_in
def pipelines(request: HttpRequest) -> HttpResponse:
    lines = health.pipelines(actor_of(request).workspace, timezone.now())
    return render(request, "pipelines/pipelines.html", {"lines": lines, "find": request.GET.get("find", "")})


@require_http_methods(["GET", "POST"])
@signed_in
def pipeline(request: HttpRequest, slug: str) -> HttpResponse:
    """The pipeline's page; a POST starts a run with the person's own rights."""
    actor = actor_of(request)
    context: dict[str, object] = {}
    status = 200
    if request.method == "POST":
        try:
            return redirect("run", launch.start(actor, slug, request.POST).pk)
        except Refused as refused:
            context, status = {"refused": refused}, refused.status
    sample = "sample" in request.GET
    view = launch.pipeline_view(actor, slug, request.POST or None, with_sample=sample)
    return render(request, "pipelines/pipeline.html", {"view": view} | context, status=status)
