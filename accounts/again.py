"""Showing again who one is, before what matters: asked where it is due, with nothing kept of what was sent."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.reauthentication import is_reauthentication_required
from allauth.core.exceptions import ReauthenticationRequired
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode

from accounts.errors import Forbidden

View = Callable[..., HttpResponse]


def is_due(request: HttpRequest) -> bool:
    """Tell whether the person has come in, or shown who they are, too long ago (`door.RECENT_SECONDS`).

    Raises Forbidden `sign_in_again` for who can show it in no other way.
    """
    try:
        due: bool = is_reauthentication_required(request, app="accounts")
    except ReauthenticationRequired:
        return True
    return due


def require(request: HttpRequest) -> None:
    """Return if it is not due; else raise Forbidden `show_again`, for a program in the browser."""
    if is_due(request):
        raise Forbidden("Show again who you are, under /login/again/, then repeat this.", code="show_again")


def first(back: str = "") -> Callable[[View], View]:
    """Have it shown before a page or an act; `back` names the page that one comes back to, and acts anew: without one
    the page itself, as it was asked for."""

    def decorate(view: View) -> View:
        @wraps(view)
        def asked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            return lead(request, reverse(back) if back else "") if is_due(request) else view(request, *args, **kwargs)

        return asked

    return decorate


def lead(request: HttpRequest, back: str = "") -> HttpResponse:
    """Send to where the person shows who they are, and then back to the page, on which they send its form anew.

    allauth would keep the whole request in the session to repeat it: passwords and cookies, readable in the database.
    """
    way = get_adapter(request).get_reauthentication_methods(request.user)[0]  # with none, the adapter has refused
    return redirect(f"{way['url']}?{urlencode({'next': back or request.get_full_path()})}")
