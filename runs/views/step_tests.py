"""The parts of the editor that know runs: a step tried alone, what it came to in a run, last values to pick from."""

from dataclasses import replace
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from accounts.access import Capability, actor_of, require, signed_in
from accounts.errors import NotFound, Refused
from pipelines.graph.places import LONGEST_PATH
from runs import last_values, step_results, step_tests


@require_http_methods(["GET", "POST"])
@signed_in
def step_test(request: HttpRequest, slug: str) -> HttpResponse:
    """The form that tries a step of the draft; a POST starts a test, and without script opens its run."""
    actor = actor_of(request)
    asked = {name: request.GET.get(name, "") for name in ("node", "data", "path")}
    found = step_tests.bench(actor, slug, asked["node"], asked["data"], asked["path"][:LONGEST_PATH])
    context: dict[str, object] = {"may_run": actor.can(Capability.RUN), "slug": slug}
    is_fragment, status = bool(getattr(request, "htmx", False)), 200
    if request.method == "POST":
        require(actor, Capability.RUN)
        try:
            run = step_tests.start(actor, found, request.POST, _cap(request.POST.get("max_cost_usd", "")))
        except Refused as refused:
            if refused.status == 404:
                raise
            # htmx shows no answer that is an error
            context["refused"], status = refused, 200 if is_fragment else refused.status
            fields = [one.typed(request.POST) for one in found.fields]
            found = replace(found, fields=fields)
        else:
            if not is_fragment:
                return redirect("run", run.pk)
            context["result"] = step_results.result(actor, slug, run.pk)
        if is_fragment:
            return render(request, "runs/_step_result.html", context)
    page = "runs/_step_test.html" if is_fragment else "runs/step_test.html"
    return render(request, page, context | {"bench": found}, status=status)


@require_GET
@signed_in
def result(request: HttpRequest, slug: str, run_id: UUID) -> HttpResponse:
    """One test as far as it has come; it asks for itself again until it has ended."""
    found = step_results.result(actor_of(request), slug, run_id)
    return render(request, "runs/_step_result.html", {"result": found, "slug": slug})


@require_GET
@signed_in
def seen(request: HttpRequest, slug: str) -> HttpResponse:
    """What a step came to in the run that the editor was opened from."""
    asked = request.GET
    try:
        run_id = UUID(asked.get("run", ""))
    except ValueError:
        raise NotFound from None
    found = step_results.seen(
        actor_of(request), slug, asked.get("node", ""), run_id, asked.get("path", "")[:LONGEST_PATH]
    )
    return render(request, "runs/_step_seen.html", {"seen": found})


@require_GET
@signed_in
def values(request: HttpRequest, slug: str) -> HttpResponse:
    """The values that a step may read, each with what it was in the newest run that has it."""
    found = last_values.sources(actor_of(request), slug, request.GET.get("node", ""))
    return render(request, "pipelines/_pick_list.html", {"sources": found})


def _cap(typed: str) -> str | None:
    return typed.strip().removeprefix("$").strip() or None
