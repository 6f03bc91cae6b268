"""API tokens: shown once, kept as a hash, acting for one person in one workspace within their scopes."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts import audit, second_line
from accounts.access import Actor, actor_for, get, scoped
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
    """Return a new bare token, kept as its hash only; raises Invalid for an unknown scope or none, or a bad end.

    Without one it ends with the longest life that a token may have.
    """
    bare = new()
    keep(bare, user, workspace, scopes, name=name, expires_at=_bounded(expires_at))
    return bare


def make(
    actor: Actor, scopes: Iterable[str], name: str, expires_at: datetime | None, by: str = ""
) -> tuple[ApiToken, str]:
    """Make a token for whoever acts, and write it down; return it and its bare text. Raises as `create`.

    One made `by` another, whose bare text that is, ends no later than that.
    """
    bare, until = new(), _bounded(expires_at, _end_of(by) if by else None)
    with transaction.atomic():
        row = keep(bare, actor.user, actor.workspace, scopes, name=name, expires_at=until)
        audit.record(actor.workspace, actor.user, "token_created", str(row.pk), {"scopes": row.scopes})
    return row, bare


def end(actor: Actor, rows: QuerySet[ApiToken], token_id: UUID | str) -> ApiToken:
    """Revoke one of these tokens, and write it down; raises NotFound."""
    with transaction.atomic():
        row = get(rows, actor, pk=token_id)
        revoke(row)
        audit.record(actor.workspace, actor.user, "token_revoked", str(row.pk))
    return row


def of(actor: Actor) -> QuerySet[ApiToken]:
    """Return the actor's own tokens of the workspace that are not revoked, newest first."""
    return scoped(ApiToken, actor).filter(user=actor.user, revoked_at=None).order_by("-created_at")


def longest_days() -> int:
    days: int = settings.TOKEN_DAYS
    return days


def ends_in(days: int) -> datetime:
    return timezone.now() + timedelta(days=days)


def _bounded(expires_at: datetime | None, makers: datetime | None = None) -> datetime:
    """Return when a token ends: when it is wished, within the longest life and the life of the token that makes it."""
    last = ends_in(longest_days())
    if expires_at is None:
        return min(last, makers or last)
    if expires_at <= timezone.now():
        raise Invalid("expires_at must be in the future.", where="/expires_at")
    if expires_at > last + timedelta(minutes=5):  # who reckons from a clock of their own
        raise Invalid(f"A token lives for at most {longest_days()} days. Choose an earlier end.", where="/expires_at")
    if makers and expires_at > makers:
        raise Invalid(
            f"The token that makes this one ends at {makers.isoformat()}. Choose no later end.", where="/expires_at"
        )
    return expires_at.astimezone(UTC)


def _end_of(bare: str) -> datetime | None:
    return ApiToken.objects.filter(digest=_digest(bare)).values_list("expires_at", flat=True).first()


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


@second_line.everywhere()
def revoke_everywhere(user: User) -> int:
    """Revoke every token of the person, in all workspaces, and write it down; return how many. In a transaction."""
    count = ApiToken.objects.filter(user=user, revoked_at=None).update(revoked_at=timezone.now())
    if count:
        audit.record_everywhere(user, "tokens_revoked", data={"count": count})
    return count


def _digest(bare: str) -> bytes:
    return hashlib.sha256(bare.encode("utf-8", "surrogatepass")).digest()


def _valid(scopes: Iterable[str]) -> list[str]:
    given = list(dict.fromkeys(scopes))
    unknown = [scope for scope in given if scope not in set(Scope)]
    if unknown or not given:
        wrong = f"{unknown[0]!r} is no scope" if unknown else "A token needs at least one scope"
        raise Invalid(f"{wrong}. Choose from {', '.join(Scope)}.", code="bad_scope", where="/scopes")
    return [str(scope) for scope in given]
