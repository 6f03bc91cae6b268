"""The editor of a draft: its page, and what the page asks for as people work on it."""

import json
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import Actor, actor_of, get, signed_in
from accounts.errors import Invalid, Refused
from accounts.ids import new_id
from pipelines.editor import changing, history, inspector, news, settings, view
from pipelines.editor.acts import acts_of
from pipelines.editor.boxes import box_html, card_html
from pipelines.editor.presets import PRESETS
from pipelines.graph.places import LONGEST_PATH, places
from pipelines.models import Pipeline
from pipelines.views import plain

Answer = dict[str, object]
LARGE = 150  # more steps than that, and the list and what stands in the boxes come once the picture is there


@require_GET
@signed_in
def editor(request: HttpRequest, slug: str, outline: bool = False) -> HttpResponse:
    """The draft as a picture, or as a list; `?node=` opens a step's form beside it."""
    actor = actor_of(request)
    shown = view.editor_of(actor, slug)
    return _page(request, shown, _of_step(actor, shown, request.GET.get("node", "")), outline)


def _page(request: HttpRequest, shown: view.Editor, context: Answer, outline: bool = False) -> HttpResponse:
    context |= {"back": "outline" if outline else "canvas"}
    context |= {"copied": request.session.get(plain.COPIED)} | _opened_from(request)
    is_large = len(shown.cards) > LARGE
    if outline or not is_large:
        context["outline"] = shown.outline
    if outline:
        template = "pipelines/_outline.html" if _is_fragment(request) else "pipelines/outline.html"
        return render(request, template, context)
    edges = {route.key: news.edge_json(route) for route in shown.picture.routes}
    boxes = mark_safe("".join(box_html(card, is_furnished=not is_large) for card in shown.cards))  # noqa: S308 each of them is safe
    return render(request, "pipelines/editor.html", context | {"edges": edges, "boxes": boxes})


@require_http_methods(["GET", "POST"])
@signed_in
def step(request: HttpRequest, slug: str) -> HttpResponse:
    """One step's form, or the pipeline's own where no step is named; a POST changes it. Also without a script."""
    actor = actor_of(request)
    if request.method == "GET":
        shown = view.editor_of(actor, slug)
        context = _of_step(actor, shown, request.GET.get("node", ""))
        if not _is_fragment(request):  # a link of a form that was shown again
            return _page(request, shown, context)
        return render(request, "pipelines/_inspector.html", context | _opened_from(request))
    place, rev = request.POST.get("node", ""), _rev(request.POST.get("rev", ""))
    if not _is_fragment(request) and inspector.is_to_be_shown_again(dict(request.POST.lists())):
        return _with_rows(request, actor, slug, place, rev)
    try:
        draft = get(Pipeline.objects.select_related("draft__pipeline__workspace"), actor, slug=slug).draft
        op_id = request.POST.get("op_id", "")[:64] or new_id().hex
        posted, base = dict(request.POST.lists()), _rev(request.POST.get("base") or str(rev))
        if place:
            draft = inspector.save(actor, draft, place, posted, base, op_id)
        else:
            draft = settings.save(actor, draft, posted, base, op_id)
    except Refused as refused:
        if not _is_fragment(request):
            return plain.refused(request, slug, place, refused)
        return _refused(request, actor, slug, refused, of=place)
    if not _is_fragment(request):
        return plain.back(request, slug, place)
    return _answer(request, actor, slug, rev, inspected=place, saved=draft.revision)


def _with_rows(request: HttpRequest, actor: Actor, slug: str, place: str, rev: int) -> HttpResponse:
    """Show a step's form as it was sent, after the button of its rows; it still knows what it was made from."""
    shown = view.editor_of(actor, slug)
    form = inspector.inspector_of(actor, shown, place, dict(request.POST.lists()))
    return _page(request, shown, _of_step(actor, shown, place) | {"step": form, "made_from": rev})


def _of_step(actor: Actor, shown: view.Editor, place: str) -> Answer:
    """Return the context of the page with a step's form; without a step that is there, with the pipeline's own."""
    context: Answer = {"editor": shown, "inspected": True} | _acts(shown, place)
    if shown.card(place):
        return context | {"step": inspector.inspector_of(actor, shown, place)}
    return context | {"settings": settings.settings_of(shown.draft)}


def _acts(shown: view.Editor, place: str) -> Answer:
    """Return what the list of what can be done with a step is drawn from."""
    everywhere = list(places(shown.document))
    found = next((one for one in everywhere if one.name == place), None)
    acts = acts_of(found, everywhere) if found else None
    return {"acts": acts, "acts_of": place, "presets": PRESETS.values(), "op_id": new_id().hex}


def _opened_from(request: HttpRequest) -> Answer:
    """Return the run that the reader came from, whose data the step is tried with: `?run=`, and `&path=` in it."""
    try:
        run = UUID(request.GET.get("run", ""))
    except ValueError:
        return {}
    return {"from_run": run, "from_path": request.GET.get("path", "")[:LONGEST_PATH]}


@require_POST
@signed_in
def change(request: HttpRequest, slug: str) -> HttpResponse:
    """A command or ops (`changing.read`); the answer is what the page must change.

    Without a script it is a page again: the form says with `back` which one.
    """
    actor = actor_of(request)
    if plain.is_plain(request):
        return plain.change(request, actor, slug)
    try:
        wish = changing.read(request.POST)
        changing.change(actor, slug, wish)
    except Refused as refused:
        return _refused(request, actor, slug, refused)
    return _answer(request, actor, slug, wish.rev, said=changing.SAID.get(wish.do, ""))


@require_POST
@signed_in
def step_back(request: HttpRequest, slug: str, redo: bool) -> HttpResponse:
    """Undo the reader's newest change, or do it again."""
    actor = actor_of(request)
    if plain.is_plain(request):
        return plain.step_back(request, actor, slug, redo)
    try:
        pipeline = get(Pipeline, actor, slug=slug)
        (history.redo if redo else history.undo)(actor, pipeline, plain.op_id(request))
    except Refused as refused:
        return _refused(request, actor, slug, refused)
    return _answer(request, actor, slug, _rev(request.POST.get("rev", "")), said=plain.BACK[redo])


@require_GET
@signed_in
def look_again(request: HttpRequest, slug: str) -> HttpResponse:
    """What is new since `?rev=`: other people's changes."""
    return _answer(request, actor_of(request), slug, _rev(request.GET.get("rev", "")))


def _answer(request: HttpRequest, actor: Actor, slug: str, rev: int, **extra: object) -> HttpResponse:
    outcome = changing.outcome(actor, slug, rev)
    said: Answer = {
        **outcome.news.as_json(),
        "rev": outcome.editor.draft.revision,
        "marks": outcome.editor.marks,
        "behind": outcome.editor.behind,
        "changed": outcome.news.changed,
        "settings": outcome.settings,
        "added": {card.place: box_html(card) for card in outcome.added},
        "reshaped": {card.place: box_html(card) for card in outcome.reshaped},
        **extra,
    }
    changed = {card.place: card_html(card) for card in outcome.changed}
    context: Answer = {"editor": outcome.editor, "changed": changed, "news": json.dumps(said)}
    asked = request.POST or request.GET
    if (place := extra.pop("inspected", None)) is not None:
        context |= _of_step(actor, outcome.editor, str(place))
    elif place := asked.get("shown"):
        context |= _acts(outcome.editor, place)
    if asked.get("outline"):
        context["outline"] = outcome.editor.outline
    return render(request, "pipelines/_news.html", context)


def _refused(request: HttpRequest, actor: Actor, slug: str, refused: Refused, **extra: object) -> HttpResponse:
    """Say why a change was not made, and show the draft as it is: the page may have drawn the change already."""
    if refused.status in (401, 403, 404):
        raise refused
    rev = request.POST.get("rev", "")
    response = _answer(request, actor, slug, int(rev) if rev.isdecimal() else 0, refused=refused.answer(), **extra)
    response.status_code = refused.status
    return response


def _rev(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise Invalid(f"rev must be a revision such as 7, not {text[:40]!r}.", code="bad_command", where="/rev")
    return int(text)


def _is_fragment(request: HttpRequest) -> bool:
    return request.headers.get("HX-Request") == "true"
