"""The pages of pipelines as far as they need runs: the list with its health, and one pipeline with its Run form."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from accounts.access import actor_of, scoped, signed_in
from accounts.errors import Refused
from accounts.ids import new_id
from pipelines import homes
from pipelines.models import Pipeline
from runs import expected, health, launch
from runs.triggers import lines


@require_GET
@signed_in
def pipelines(request: HttpRequest) -> HttpResponse:
    actor, archived = actor_of(request), "archived" in request.GET
    context = {
        "lines": health.pipelines(actor, timezone.now(), archived=archived),
        "find": request.GET.get("find", ""),
        "archived": archived,
        "put_away": homes.of_people(scoped(Pipeline, actor)).filter(archived_at__isnull=False).count(),
        "form": new_id().hex,
    }
    return render(request, "pipelines/pipelines.html", context)


@require_http_methods(["GET", "POST"])
@signed_in
def pipeline(request: HttpRequest, slug: str) -> HttpResponse:
    """The pipeline's page; a POST starts a run with the person's own rights. `?draft` is a test of the draft."""
    actor, is_test = actor_of(request), "draft" in request.GET
    context: dict[str, object] = {}
    status = 200
    if request.method == "POST":
        try:
            return redirect("run", launch.start(actor, slug, request.POST, is_test=is_test).pk)
        except Refused as refused:
            context, status = {"refused": refused}, refused.status
    sample = "sample" in request.GET
    view = launch.pipeline_view(actor, slug, request.POST or None, with_sample=sample, is_test=is_test)
    context |= {"view": view, "triggers": lines.all_of(actor, view.pipeline)}
    return render(request, "pipelines/pipeline.html", context, status=status)


@require_GET
@signed_in
def costs(request: HttpRequest, slug: str) -> HttpResponse:
    """What the pipeline and its steps cost in the newest runs, a line for each."""
    return render(request, "runs/_expected.html", {"expected": expected.of_pipeline(actor_of(request), slug)})
