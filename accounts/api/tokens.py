"""/tokens: one's own API tokens; an admin sees and revokes everybody's."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from ninja import Router, Status

from accounts import again, idempotency, tokens
from accounts.access import Actor, Capability, actor_of, require, scoped
from accounts.api.auth import token_of
from accounts.errors import Forbidden
from accounts.models import ApiToken
from accounts.paging import page
from accounts.schemas import FreshToken, NewToken, TokenList

router = Router()


@router.get("/tokens", response=TokenList)
def list_tokens(request: HttpRequest, cursor: str | None = None, limit: int | None = None) -> Any:
    """List the tokens that are not revoked, newest first."""
    actor = actor_of(request)
    require(actor, Capability.TOKENS)
    return page(_visible(actor), cursor, limit, "-created_at", _show)


@router.post("/tokens", response={201: FreshToken})
def create_token(request: HttpRequest, payload: NewToken) -> Any:
    """Make a token for oneself; the answer holds the bare token, which is not shown again.

    It ends at `expires_at`, or when a token's longest life is over, and no later than the token that makes it. A
    browser's person has shown lately who they are.
    """
    actor = actor_of(request)
    idempotency.show_once(request)
    require(actor, Capability.TOKENS)
    if actor.scopes is None:
        again.require(request)
    elif not actor.scopes.issuperset(payload.scopes):
        raise Forbidden("A token cannot make another with scopes that it lacks itself.", where="/scopes")
    row, bare = tokens.make(actor, payload.scopes, payload.name, payload.expires_at, token_of(request))
    return Status(201, _show(row) | {"token": bare})


@router.delete("/tokens/{id}", response={204: None})
def revoke_token(request: HttpRequest, id: str) -> Any:
    """Revoke a token; requests with it are refused from now on."""
    actor = actor_of(request)
    require(actor, Capability.TOKENS)
    tokens.end(actor, _visible(actor), id)
    return Status(204, None)


def _visible(actor: Actor) -> QuerySet[ApiToken]:
    rows = scoped(ApiToken, actor).filter(revoked_at=None).select_related("user")
    return rows if actor.can(Capability.MEMBERS) else rows.filter(user=actor.user)


def _show(row: ApiToken) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "name": row.name,
        "prefix": row.prefix,
        "user": row.user.email,
        "scopes": row.scopes,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "last_used_at": row.last_used_at,
    }
