"""The page of one's notices. Looking marks nothing: whoever has read one says so, or opens what it is about."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.access import actor_of, signed_in
from notices import inbox
from notices.models import Kind
from notices.views.words import ICONS

SHOWN = 100


@require_GET
@signed_in
def notices(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    found = [(ICONS[Kind(notice.kind)], notice) for notice in inbox.listed(actor, SHOWN)]
    groups = [
        ("Not read yet", [pair for pair in found if pair[1].read_at is None]),
        ("Read", [pair for pair in found if pair[1].read_at is not None]),
    ]
    return render(request, "notices/notices.html", {"groups": [group for group in groups if group[1]]})


@require_POST
@signed_in
def read_all(request: HttpRequest) -> HttpResponse:
    count = inbox.read_all(actor_of(request))
    messages.success(request, f"{count} notice{'' if count == 1 else 's'} marked as read.")
    return redirect("notices")


@require_POST
@signed_in
def read(request: HttpRequest, notice_id: UUID) -> HttpResponse:
    inbox.read(actor_of(request), notice_id)
    return redirect("notices")


@require_POST
@signed_in
def follow(request: HttpRequest, notice_id: UUID) -> HttpResponse:
    """Mark a notice as read and go to what it is about."""
    return redirect(str(inbox.read(actor_of(request), notice_id).data["place"]))
