"""API tokens: shown once, kept as a hash, acting for one person in one workspace within their scopes."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from accounts import second_line
from accounts.access import Actor, actor_for
from accounts.errors import Invalid, NotFound
from accounts.models import ApiToken, User, Workspace
from accounts.roles import Scope

PREFIX = "baton_"
_SHOWN = 12
_SEEN_EVERY = timedelta(minutes=1)


def new() -> str:
    """Return a bare token that nobody can guess: 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def create(
    user: User,
    workspace: Workspace,
    scopes: Iterable[str],
    name: str = "",
    expires_at: datetime | None = None,
) -> str:
    """Return a new bare token, kept as its hash only; raises Invalid for an unknown scope or none."""
    bare = new()
    keep(bare, user, workspace, scopes, name=name, expires_at=expires_at)
    return bare


def keep(
    bare: str,
    user: User,
    workspace: Workspace,
    scopes: Iterable[str],
    *,
    name: str = "",
    expires_at: datetime | None = None,
) -> ApiToken:
    """Make this very text a token, anew if it was one: for tokens that an operator chose."""
    row, _ = ApiToken.objects.update_or_create(
        digest=_digest(bare),
        defaults={
            "user": user,
            "workspace": workspace,
            "scopes": _valid(scopes),
            "name": name,
            "prefix": bare[:_SHOWN] if bare.startswith(PREFIX) else "",
            "expires_at": expires_at,
            "revoked_at": None,
        },
    )
    return row


@second_line.everywhere()
def resolve(bare: str) -> Actor | None:
    """Return who acts through this token, or None: unknown, expired, revoked, or its person has left. Two queries,
    and an update once a minute."""
    now = timezone.now()
    rows = ApiToken.objects.filter(digest=_digest(bare), revoked_at=None)
    row = rows.filter(Q(expires_at=None) | Q(expires_at__gt=now)).select_related("user", "workspace").first()
    if row is None:
        return None
    try:
        actor = actor_for(row.user, row.workspace.slug, row.scopes)
    except NotFound:
        return None
    if row.last_used_at is None or row.last_used_at < now - _SEEN_EVERY:
        ApiToken.objects.filter(pk=row.pk).update(last_used_at=now)
    return actor


def revoke(token: ApiToken) -> None:
    ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now())


def revoke_all(user: User, workspace: Workspace) -> None:
    """Revoke the person's tokens of a workspace, for good: they do not come back with the person."""
    rows = ApiToken.objects.filter(user=user, workspace=workspace, revoked_at=None)
    rows.update(revoked_at=timezone.now())


def _digest(bare: str) -> bytes:
    return hashlib.sha256(bare.encode("utf-8", "surrogatepass")).digest()


def _valid(scopes: Iterable[str]) -> list[str]:
    given = list(dict.fromkeys(scopes))
    unknown = [scope for scope in given if scope not in set(Scope)]
    if unknown or not given:
        wrong = f"{unknown[0]!r} is no scope" if unknown else "A token needs at least one scope"
        raise Invalid(f"{wrong}. Choose from {', '.join(Scope)}.", code="bad_scope", where="/scopes")
    return [str(scope) for scope in given]
