"""The editor's commands from plain forms, for browsers without a script: the change is made and a page comes back.

What was copied is kept in the session; with a script it stands on the system's clipboard.
"""

from urllib.parse import quote

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from accounts.access import Actor, get
from accounts.errors import Invalid, Refused
from pipelines.editor import changing, history
from pipelines.models import Pipeline

COPIED = "copied_steps"
BACK = {False: "Taken back.", True: "Done again."}
_PAGES = {"outline": "pipeline-outline", "canvas": "pipeline"}


def is_plain(request: HttpRequest) -> bool:
    """Tell whether a form asks for a page to go back to."""
    return request.POST.get("back") in _PAGES and request.headers.get("HX-Request") != "true"


def change(request: HttpRequest, actor: Actor, slug: str) -> HttpResponse:
    """Carry a command out, or keep what is copied; then show the page with the step that is new, or the same one."""
    place = request.POST.get("node", "")
    try:
        wish = changing.read(request.POST)
        if wish.do == "copy":
            return _copy(request, actor, slug, wish)
        if wish.do == "paste":
            wish = _with_copied(request, wish)
        changing.change(actor, slug, wish)
        new = changing.outcome(actor, slug, wish.rev).added
    except Refused as why:
        return refused(request, slug, place, why)
    messages.success(request, changing.SAID.get(wish.do, "Done."))
    return back(request, slug, new[0].place if new and wish.do != "swap" else place)


def step_back(request: HttpRequest, actor: Actor, slug: str, redo: bool) -> HttpResponse:
    """Undo the reader's newest change, or do it again, and show the page."""
    place = request.POST.get("node", "")
    try:
        (history.redo if redo else history.undo)(actor, get(Pipeline, actor, slug=slug), op_id(request))
    except Refused as why:
        return refused(request, slug, place, why)
    messages.success(request, BACK[redo])
    return back(request, slug, place)


def op_id(request: HttpRequest) -> str:
    """Return the posted name of a change; Invalid `bad_command` when there is none."""
    found = request.POST.get("op_id", "")
    if not 0 < len(found) <= 64:
        raise Invalid("A change needs an op_id of at most 64 characters.", code="bad_command", where="/op_id")
    return found


def _copy(request: HttpRequest, actor: Actor, slug: str, wish: changing.Wish) -> HttpResponse:
    get(Pipeline, actor, slug=slug)
    request.session[COPIED] = {"pipeline": slug, "places": (wish.args or {}).get("places", []), "copied_rev": wish.rev}
    messages.success(request, "Copied. Paste it here or in another pipeline.")
    return back(request, slug, request.POST.get("node", ""))


def _with_copied(request: HttpRequest, wish: changing.Wish) -> changing.Wish:
    kept = request.session.get(COPIED) or {}
    return changing.Wish(wish.rev, wish.op_id, wish.do, {**kept, **(wish.args or {})})


def refused(request: HttpRequest, slug: str, place: str, why: Refused) -> HttpResponse:
    """Show the page with the same step and say why a change was not made."""
    if why.status in (401, 403, 404):
        raise why
    messages.error(request, why.message)
    return back(request, slug, place)


def back(request: HttpRequest, slug: str, place: str) -> HttpResponse:
    """Go back to the page that a form named, with the step at a place; to the picture where it named none."""
    address = reverse(_PAGES.get(request.POST.get("back", ""), "pipeline"), args=[slug])
    return redirect(f"{address}?node={quote(place)}" if place else address)
