"""The page of a workspace's people: who is a member, who is invited, and for admins how both change."""

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe

from accounts import content, invitations, members
from accounts.access import Capability, actor_of, scoped, signed_in
from accounts.errors import Invalid
from accounts.models import Membership
from accounts.onward import back
from accounts.roles import Role


class InviteForm(forms.Form):
    email = forms.EmailField(max_length=254)
    role = forms.ChoiceField(choices=[(role.value, role.value) for role in Role])


def _back(request: HttpRequest) -> HttpResponse:
    return back(actor_of(request), "people")


@require_safe
@signed_in
def page(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    may_change = actor.can(Capability.MEMBERS)
    context = {
        "members": scoped(Membership, actor).select_related("user").order_by("created_at", "id"),
        "invitations": invitations.waiting(actor) if may_change else (),
        "may_change": may_change,
        "roles": list(Role),
        "hideable": content.HIDEABLE,
        "days": invitations.DAYS,
    }
    return render(request, "accounts/people.html", context)


@require_POST
@signed_in
def invite(request: HttpRequest) -> HttpResponse:
    form = InviteForm(request.POST)
    if not form.is_valid():
        raise Invalid("An invitation needs an email and a role.", where="/email")
    made = invitations.invite(actor_of(request), form.cleaned_data["email"], [Role(form.cleaned_data["role"])])
    messages.success(request, f"An invitation goes to {made.email}. It holds for {invitations.DAYS} days.")
    return _back(request)


@require_POST
@signed_in
def withdraw(request: HttpRequest, invitation_id: UUID) -> HttpResponse:
    invitations.withdraw(actor_of(request), invitation_id)
    return _back(request)


@require_POST
@signed_in
def remove(request: HttpRequest) -> HttpResponse:
    email = request.POST.get("email", "")
    members.remove(actor_of(request), email)
    messages.success(request, f"{email} is no member any more.")
    return _back(request)


@require_POST
@signed_in
def hide_content(request: HttpRequest) -> HttpResponse:
    chosen = [role for role in content.HIDEABLE if f"hide-{role}" in request.POST]
    content.hide_from(actor_of(request), chosen)
    messages.success(request, "Saved: who sees content, and who costs alone.")
    return _back(request)


@require_POST
@signed_in
def deactivate(request: HttpRequest) -> HttpResponse:
    changed = members.deactivate(actor_of(request), request.POST.get("email", ""))
    messages.success(request, f"{changed.user} is shut out until you activate them again.")
    return _back(request)


@require_POST
@signed_in
def activate(request: HttpRequest) -> HttpResponse:
    changed = members.activate(actor_of(request), request.POST.get("email", ""))
    messages.success(request, f"{changed.user} may come in again.")
    return _back(request)
