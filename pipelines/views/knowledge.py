"""The pages of knowledge: the collections, and one with its documents and a search to try."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.text import slugify
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import Capability, actor_of, get, signed_in
from accounts.errors import Refused
from pipelines.knowledge import collections as library
from pipelines.knowledge import search, texts
from pipelines.knowledge.models import Collection, Document

_TOO_MANY_BYTES = texts.MOST_CHARACTERS * 4 + 1


@require_http_methods(["GET", "POST"])
@signed_in
def collections(request: HttpRequest) -> HttpResponse:
    """The collections; a POST makes one, or shows again what was typed."""
    refused, name = None, request.POST.get("name", "")
    if request.method == "POST":
        try:
            return redirect("collection", library.create(actor_of(request), slugify(name)[:63], name).slug)
        except Refused as error:
            refused = error
    actor = actor_of(request)
    context = {"rows": library.listed(actor).order_by("slug"), "may_edit": actor.can(Capability.EDIT)}
    context |= {"refused": refused, "name": name}
    return render(request, "pipelines/knowledge.html", context, status=refused.status if refused else 200)


@require_GET
@signed_in
def collection(request: HttpRequest, slug: str) -> HttpResponse:
    return _page(request, slug)


@require_POST
@signed_in
def add(request: HttpRequest, slug: str) -> HttpResponse:
    """Add an uploaded file, else the pasted text; a refusal shows why, with what was typed."""
    actor = actor_of(request)
    chosen = get(Collection, actor, slug=slug)
    file = request.FILES.get("file")
    name = request.POST.get("name", "").strip() or (file.name if file else "") or "Note.txt"
    try:
        text = texts.decoded(file.read(_TOO_MANY_BYTES)) if file else request.POST.get("text", "")
        made = library.add(actor, chosen, name, text)
    except Refused as refused:
        return _page(request, slug, refused)
    parts = made.passages.count()
    messages.success(request, f"{made.name} can be searched: {parts} passage{'' if parts == 1 else 's'}.")
    return redirect("collection", slug)


@require_POST
@signed_in
def remove_document(request: HttpRequest, slug: str, document_id: str) -> HttpResponse:
    actor = actor_of(request)
    rows = Document.objects.filter(collection__slug=slug).select_related("collection")
    document = get(rows, actor, through="collection__workspace", pk=document_id)
    library.remove_document(actor, document)
    messages.success(request, f"{document.name} is removed.")
    return redirect("collection", slug)


@require_POST
@signed_in
def remove(request: HttpRequest, slug: str) -> HttpResponse:
    actor = actor_of(request)
    chosen = get(Collection, actor, slug=slug)
    library.remove(actor, chosen)
    messages.success(request, f"{chosen.name} is removed, with its documents.")
    return redirect("knowledge")


def _page(request: HttpRequest, slug: str, refused: Refused | None = None) -> HttpResponse:
    """Return a collection's page; for htmx what the search found, alone."""
    actor = actor_of(request)
    chosen = get(library.listed(actor), actor, slug=slug)
    query = request.GET.get("q", "").strip()
    context: dict[str, Any] = {
        "collection": chosen,
        "query": query,
        "found": search.find(actor.workspace.pk, slug, query) if query else None,
    }
    if getattr(request, "htmx", False) and refused is None:
        return render(request, "pipelines/_found.html", context)
    context |= {
        "documents": library.documents_of(chosen).order_by("name"),
        "may_edit": actor.can(Capability.EDIT),
        "refused": refused,
        "typed": request.POST,
    }
    return render(request, "pipelines/collection.html", context, status=refused.status if refused else 200)
