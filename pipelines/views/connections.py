"""The pages of connections: the list with the secrets below it, a new one, one with its form, and an end to one."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import safe
from accounts.access import Capability, actor_of, require, signed_in
from accounts.errors import Conflict
from accounts.onward import back
from pipelines import connection_form, connection_pages, connection_uses


@require_GET
@signed_in
def connections(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    lines = connection_pages.lines(actor)
    context = {"lines": lines, "operators": connection_pages.operators(lines), "secrets": safe.lines(actor)}
    may = {"may_edit": actor.can(Capability.CONNECTIONS), "may_keep": actor.can(Capability.SECRETS)}
    return render(request, "pipelines/connections.html", context | may)


@require_http_methods(["GET", "POST"])
@signed_in
def new(request: HttpRequest) -> HttpResponse:
    """The form of a new connection; a POST makes it, or shows again what was typed."""
    actor, form, status = actor_of(request), connection_form.ConnectionForm(), 200
    require(actor, Capability.CONNECTIONS)
    if request.method == "POST":
        made, form = connection_pages.create(actor, request.POST.dict())
        if made is not None:
            messages.success(request, f"{made.name} is connected.")
            return back(actor, "connection", made.name)
        status = 422
    context = {"form": form, "is_new": True, **connection_pages.choices(actor)}
    return render(request, "pipelines/connection_new.html", context, status=status)


@require_http_methods(["GET", "POST"])
@signed_in
def connection(request: HttpRequest, name: str) -> HttpResponse:
    """One connection; a POST saves it, or shows again what was typed."""
    actor, form = actor_of(request), None
    if request.method == "POST":
        require(actor, Capability.CONNECTIONS)
        saved, form = connection_pages.save(actor, name, request.POST.dict())
        if saved is not None:
            messages.success(request, "Saved. The next call goes by it.")
            return back(actor, "connection", name)
    page = connection_pages.page(actor, name, form)
    return render(request, "pipelines/connection.html", page, status=422 if form else 200)


@require_POST
@signed_in
def remove(request: HttpRequest, name: str) -> HttpResponse:
    """Remove a connection that nothing uses; else its page says what does."""
    actor = actor_of(request)
    try:
        connection_uses.remove_unused(actor, name)
    except Conflict as refused:
        page = connection_pages.page(actor, name)
        return render(request, "pipelines/connection.html", page | {"refused": refused}, status=refused.status)
    messages.success(request, f"{name} is removed.")
    return back(actor, "connections")
