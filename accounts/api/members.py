"""/members: who belongs to the workspace."""

from typing import Any

from django.http import HttpRequest
from ninja import Router, Status

from accounts import content, members
from accounts.access import Capability, actor_of, require, scoped
from accounts.models import Membership
from accounts.paging import page
from accounts.schemas import ContentAccess, Member, MemberList, MemberRoles, MemberState, NewMember

router = Router()


@router.get("/members", response=MemberList)
def list_members(request: HttpRequest, cursor: str | None = None, limit: int | None = None) -> Any:
    """List the members with their roles, oldest first."""
    actor = actor_of(request)
    require(actor, Capability.READ)
    rows = scoped(Membership, actor).select_related("user")
    return page(rows, cursor, limit, "created_at", _show)


@router.post("/members", response={201: Member})
def add_member(request: HttpRequest, payload: NewMember) -> Any:
    """Add a person by email. Who has an account here is invited: not active until they accept, and not told of."""
    added = members.add(actor_of(request), payload.email, payload.name, payload.roles)
    invited = {"email": payload.email, "name": payload.name, "roles": payload.roles, "active": False}
    return Status(201, _show(added) if added else invited)


@router.put("/members/{email}", response=Member)
def change_roles(request: HttpRequest, email: str, payload: MemberRoles) -> Any:
    """Replace a member's roles."""
    return _show(members.change_roles(actor_of(request), email, payload.roles))


@router.patch("/members/{email}", response=Member)
def change_state(request: HttpRequest, email: str, payload: MemberState) -> Any:
    """Shut a member out (`"active": false`) or let them in again: their sockets close, their tokens are revoked."""
    change = members.activate if payload.active else members.deactivate
    return _show(change(actor_of(request), email))


@router.delete("/members/{email}", response={204: None})
def remove_member(request: HttpRequest, email: str) -> Any:
    """End a membership."""
    members.remove(actor_of(request), email)
    return Status(204, None)


@router.get("/content", response=ContentAccess)
def read_content_access(request: HttpRequest) -> Any:
    """Which roles see what things cost, and nothing of what runs say."""
    actor = actor_of(request)
    require(actor, Capability.READ)
    return {"hidden_from": actor.workspace.without_content}


@router.put("/content", response=ContentAccess)
def change_content_access(request: HttpRequest, payload: ContentAccess) -> Any:
    """Show these roles costs alone, and the others content."""
    return {"hidden_from": content.hide_from(actor_of(request), payload.hidden_from)}


def _show(membership: Membership) -> dict[str, Any]:
    user = membership.user
    return {"email": user.email, "name": user.name, "roles": membership.roles, "active": membership.is_active}
