"""Invitations: a person is asked in by email, with a role, for some days; the link is theirs alone."""

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.contrib.auth.hashers import make_password
from django.core.signing import Signer
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounts import audit, second_line
from accounts.access import Actor, Capability, get, require, scoped
from accounts.errors import Conflict, Gone
from accounts.models import Invitation, Letter, Membership, User
from accounts.roles import Role

DAYS = 7
_SIGNER = Signer(salt="accounts.invitations")


def invite(actor: Actor, email: str, roles: Iterable[Role]) -> Invitation:
    """Ask a person in, instead of an earlier invitation of theirs; raises Forbidden or Conflict (`already_member`)."""
    require(actor, Capability.MEMBERS)
    email = email.lower()
    if Membership.objects.filter(workspace=actor.workspace, user__email=email).exists():
        raise Conflict(f"{email} is a member already. Change their roles instead.", code="already_member")
    with transaction.atomic():
        now = timezone.now()
        scoped(_waiting(), actor).filter(email=email).update(withdrawn_at=now)
        made = Invitation.objects.create(
            workspace=actor.workspace,
            email=email,
            roles=[role.value for role in Role if role in set(roles)],
            invited_by=actor.user,
            expires_at=now + timedelta(days=DAYS),
        )
        Letter.objects.create(kind=Letter.Kind.INVITATION, email=email, invitation=made)
        audit.record(actor.workspace, actor.user, "member_invited", email, {"roles": made.roles})
    return made


def withdraw(actor: Actor, invitation_id: UUID) -> None:
    """Make an invitation worth nothing; raises Forbidden, NotFound."""
    require(actor, Capability.MEMBERS)
    with transaction.atomic():
        _withdraw(actor, get(_waiting().select_for_update(), actor, pk=invitation_id))


def withdraw_all_of(actor: Actor, person: User) -> None:
    """Make the invitations worth nothing that the person has made here, or that wait for them; within a transaction."""
    rows = scoped(_waiting(), actor).filter(Q(invited_by=person) | Q(email=person.email))
    for made in list(rows.order_by("id").select_for_update()):
        _withdraw(actor, made)


def _withdraw(actor: Actor, made: Invitation) -> None:
    made.withdrawn_at = timezone.now()
    made.save(update_fields=["withdrawn_at"])
    audit.record(actor.workspace, actor.user, "invitation_withdrawn", made.email)


def waiting(actor: Actor) -> QuerySet[Invitation]:
    """Return the invitations of the workspace that can still be accepted or have run out, newest first."""
    return scoped(_waiting(), actor).select_related("invited_by").order_by("-created_at")


def mark_of(invitation: Invitation) -> str:
    """Return the part of an invitation's link that nobody can guess."""
    return _SIGNER.signature(str(invitation.pk))


@second_line.everywhere()
def open_one(invitation_id: UUID, mark: str) -> Invitation:
    """Return the invitation of a link; raises Gone alike for one that ended, ran out, or never was."""
    found = _waiting().select_related("workspace", "invited_by").filter(pk=invitation_id).first()
    if not constant_time_compare(mark, _SIGNER.signature(str(invitation_id))) or found is None or found.is_over:
        raise Gone("This invitation has ended. Ask whoever invited you for another.", code="invitation_ended")
    return found


def newcomer(invitation: Invitation, name: str, password: str | None) -> User:
    """Return the person whom an invitation makes, or completes where an admin had only named them."""
    user, _ = User.objects.get_or_create(email=invitation.email, defaults={"password": make_password(None)})
    user.name = user.name or name
    if password is not None:
        user.set_password(password)
    user.save(update_fields=["name", "password"])
    return user


@second_line.everywhere()
def accept(invitation: Invitation, user: User) -> None:
    """Make the person a member in the roles of the invitation; raises Gone when it has ended meanwhile."""
    with transaction.atomic():
        kept = _waiting().select_for_update().filter(pk=invitation.pk, email=user.email).first()
        if kept is None or kept.is_over:
            raise Gone("This invitation has ended. Ask whoever invited you for another.", code="invitation_ended")
        kept.accepted_at = timezone.now()
        kept.save(update_fields=["accepted_at"])
        Membership.objects.get_or_create(workspace=kept.workspace, user=user, defaults={"roles": kept.roles})
        audit.record(kept.workspace, user, "invitation_accepted", data={"roles": kept.roles})


@second_line.everywhere()
def open_to(email: str) -> list[Invitation]:
    """Return the invitations that wait for this email, by workspace, and hold them for the transaction."""
    rows = _waiting().filter(email=email, expires_at__gt=timezone.now()).select_related("workspace")
    rows = rows.select_for_update(of=("self",))
    return list(rows.order_by("workspace_id"))


def _waiting() -> QuerySet[Invitation]:
    return Invitation.objects.filter(accepted_at=None, withdrawn_at=None)
