"""The fragments of the agents' pages that know runs: figures, speeds of models, and the test bench."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from accounts.access import Actor, Capability, actor_of, get, require, signed_in
from accounts.errors import NotFound, Refused
from pipelines import agent_pages
from pipelines.models import Agent, AgentVersion
from runs import agent_bench, agent_figures, agent_tests
from runs.models import Run


@require_GET
@signed_in
def figures(request: HttpRequest) -> HttpResponse:
    """What every agent of the list did in the last 14 days, each part naming the cell it fills."""
    actor = actor_of(request)
    found = agent_figures.by_agent(actor.workspace, timezone.now())
    return render(request, "runs/_agents_figures.html", {"figures": found.values()})


@require_GET
@signed_in
def speeds(request: HttpRequest) -> HttpResponse:
    """How long each model took, each part naming the cell that it fills; with `?list` all models as rows."""
    actor = actor_of(request)
    found = agent_figures.seconds_by_model(actor.workspace)
    if "list" in request.GET:
        rows = [(model, found.get(model.ref)) for model in agent_pages.models(actor)]
        return render(request, "runs/_model_rows.html", {"rows": rows, "chosen": request.GET["list"]})
    return render(request, "runs/_model_speeds.html", {"speeds": found})


@require_GET
@signed_in
def agent_stats(request: HttpRequest, slug: str) -> HttpResponse:
    actor = actor_of(request)
    agent = get(Agent, actor, slug=slug)
    whole, versions = agent_figures.of_agent(actor.workspace, agent.slug, timezone.now())
    context = {"figures": whole, "versions": versions, "days": agent_figures.DAYS}
    return render(request, "runs/_agent_figures.html", context)


@require_http_methods(["GET", "POST"])
@signed_in
def bench(request: HttpRequest, slug: str) -> HttpResponse:
    """The bench; a POST starts a test of each version it names, and without script opens the page of the first."""
    actor = actor_of(request)
    context: dict[str, object] = {"may_run": actor.can(Capability.RUN), "prompt": request.POST.get("prompt", "")}
    htmx, status = bool(getattr(request, "htmx", False)), 200
    if request.method == "POST":
        require(actor, Capability.RUN)
        try:
            started = _started(actor, slug, request)
        except Refused as refused:
            if refused.status == 404:
                raise
            context["refused"] = refused
            status = 200 if htmx else refused.status  # htmx shows no answer that is an error
        else:
            if not htmx:
                return redirect("run", started[0].pk)
            context["trials"] = [agent_bench.trial(actor, slug, run.pk) for run in started]
            return render(request, "runs/_agent_trials.html", context | {"slug": slug})
        if htmx:
            return render(request, "runs/_agent_trials.html", context, status=status)
    context["bench"] = agent_bench.bench(actor, slug, _number(request.GET.get("version")))
    page = "runs/_agent_bench.html" if htmx else "runs/agent_bench.html"
    return render(request, page, context, status=status)


@require_GET
@signed_in
def trial(request: HttpRequest, slug: str, run_id: UUID) -> HttpResponse:
    """One test as far as it has come; it asks for itself again until it has ended. 204 where `seen` is still so."""
    found = agent_bench.trial(actor_of(request), slug, run_id)
    if not found.ended and request.GET.get("seen") == found.run.state:
        return HttpResponse(status=204)
    return render(request, "runs/_agent_trial.html", {"trial": found, "slug": slug})


def _started(actor: Actor, slug: str, request: HttpRequest) -> list[Run]:
    agent = get(Agent, actor, slug=slug)
    rows = AgentVersion.objects.filter(agent=agent)
    names = ("older", "newer") if request.POST.get("both") else ("version",)
    asked = [text for name in names if (text := request.POST.get(name))]
    wanted = list(dict.fromkeys(_number(text) for text in asked)) or [None]
    versions = [
        rows.order_by("-number")[0] if number is None else get(rows, actor, through="agent__workspace", number=number)
        for number in wanted
    ]
    cap = request.POST.get("max_cost_usd", "").strip().removeprefix("$") or None
    prompt = request.POST.get("prompt", "").replace("\r\n", "\n")
    return [agent_tests.start(actor, agent, version, prompt, cap) for version in versions]


def _number(text: str | None) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise NotFound
    return int(text)
