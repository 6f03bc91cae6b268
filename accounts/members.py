"""Who belongs to a workspace, and in which roles."""

from collections.abc import Iterable

from django.contrib.auth.hashers import make_password
from django.db import transaction

from accounts import audit
from accounts.access import Actor, Capability, get, require
from accounts.errors import Conflict
from accounts.models import Membership, User, Workspace
from accounts.roles import Role


def add(actor: Actor, email: str, name: str, roles: Iterable[Role]) -> Membership:
    """Make a person a member, known here or not; raises Forbidden or Conflict (`already_member`).

    A person new to this installation cannot sign in before an operator sets their password.
    """
    require(actor, Capability.MEMBERS)
    email = email.lower()
    with transaction.atomic():
        user, _ = User.objects.get_or_create(email=email, defaults={"name": name, "password": make_password(None)})
        membership, new = Membership.objects.get_or_create(
            workspace=actor.workspace, user=user, defaults={"roles": _sorted(roles)}
        )
        if not new:
            raise Conflict(f"{email} is a member already. Change their roles instead.", code="already_member")
        audit.record(actor.workspace, actor.user, "member_added", email, {"roles": membership.roles})
    return membership


def change_roles(actor: Actor, email: str, roles: Iterable[Role]) -> Membership:
    """Replace a member's roles; raises Forbidden, NotFound or Conflict (`last_admin`)."""
    require(actor, Capability.MEMBERS)
    with transaction.atomic():
        membership = _locked(actor, email)
        before, membership.roles = membership.roles, _sorted(roles)
        if Role.ADMIN not in membership.roles:
            _keep_an_admin(actor.workspace, membership)
        membership.save(update_fields=["roles"])
        data = {"before": before, "roles": membership.roles}
        audit.record(actor.workspace, actor.user, "roles_changed", membership.user.email, data)
    return membership


def remove(actor: Actor, email: str) -> None:
    """End a membership; tokens of the person stop working here. Raises as `change_roles`."""
    require(actor, Capability.MEMBERS)
    with transaction.atomic():
        membership = _locked(actor, email)
        _keep_an_admin(actor.workspace, membership)
        membership.delete()
        audit.record(actor.workspace, actor.user, "member_removed", membership.user.email)


def _locked(actor: Actor, email: str) -> Membership:
    # the workspace's row is the lock: two admins that remove each other must not both succeed
    Workspace.objects.select_for_update().get(pk=actor.workspace.pk)
    return get(Membership.objects.select_related("user"), actor, user__email=email.lower())


def _keep_an_admin(workspace: Workspace, leaving: Membership) -> None:
    admins = Membership.objects.filter(workspace=workspace, roles__contains=[Role.ADMIN], user__is_active=True)
    if list(admins.values_list("pk", flat=True)) == [leaving.pk]:
        raise Conflict("A workspace needs an admin. Make another member an admin first.", code="last_admin")


def _sorted(roles: Iterable[Role]) -> list[str]:
    given = set(roles)
    return [role.value for role in Role if role in given]
