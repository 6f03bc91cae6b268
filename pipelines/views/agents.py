"""The pages of agents: the list, a new one, one with its form and versions, and where its newest version goes."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import Capability, actor_of, get, require, signed_in
from accounts.errors import NotFound
from pipelines import agent_form, agent_pages, agent_uses
from pipelines.library import agents as library
from pipelines.models import AgentVersion, Pipeline


@require_GET
@signed_in
def agents(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    find, show = request.GET.get("find", ""), request.GET.get("show", "")
    context = {"lines": agent_pages.lines(actor, find, show), "find": find, "show": show, "shows": agent_pages.SHOWS}
    return render(request, "pipelines/agents.html", context | {"may_edit": actor.can(Capability.EDIT)})


@require_http_methods(["GET", "POST"])
@signed_in
def new(request: HttpRequest) -> HttpResponse:
    """The form of a new agent; a POST makes it, or shows again what was typed."""
    actor = actor_of(request)
    require(actor, Capability.EDIT)
    form, status = None, 200
    if request.method == "POST":
        form, made, status = _posted(request, None)
        if made is not None:
            messages.success(request, f"{made.agent.name} is made. Try it on the right.")
            return redirect("agent", made.agent.slug)
    form, choices = agent_pages.new_form(actor, form)
    return render(request, "pipelines/agent_new.html", {"form": form, "choices": choices}, status=status)


@require_http_methods(["GET", "POST"])
@signed_in
def agent(request: HttpRequest, slug: str) -> HttpResponse:
    """One agent; a POST saves its next version, or shows again what was typed."""
    form, status = None, 200
    if request.method == "POST":
        require(actor_of(request), Capability.EDIT)
        form, made, status = _posted(request, slug)
        if made is not None:
            unchanged = form.based_on == str(made.number)
            said = "Nothing else changed: v{} stays the newest." if unchanged else "Saved as v{}."
            messages.success(request, said.format(made.number))
            return redirect("agent", slug)
    page = agent_pages.page(actor_of(request), slug, _number(request, "version"), _number(request, "against"), form)
    return render(request, "pipelines/agent.html", {"page": page}, status=status)


@require_POST
@signed_in
def again(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Save what an older version says as the newest."""
    actor = actor_of(request)
    rows = AgentVersion.objects.select_related("agent__workspace").filter(agent__slug=slug)
    old = get(rows, actor, through="agent__workspace", number=_small(number))
    made = library.new_version(actor, old.agent, library.fields_of(old))
    messages.success(request, f"v{old.number} is used again, as v{made.number}.")
    return redirect("agent", slug)


@require_POST
@signed_in
def update(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    """Let the draft of one pipeline name the newest version; publishing stays a person's own step."""
    actor = actor_of(request)
    agent, newest = agent_pages.newest_of(actor, slug)
    pipeline = get(Pipeline.objects.select_related("draft"), actor, slug=pipeline_slug)
    agent_uses.update_draft(actor, pipeline, agent, newest.number)
    messages.success(request, f"The draft of {pipeline.name} names v{newest.number} now. It runs once it is published.")
    return redirect("agent", slug)


def _posted(request: HttpRequest, slug: str | None) -> tuple[agent_form.AgentForm, AgentVersion | None, int]:
    """Return the posted form, the version it made if it made one, and the status of the page that shows it again."""
    actor, posted = actor_of(request), dict(request.POST.lists())
    if agent_form.is_to_be_shown_again(posted):
        return agent_form.typed(posted), None, 200
    made, form = agent_pages.save(actor, slug, posted) if slug is not None else agent_pages.create(actor, posted)
    return form, made, 200 if made is not None else 422


def _number(request: HttpRequest, name: str) -> int | None:
    """Return the version that the address names, None where it names none; NotFound for what is no number."""
    text = request.GET.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise NotFound
    return _small(int(text[:12]))


def _small(number: int) -> int:
    if number >= 2**31:
        raise NotFound
    return number
