"""Who may open a live socket: a session or a token, in the workspace it asks about."""

from importlib import import_module
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.core.exceptions import ValidationError
from django.http import parse_cookie

from accounts import tokens
from accounts.access import Actor, Capability, actor_for
from accounts.errors import NotFound
from accounts.models import User
from runs.models import Run

SIGN_IN_AGAIN, NOT_YOURS = 4401, 4403


class SocketRefused(Exception):
    """`code` is the websocket close code: 4401 sign in again, 4403 not yours or not there."""

    def __init__(self, code: int) -> None:
        super().__init__(f"socket refused with {code}")
        self.code = code


def admit_to_run(scope: dict[str, Any], query: dict[str, str], run_id: str) -> Actor:
    """Return who follows this run; raise SocketRefused. Called again every few seconds."""
    try:
        slug = Run.objects.values_list("workspace__slug", flat=True).get(pk=run_id)
    except (Run.DoesNotExist, ValidationError):
        _actor(scope, query, None)
        raise SocketRefused(NOT_YOURS) from None
    return _actor(scope, query, slug)


def admit_to_workspace(scope: dict[str, Any], query: dict[str, str], slug: str) -> Actor:
    return _actor(scope, query, slug)


def _actor(scope: dict[str, Any], query: dict[str, str], slug: str | None) -> Actor:
    bare = _token(scope, query)
    actor = tokens.resolve(bare) if bare else _session_actor(scope, slug)
    if actor is None:
        raise SocketRefused(SIGN_IN_AGAIN)
    if (slug is not None and actor.workspace.slug != slug) or not actor.can(Capability.READ):
        raise SocketRefused(NOT_YOURS)
    return actor


def _session_actor(scope: dict[str, Any], slug: str | None) -> Actor | None:
    user = _user(scope)
    if user is None:
        return None
    try:
        return actor_for(user, slug)
    except NotFound:
        raise SocketRefused(NOT_YOURS) from None


def _user(scope: dict[str, Any]) -> User | None:
    """Return whose session the cookie names, as it is now: it may have ended, or the password have changed."""
    key = parse_cookie(_header(scope, b"cookie")).get(settings.SESSION_COOKIE_NAME)
    if not key:
        return None
    session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    user = get_user(SimpleNamespace(session=session))  # type: ignore[arg-type]  # it reads nothing but the session
    return user if isinstance(user, User) else None


def _token(scope: dict[str, Any], query: dict[str, str]) -> str:
    scheme, _, bare = _header(scope, b"authorization").partition(" ")
    return bare.strip() if scheme.lower() == "bearer" else query.get("token", "")


def _header(scope: dict[str, Any], name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope.get("headers", ()) if key == name), "")
