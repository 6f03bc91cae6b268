"""How a request to the API says who it is: a bearer token, or the browser's session with its CSRF token."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from ninja.security.base import AuthBase
from ninja.utils import check_csrf

from accounts import content, rates, second_line, tokens
from accounts.access import Actor, session_actor
from accounts.errors import Forbidden, NotFound, NotSignedIn


def authenticate(request: HttpRequest) -> Actor:
    """Return who acts, found once per request; raises NotSignedIn, TooMany, Forbidden (`csrf`, `content_hidden`) or
    NotFound.
    """
    known = getattr(request, "auth", None)
    if isinstance(known, Actor):
        return known
    header = request.headers.get("Authorization")
    actor = _by_token(request, header) if header else _by_session(request)
    content.admit(actor, request.resolver_match.route if request.resolver_match else "")
    request.auth = actor  # type: ignore[attr-defined]
    second_line.enter(actor.workspace.pk)
    return actor


def token_of(request: HttpRequest) -> str:
    """Return the bare token that a request acts by, or "" for a browser's."""
    return request.headers.get("Authorization", "").partition(" ")[2].strip()


def _by_token(request: HttpRequest, header: str) -> Actor:
    if header.partition(" ")[0].lower() != "bearer":
        raise NotSignedIn("The Authorization header must say Bearer, then an API token.")
    actor = tokens.resolve(token_of(request))
    if actor is None:
        raise NotSignedIn("This token is unknown, expired or revoked. Make a new one under Your sign-in, API tokens.")
    rates.admit(f"{actor.user.pk}:{actor.workspace.pk}")  # not the token: one can make many
    if request.GET.get("workspace", actor.workspace.slug) != actor.workspace.slug:
        raise NotFound
    return actor


def _by_session(request: HttpRequest) -> Actor:
    if not request.user.is_authenticated:
        raise NotSignedIn("Sign in, or send an API token as Authorization: Bearer TOKEN.")
    _ = request.body  # the check may parse a form from the stream, and then nobody could read the body
    if check_csrf(request) is not None:
        raise Forbidden("The CSRF token is missing or wrong. Send it as X-CSRFToken.", code="csrf")
    return session_actor(request, remember=False)


class TokenAuth(AuthBase):
    """`Authorization: Bearer baton_…`. The token names the workspace; `?workspace=` may only repeat it."""

    openapi_type = "http"
    openapi_scheme = "bearer"

    def __call__(self, request: HttpRequest) -> Any:
        return authenticate(request)


class SessionAuth(AuthBase):
    """The browser's session; anything that changes something needs the CSRF token as well."""

    openapi_type = "apiKey"
    openapi_in = "cookie"
    openapi_name = settings.SESSION_COOKIE_NAME

    def __call__(self, request: HttpRequest) -> Any:
        return authenticate(request)
