"""The pages of triggers: the list, the form, one trigger with what came of it."""

from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import Actor, Capability, actor_of, get, may, require, scoped, signed_in
from accounts.clock import database_now
from accounts.errors import Invalid, Refused
from accounts.models import Secret
from pipelines import raising
from pipelines.models import Pipeline
from runs.models import Trigger
from runs.triggers import definitions, form, lines, plain

FORM = ["GET", "POST"]
KINDS = (
    ("schedule", "At set times", "Every morning, on Mondays, on the first of the month."),
    ("webhook", "When a program calls", "Another system sends data to an address of its own, signed."),
    ("event", "When an event is sent", "A program sends an event to a topic of this workspace."),
)


@require_GET
@signed_in
def triggers(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    context = {"lines": lines.all_of(actor), "may_edit": actor.can(Capability.EDIT)}
    return render(request, "runs/triggers.html", context)


@never_cache
@require_http_methods(FORM)
@signed_in
def new(request: HttpRequest) -> HttpResponse:
    """Ask for kind and pipeline, then show the form; a POST adds the trigger."""
    actor = actor_of(request)
    require(actor, Capability.EDIT)
    asked = request.POST if request.method == "POST" else request.GET
    pipeline = _pipelines(actor).filter(slug=asked.get("pipeline", "")).first()
    kind = asked.get("kind", "")
    if pipeline is None or kind not in Trigger.Kind.values:
        context = {"kinds": KINDS, "kind": kind, "pipelines": _pipelines(actor), "chosen": asked.get("pipeline", "")}
        return render(request, "runs/trigger_new.html", context, status=422 if request.method == "POST" else 200)
    if request.method == "GET":
        return _form(request, actor, pipeline, form.first(kind, pipeline, actor.workspace.zone))
    try:
        made, key = _add(actor, pipeline, request.POST.dict())
    except Refused as refused:
        return _form(request, actor, pipeline, request.POST.dict(), refused=refused)
    if key:
        return _page(request, actor, made.slug, key=key)
    messages.success(request, f"{made.slug} is on.")
    return redirect("trigger", made.slug)


@require_http_methods(FORM)
@signed_in
def trigger(request: HttpRequest, slug: str) -> HttpResponse:
    """One trigger; a POST saves what was typed, or shows it again and why it cannot be saved."""
    actor = actor_of(request)
    known = _known(actor, slug)
    if request.method == "GET":
        return _page(request, actor, slug)
    require(actor, Capability.EDIT)
    typed = {**request.POST.dict(), "slug": slug, "kind": known.kind}
    try:
        pipeline = get(_pipelines(actor), actor, slug=typed.get("pipeline") or known.pipeline.slug)
        definitions.change(actor, slug, _with_state(known, form.fields(pipeline, typed)))
    except Refused as refused:
        return _page(request, actor, slug, typed=typed, refused=refused)
    messages.success(request, "Saved. From now on it starts runs in your name.")
    return redirect("trigger", slug)


@require_POST
@signed_in
def switch(request: HttpRequest, slug: str) -> HttpResponse:
    """Turn a trigger on or off."""
    actor = actor_of(request)
    on = bool(request.POST.get("on"))
    try:
        definitions.update(actor, slug, {"enabled": on})
    except Invalid as refused:
        return _page(request, actor, slug, refused=refused)
    messages.success(request, f"{slug} is on, in your name." if on else f"{slug} is off.")
    return redirect("trigger", slug)


@require_POST
@signed_in
def remove(request: HttpRequest, slug: str) -> HttpResponse:
    definitions.remove(actor_of(request), slug)
    messages.success(request, f"{slug} is removed. The runs it started stay.")
    return redirect("triggers")


@require_GET
@signed_in
def times(request: HttpRequest) -> HttpResponse:
    """The next five times of what is chosen in the form, in words."""
    actor_of(request)
    return render(request, "runs/_trigger_times.html", {"times": _times(request.GET.dict())})


def _add(actor: Actor, pipeline: Pipeline, typed: dict[str, str]) -> tuple[Trigger, str]:
    """Add a trigger, for an admin who wants it with a secret of its own; return its key too, "" without."""
    with transaction.atomic():
        key = ""
        if typed.get("secret") == form.NEW_KEY:
            typed["secret"], key = definitions.new_secret(actor, typed.get("slug", "").strip())
        return definitions.create(actor, form.fields(pipeline, typed)), key


def _with_state(known: Trigger, fields: definitions.TriggerFields) -> definitions.TriggerFields:
    """The form has no word about on and off: that stays."""
    return replace(fields, enabled=known.enabled)


def _page(request: HttpRequest, actor: Actor, slug: str, **shown: Any) -> HttpResponse:
    known = _known(actor, slug)
    may_edit = actor.can(Capability.EDIT) and may(actor, Capability.RUN, known.pipeline)
    context = {"detail": lines.detail(known), "may_edit": may_edit, "key": shown.get("key", "")}
    typed = shown.get("typed") or form.typed_of(known)
    context |= _asked(actor, known.pipeline, typed, shown.get("refused"), held=known.version)
    refused = shown.get("refused")
    return render(request, "runs/trigger.html", context, status=refused.status if refused else 200)


def _form(
    request: HttpRequest, actor: Actor, pipeline: Pipeline, typed: dict[str, str], refused: Refused | None = None
) -> HttpResponse:
    context = _asked(actor, pipeline, typed, refused) | {"is_new": True}
    return render(request, "runs/trigger_form.html", context, status=refused.status if refused else 200)


def _asked(
    actor: Actor, pipeline: Pipeline, typed: dict[str, str], refused: Refused | None, held: int | None = None
) -> dict[str, Any]:
    """Return what the form shows of a trigger that is held to this version already, or to none."""
    return {
        "typed": typed,
        "pipeline": pipeline,
        "rows": form.rows(pipeline, typed),
        "versions": pipeline.versions.filter(number__isnull=False).order_by("-number").values_list("number", flat=True),
        "raising": sorted(raising.versions(pipeline) - {held}),
        "raises": raising.shown(actor, pipeline),
        "secrets": scoped(Secret, actor).order_by("name").values_list("name", flat=True),
        "may_make_key": actor.can(Capability.SECRETS),
        "new_key": form.NEW_KEY,
        "every": plain.EVERY,
        "weekdays": plain.WEEKDAYS,
        "zones": definitions.zones(),
        "times": _times(typed) if typed.get("kind") == Trigger.Kind.SCHEDULE else (),
        "refused": refused,
    }


def _times(typed: dict[str, str]) -> list[str] | Refused:
    """Return the next five times in words, or why there are none."""
    try:
        found = definitions.times_of(plain.cron_of(typed), typed.get("zone", "").strip(), database_now(), 5)
    except Refused as refused:
        return refused
    return [plain.moment(at) for at in found]


def _known(actor: Actor, slug: str) -> Trigger:
    return get(definitions.listed(actor).select_related("pipeline__draft"), actor, slug=slug)


def _pipelines(actor: Actor) -> Any:
    return scoped(Pipeline, actor).filter(archived_at=None).select_related("published", "draft").order_by("name")
