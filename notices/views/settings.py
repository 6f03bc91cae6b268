"""The page on which a person chooses how they are told, and an admin keeps the channels."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.text import slugify
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import Actor, Capability, actor_of, scoped, signed_in
from accounts.errors import Invalid, Refused
from notices import channels, inbox, wishes
from notices.models import Channel, How, Kind
from notices.wishes import Wishes

GIVEN_UP = 20


@require_http_methods(["GET", "POST"])
@signed_in
def preferences(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        wishes.put(actor_of(request), _chosen(request))
        messages.success(request, "Kept. From now on you are told like that.")
        return redirect("preferences")
    return _page(request)


@require_POST
@signed_in
def add_channel(request: HttpRequest) -> HttpResponse:
    """Add a channel with a secret of its own; a signing key is shown on the answer, and never again."""
    actor, posted = actor_of(request), request.POST
    name, kind = slugify(posted.get("name", ""))[:40].strip("-"), posted.get("kind", "")
    try:
        if not name or kind not in Channel.Kind.values:
            raise Invalid("Give the channel a name and a kind.", code="bad_channel", where="/name")
        key = channels.add(actor, name, kind, posted.get("url", ""), details="details" in posted)
    except Refused as refused:
        return _page(request, {"refused": refused, "typed": posted}, refused.status)
    return _page(request, {"key": key, "key_of": name}) if key else redirect("preferences")


@require_POST
@signed_in
def try_channel(request: HttpRequest, name: str) -> HttpResponse:
    channels.try_out(actor_of(request), name)
    messages.success(request, f"A test is on its way to {name}. This page says how it went; look again in a moment.")
    return redirect("preferences")


@require_POST
@signed_in
def remove_channel(request: HttpRequest, name: str) -> HttpResponse:
    channels.remove(actor_of(request), name)
    messages.success(request, f"{name} is told nothing any more.")
    return redirect("preferences")


@require_POST
@signed_in
def send_again(request: HttpRequest, delivery_id: int) -> HttpResponse:
    found = inbox.try_again(actor_of(request), delivery_id)
    messages.success(request, f"It is on its way to {inbox.recipient(found)} again. Look again in a moment.")
    return redirect("preferences")


def _page(request: HttpRequest, more: dict[str, Any] | None = None, status: int = 200) -> HttpResponse:
    actor = actor_of(request)
    found = wishes.of(actor)
    context = {
        "kinds": [(kind, kind.label, found.kinds[kind]) for kind in Kind],
        "hows": How.choices,
        "hour": found.hour,
        "hours": [(hour, f"{hour:02d}:00") for hour in range(24)],
        **(_for_admins(actor) if actor.can(Capability.CONNECTIONS) else {}),
    }
    return render(request, "notices/preferences.html", {**context, **(more or {})}, status=status)


def _for_admins(actor: Actor) -> dict[str, Any]:
    rows = scoped(Channel, actor).order_by("name")
    return {
        "channels": [(channel, channels.host_of(channel)) for channel in rows],
        "channel_kinds": Channel.Kind.choices,
        "given_up": [(one, inbox.recipient(one)) for one in inbox.given_up(actor).order_by("-ended_at")[:GIVEN_UP]],
        "may_edit": True,
    }


def _chosen(request: HttpRequest) -> Wishes:
    """Read the form; what it does not hold, or no longer knows, stays as it is."""
    kinds = {kind: How(how) for kind in Kind if (how := request.POST.get(kind, "")) in How.values}
    hour = request.POST.get("hour", "")
    known = hour.isascii() and hour.isdigit() and len(hour) <= 2 and int(hour) < 24
    return Wishes(kinds, int(hour) if known else None)
