"""The pages of a person's own API tokens in a workspace: what they have, a new one, and an end to one."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import again, tokens
from accounts.access import Actor, Capability, actor_of, require, signed_in
from accounts.onward import back
from accounts.roles import Scope

_MAY = {
    Scope.READ: "see what you see",
    Scope.RUN: "start and stop runs",
    Scope.EDIT: "change and publish pipelines and agents",
    Scope.DECIDE: "answer questions and approve",
    Scope.MANAGE: "change budgets, prices and rules, and stop other people's runs",
    Scope.ADMIN: "change members, secrets, connections and channels, and make tokens",
}


class TokenForm(forms.Form):
    """What a program may, for how long."""

    name = forms.CharField(max_length=120)
    scopes = forms.MultipleChoiceField(choices=[(one.value, _MAY[one]) for one in Scope])

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        longest = tokens.longest_days()
        self.fields["days"] = forms.IntegerField(min_value=1, max_value=longest, initial=min(90, longest))


def _mine(request: HttpRequest) -> Actor:
    actor = actor_of(request)
    require(actor, Capability.TOKENS)
    return actor


@require_safe
@signed_in
def page(request: HttpRequest) -> HttpResponse:
    """Show the person's tokens that are not revoked, the expired ones too."""
    return render(request, "accounts/tokens.html", {"tokens": tokens.of(_mine(request))})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
@again.first()
def new(request: HttpRequest) -> HttpResponse:
    """Make a token. Its value stands in this answer alone."""
    actor, form = _mine(request), TokenForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "accounts/new_token.html", {"form": form, "longest": tokens.longest_days()})
    chosen = form.cleaned_data
    row, bare = tokens.make(actor, chosen["scopes"], chosen["name"], tokens.ends_in(chosen["days"]))
    return render(request, "accounts/new_token.html", {"made": row, "bare": bare})


@require_POST
@signed_in
def revoke(request: HttpRequest, token_id: UUID) -> HttpResponse:
    actor = _mine(request)
    row = tokens.end(actor, tokens.of(actor), token_id)
    messages.success(request, f"{row.name or 'The token'} is revoked.")
    return back(actor, "tokens")
