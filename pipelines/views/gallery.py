"""The gallery's pages: templates by job, one template close up, and "Use this template"."""

from collections import Counter
from dataclasses import dataclass
from functools import cache

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_POST

from accounts.access import Capability, actor_of, signed_in
from accounts.ids import new_id
from pipelines import gallery, schema_form
from pipelines.gallery import pictures
from pipelines.gallery.needs import Needs, needs_of
from pipelines.gallery.ranking import GOALS
from pipelines.graph.parse import parse


@dataclass(frozen=True, slots=True)
class Card:
    template: gallery.Template
    needs: Needs
    tiny: SafeString

    @property
    def first(self) -> bool:
        """Whether this is where somebody new begins."""
        return self.template == gallery.templates()[0]


@require_GET
@signed_in
def templates(request: HttpRequest) -> HttpResponse:
    """Templates by job; the filter stands in the address. For htmx the cards alone."""
    goal, find = request.GET.get("goal", ""), request.GET.get("find", "")
    shown = [card_of(one) for one in gallery.templates() if goal in ("", one.goal) and _matches(one, find)]
    counts = Counter(one.goal for one in gallery.templates())
    context = {
        "cards": shown,
        "all": counts.total(),
        "goals": [(name, counts[name]) for name in GOALS],
        "goal": goal,
        "find": find,
        "form": new_id().hex,
        "may_use": actor_of(request).can(Capability.EDIT),
    }
    fragment = bool(getattr(request, "htmx", False))
    return render(request, "pipelines/_cards.html" if fragment else "pipelines/gallery.html", context)


@require_GET
@signed_in
def template(request: HttpRequest, name: str) -> HttpResponse:
    chosen = gallery.template(name)
    context = {
        "card": card_of(chosen),
        "poster": pictures.poster(name),
        "sample": schema_form.fields(parse(chosen.document).inputs, chosen.sample),
        "form": new_id().hex,
        "may_use": actor_of(request).can(Capability.EDIT),
    }
    return render(request, "pipelines/template.html", context)


@require_POST
@signed_in
def use(request: HttpRequest, name: str) -> HttpResponse:
    """Make a pipeline from the template; `guided` leads on to the first steps with it."""
    made = gallery.use(actor_of(request), name, request.POST.get("form", ""))
    return redirect("first-steps" if "guided" in request.POST else "pipeline", made.slug)


def card_of(one: gallery.Template) -> Card:
    return Card(one, needs_of(one.name), _tiny(one.name))


@cache
def _tiny(name: str) -> SafeString:
    """Return the tiny picture as markup, which is the same on every page."""
    return render_to_string("pipelines/_tiny.html", {"tiny": pictures.tiny(name)})


def _matches(one: gallery.Template, find: str) -> bool:
    text = " ".join((one.title, one.goal, one.summary, one.description, *one.words)).lower()
    return all(word in text for word in find.lower().split())
