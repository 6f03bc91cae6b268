"""Showing again who one is, before what matters: asked where it is due, with nothing kept of what was sent."""

from allauth.account.adapter import get_adapter
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import urlencode

from accounts.errors import Forbidden


def lead(request: HttpRequest) -> HttpResponse:
    """Send to where the person shows who they are, and then back to the page, on which they send its form anew.

    allauth would keep the whole request in the session to repeat it: passwords and cookies, readable in the database.
    """
    ways = get_adapter(request).get_reauthentication_methods(request.user)
    if not ways:
        raise Forbidden("You signed in some time ago. Sign out, sign in again, then repeat this.", code="sign_in_again")
    return redirect(f"{ways[0]['url']}?{urlencode({'next': request.get_full_path()})}")
