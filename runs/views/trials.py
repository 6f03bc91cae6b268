"""Trying a template or a new pipeline with sample data, the way from there to a version, and what trials cost."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.access import actor_of, signed_in
from accounts.ids import new_id
from runs import trials


@require_POST
@signed_in
def try_template(request: HttpRequest, name: str) -> HttpResponse:
    return redirect("run", trials.try_template(actor_of(request), name, request.POST.get("form", "")).pk)


@require_GET
@signed_in
def prices(request: HttpRequest) -> HttpResponse:
    """What templates cost here: parts of the gallery for htmx, else a page with a table."""
    page = "runs/_prices.html" if getattr(request, "htmx", False) else "runs/prices.html"
    return render(request, page, {"prices": trials.prices(actor_of(request))})


@require_GET
@signed_in
def first_steps(request: HttpRequest, slug: str) -> HttpResponse:
    """The three steps with a new pipeline: try it, change the words, publish."""
    found = trials.first_steps(actor_of(request), slug)
    return render(request, "pipelines/first_steps.html", {"steps": found, "form": new_id().hex})


@require_POST
@signed_in
def try_draft(request: HttpRequest, slug: str) -> HttpResponse:
    run = trials.try_draft(actor_of(request), slug, request.POST.get("form", ""))
    messages.info(request, "This is a run with sample data. When you have seen it, go on with the first steps.")
    return redirect("run", run.pk)


@require_POST
@signed_in
def publish_first(request: HttpRequest, slug: str) -> HttpResponse:
    made = trials.publish_first(actor_of(request), slug)
    messages.success(request, f"{made.name} is published: new runs use its newest version.")
    return redirect("first-steps", slug)
