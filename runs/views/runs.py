"""The pages of runs: the list, one run with its tabs, one step, and what people may do to a run."""

from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from accounts import paging
from accounts.access import Actor, actor_of, get, scoped, signed_in
from pipelines.graph.places import LONGEST_PATH
from runs import drawer, health, inspection, live, rehearsals, services, tallies, unread, veil
from runs.engine.status import RunState
from runs.models import Run
from runs.views import fragments

TABS = {"canvas": "Canvas", "timeline": "Timeline", "steps": "Steps", "log": "Log"}
FILTERS = [
    ("running", "Running"),
    ("waiting", "Waiting"),
    ("failed", "Failed"),
    ("succeeded", "Done"),
    ("cancelled", "Cancelled"),
]
_ACTS = {
    "cancel": (services.cancel, "The run was told to stop."),
    "pause": (services.pause, "Nothing new starts until you resume."),
    "resume": (services.resume, "The run goes on."),
}


@require_GET
@signed_in
def runs(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    of = request.GET.get("of", "")
    wanted = {name: request.GET[name] for name in ("state", "pipeline__slug") if request.GET.get(name)}
    found, above = _of_family(actor, of)
    page = paging.page(health.listed(found.filter(**wanted)), request.GET.get("cursor"), None, "-created_at")
    states = health.states_below(actor, above) if above else health.states(actor.workspace, with_children=of == "all")
    context = {"lines": veil.lines(actor, health.progress(page["items"])), "next": page["next"], "states": states}
    context |= {"state": wanted.get("state", ""), "filters": FILTERS, "of": of, "above": above}
    return render(request, "runs/runs.html", context)


def _of_family(actor: Actor, of: str) -> tuple["QuerySet[Run]", Run | None]:
    """Return the runs that people started; those of one run's steps where `of` is its id, and all for "all"."""
    every = scoped(Run, actor)
    if of == "all":
        return every, None
    if of:
        above = get(Run, actor, pk=of)
        return every.filter(parent=above), above
    return every.filter(parent=None), None


@require_GET
@signed_in
def run(request: HttpRequest, run_id: UUID) -> HttpResponse:
    actor, tab = actor_of(request), request.GET.get("view", "canvas")
    if not actor.sees_content:
        costs = veil.costs_of(actor, run_id)
        return render(request, "runs/costs_alone.html", {"view": costs, "run": costs.run})
    view = inspection.run_view(actor, run_id, tab if tab in TABS else "canvas", request.GET)
    page = f"runs/_{view.tab}.html" if getattr(request, "htmx", False) else f"runs/{view.tab}.html"
    return render(request, page, {"view": view, "run": view.run, "tabs": TABS})


@require_GET
@signed_in
def step(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """One step: as a drawer beside the run, or as a page of its own without script."""
    view = drawer.step_view(actor_of(request), run_id, request.GET.get("path", ""), request.GET)
    unread.note(view.run.workspace, view.run.pipeline_id, view.row.step)
    page = "runs/_step.html" if getattr(request, "htmx", False) else "runs/step.html"
    return render(request, page, {"view": view, "run": view.run})


@require_GET
@signed_in
def changes(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """What changed after `?after=SEQ`, as the socket sends it: how a page closes a gap."""
    after = live.seq_of(request.GET.get("after"))
    response = HttpResponse()
    response.content, seq = fragments.since(actor_of(request), run_id, after)
    response["X-Seq"] = str(seq)
    return response


@require_GET
@signed_in
def at(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """The run as it stood after the event `?seq=`: what looks different there than after the event `?from=`."""
    wanted, shown = (live.seq_of(request.GET.get(name)) for name in ("seq", "from"))
    response = HttpResponse()
    response.content, seq = fragments.at(actor_of(request), run_id, wanted, shown)
    response["X-Seq"] = str(seq)
    return response


@require_GET
@signed_in
def buttons(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """What may be done to the run now: the page fetches it anew when the run pauses or goes on by itself."""
    actor = actor_of(request)
    run = inspection.run_of(actor, run_id)
    return render(request, "runs/_buttons.html", {"run": run, "may_control": inspection.may_control(actor, run)})


@require_GET
@signed_in
def rehearsed(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """What a rehearsal would have done so far; it asks for itself again until the run has ended."""
    run = get(Run, actor_of(request), pk=run_id)
    context = {"run": run, "pretended": rehearsals.pretended(run), "ended": RunState(run.state).is_terminal}
    return render(request, "runs/_rehearsed.html", context)


@require_GET
@signed_in
def fix(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Open the editor at a step of the run, with what the step had and came to there."""
    run, path = inspection.run_of(actor_of(request), run_id), request.GET.get("path", "")[:LONGEST_PATH]
    around = run.origin.get("place", "")
    place = tallies.place_of(path)
    query = urlencode({"node": f"{around}.{place}" if around else place, "run": str(run.pk), "path": path})
    return redirect(f"{reverse('pipeline', args=[run.pipeline.slug])}?{query}")


@require_POST
@signed_in
def act(request: HttpRequest, run_id: UUID, name: str) -> HttpResponse:
    actor = actor_of(request)
    do, said = _ACTS[name]
    do(actor, get(Run, actor, pk=run_id))
    messages.success(request, said)
    return redirect("run", run_id)


@require_POST
@signed_in
def stop_part(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Stop one step, or one item, round or turn of a container."""
    actor = actor_of(request)
    services.stop_step(actor, get(Run, actor, pk=run_id), request.POST.get("path", "")[:LONGEST_PATH])
    messages.success(request, "It was told to stop. The rest of the run goes on.")
    return redirect("run", run_id)
