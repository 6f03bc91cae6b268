"""Who belongs to a workspace, and in which roles. Who has an account comes in by an invitation that they accept."""

from collections.abc import Callable, Iterable

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.utils import timezone

from accounts import audit, invitations, sessions, tokens
from accounts.access import Actor, Capability, acting, get, may_come_in, require
from accounts.errors import Conflict
from accounts.models import Membership, User, Workspace
from accounts.roles import Role


def add(actor: Actor, email: str, name: str, roles: Iterable[Role]) -> Membership | None:
    """Make a person new to this installation a member; invite one who is known here, and return None.

    Nobody who has an account becomes a member without a word of theirs: what they do to it would stand in the log of a
    workspace that they never saw. A new person has no password: they come in by single sign-on, or ask for one by mail.
    Raises Forbidden or Conflict (`already_member`).
    """
    require(actor, Capability.MEMBERS)
    email = email.lower()
    with transaction.atomic():
        user, is_new = User.objects.get_or_create(email=email, defaults={"name": name, "password": make_password(None)})
        if not is_new:
            invitations.invite(actor, email, roles)
            return None
        membership = Membership.objects.create(workspace=actor.workspace, user=user, roles=_sorted(roles))
        audit.record(actor.workspace, actor.user, "member_added", email, {"roles": membership.roles})
    return membership


def admit(workspace: Workspace, email: str, name: str, roles: Iterable[Role], by: str) -> Membership:
    """Make a person new to this installation a member without anybody's act; `by` names the rule in the audit log."""
    with transaction.atomic():
        user = User.objects.create(email=email, name=name, password=make_password(None))
        membership = Membership.objects.create(workspace=workspace, user=user, roles=_sorted(roles))
        audit.record(workspace, by, "member_added", email, {"roles": membership.roles})
    return membership


def first_who_can(capability: Capability, workspace: str, email: str | None = None) -> Actor | None:
    """Return the member of longest standing who can do this in a workspace, or who has the address, if they can."""
    found = Membership.objects.active().filter(workspace__slug=workspace).select_related("user", "workspace")
    found = found.filter(user__email=email.lower()) if email else found
    actors = (acting(one.user, one.workspace, one.roles) for one in found.order_by("created_at"))
    return next((actor for actor in actors if actor.can(capability)), None)


def change_roles(actor: Actor, email: str, roles: Iterable[Role]) -> Membership:
    """Replace a member's roles; raises Forbidden, NotFound or Conflict (`last_admin`).

    The invitations of somebody who is no admin any more are worth nothing either.
    """
    require(actor, Capability.MEMBERS)
    with transaction.atomic():
        membership = _locked(actor, email)
        before, membership.roles = membership.roles, _sorted(roles)
        if Role.ADMIN not in membership.roles:
            _keep_an_admin(actor.workspace, membership)
        membership.save(update_fields=["roles"])
        if Role.ADMIN in before and Role.ADMIN not in membership.roles:
            invitations.withdraw_all_of(actor, membership.user)
        data = {"before": before, "roles": membership.roles}
        audit.record(actor.workspace, actor.user, "roles_changed", membership.user.email, data)
    return membership


def remove(actor: Actor, email: str) -> None:
    """End a membership, with what the person holds here (`_let_go`). Raises as `change_roles`."""
    require(actor, Capability.MEMBERS)
    with transaction.atomic():
        membership = _locked(actor, email)
        _keep_an_admin(actor.workspace, membership)
        membership.delete()
        _let_go(actor, membership.user)
        audit.record(actor.workspace, actor.user, "member_removed", membership.user.email)


def deactivate(actor: Actor, email: str) -> Membership:
    """Shut a member out until they are activated again; who is already changes nothing. Raises as `change_roles`.

    What they hold here they let go (`_let_go`). Their sessions end as well when no workspace is left to them: another
    workspace's are not this admin's. Their sockets here close within ten seconds.
    """
    require(actor, Capability.MEMBERS)
    with transaction.atomic():
        membership = _locked(actor, email)
        if membership.deactivated_at is None:
            _keep_an_admin(actor.workspace, membership)
            membership.deactivated_at = timezone.now()
            membership.save(update_fields=["deactivated_at"])
            if not may_come_in(membership.user):
                sessions.end_all(membership.user)
            _let_go(actor, membership.user)
            audit.record(actor.workspace, actor.user, "member_deactivated", membership.user.email)
    return membership


def activate(actor: Actor, email: str) -> Membership:
    """Let a member in again, in the roles they had; they sign in anew. Raises Forbidden, NotFound."""
    require(actor, Capability.MEMBERS)
    with transaction.atomic():
        membership = _locked(actor, email)
        if membership.deactivated_at is not None:
            membership.deactivated_at = None
            membership.save(update_fields=["deactivated_at"])
            audit.record(actor.workspace, actor.user, "member_activated", membership.user.email)
    return membership


Release = Callable[[Workspace, User], list[tuple[str, str]]]
_releases: list[Release] = []


def on_leave(release: Release) -> None:
    """Have what a person holds released when they leave a workspace; it returns what the audit log says of it.

    That is each act and its target. The log is written after all rows are locked.
    """
    _releases.append(release)


def _let_go(actor: Actor, person: User) -> None:
    """Release what the person holds here; revoke their tokens and withdraw their invitations, for good."""
    released = [act for release in _releases for act in release(actor.workspace, person)]
    tokens.revoke_all(person, actor.workspace)
    invitations.withdraw_all_of(actor, person)
    for action, target in released:
        audit.record(actor.workspace, actor.user, action, target, {"of": person.email})


def _locked(actor: Actor, email: str) -> Membership:
    # the workspace's row is the lock: two admins that remove each other must not both succeed. Who joins
    # meanwhile holds their invitation and refers to the workspace, which `no_key` lets them
    Workspace.objects.select_for_update(no_key=True).get(pk=actor.workspace.pk)
    return get(Membership.objects.select_related("user"), actor, user__email=email.lower())


def _keep_an_admin(workspace: Workspace, leaving: Membership) -> None:
    admins = Membership.objects.active().filter(workspace=workspace, roles__contains=[Role.ADMIN])
    if list(admins.values_list("pk", flat=True)) == [leaving.pk]:
        raise Conflict("A workspace needs an admin. Make another member an admin first.", code="last_admin")


def _sorted(roles: Iterable[Role]) -> list[str]:
    given = set(roles)
    return [role.value for role in Role if role in given]
