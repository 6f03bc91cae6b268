"""Who may follow: a session or a token, in the workspace it asks about. Many are answered with the same few queries."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session
from django.http import parse_cookie
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounts import assurance, socket_token, tokens
from accounts.access import Actor, Capability, actors_for
from accounts.models import User

SIGN_IN_AGAIN, NOT_YOURS = 4401, 4403  # close codes of a websocket
LONGEST_SESSION_KEY = 40

Answer = Actor | int


@dataclass(frozen=True, slots=True)
class Knock:
    """What a socket shows, and the workspace it asks for, if there is one. Equal knocks get equal answers."""

    session: str
    token: str
    workspace: str | None


def knock(scope: dict[str, Any], workspace: str | None = None) -> Knock:
    """Return what the socket of this scope shows; a key that no session has counts as none."""
    key = parse_cookie(_cookies(scope)).get(settings.SESSION_COOKIE_NAME, "")
    is_key = key.isascii() and key.isalnum() and len(key) <= LONGEST_SESSION_KEY
    return Knock(key if is_key else "", socket_token.shown(scope), workspace)


def query_of(scope: dict[str, Any]) -> dict[str, str]:
    """Return the query of a socket's address, the last value of each name."""
    query = parse_qs(scope.get("query_string", b"").decode("utf-8", "replace"))
    return {key: values[-1] for key, values in query.items()}


def answers(knocks: Sequence[Knock]) -> list[Answer]:
    """Return for each knock who follows, or the code with which its socket closes: sign in again, or not yours.

    Three queries for all sessions, and `tokens.resolve` for each token.
    """
    holders = {bare: tokens.resolve(bare) for bare in {one.token for one in knocks if one.token}}
    people = _people({one.session for one in knocks if one.session and not one.token})
    members = actors_for({(people[one.session], one.workspace or "") for one in knocks if one.session in people})

    def answer(one: Knock) -> Answer:
        holder, user = holders.get(one.token), people.get(one.session)
        if holder is None and (one.token or user is None):
            return SIGN_IN_AGAIN
        actor = holder or (members.get((user.pk, one.workspace or "")) if user else None)
        may_follow = actor is not None and actor.workspace.slug == one.workspace and actor.can(Capability.READ)
        return actor if actor and may_follow else NOT_YOURS

    return [answer(one) for one in knocks]


def answers_about_content(knocks: Sequence[Knock]) -> list[Answer]:
    """Return the same for sockets on which runs or pipelines speak: from some roles that is kept."""
    return [keep_out(answer) for answer in answers(knocks)]


def keep_out(answer: Answer) -> Answer:
    """Return the code of what is not theirs instead of an actor who sees no content."""
    return NOT_YOURS if isinstance(answer, Actor) and not answer.sees_content else answer


def _people(keys: Collection[str]) -> dict[str, User]:
    """Return whose sessions these are, as they are now: one may have ended, or its person's password have changed."""
    rows = Session.objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
    kept = {row.session_key: row.get_decoded() for row in rows}
    users = {str(user.pk): user for user in User.objects.filter(pk__in=_ids(kept), is_active=True)}
    found = {key: (data, users.get(data.get(SESSION_KEY, ""))) for key, data in kept.items()}
    return {key: user for key, (data, user) in found.items() if user and _is_of(data, user)}


def _ids(kept: dict[str, dict[str, Any]]) -> set[str]:
    return {data[SESSION_KEY] for data in kept.values() if SESSION_KEY in data}


def _is_of(data: dict[str, Any], user: User) -> bool:
    """Return what `django.contrib.auth.get_user` asks of a session, which would ask it with two queries each."""
    shown = data.get(HASH_SESSION_KEY, "")
    hashes = (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())
    known = data.get(BACKEND_SESSION_KEY) in settings.AUTHENTICATION_BACKENDS
    return known and not assurance.is_missing(data) and any(constant_time_compare(shown, one) for one in hashes)


def _cookies(scope: dict[str, Any]) -> str:
    return next((value.decode("latin-1") for key, value in scope.get("headers", ()) if key == b"cookie"), "")
