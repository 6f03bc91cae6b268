"""Who is away and who answers for them meanwhile. Each change is audited."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from accounts import audit
from accounts.access import Actor, Capability, require, scoped
from accounts.errors import Conflict, Forbidden, Invalid
from accounts.models import Membership, Workspace
from approvals import policy
from approvals.clock import ClockTimestamp
from approvals.models import Absence

LONGEST = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class AbsenceFields:
    """Away from a moment until another; `delegate` is the colleague's email."""

    starts_at: datetime
    ends_at: datetime
    delegate: str


def current(actor: Actor) -> QuerySet[Absence]:
    """Return the workspace's absences that have not ended, the next first."""
    rows = scoped(Absence, actor).filter(ends_at__gt=ClockTimestamp()).select_related("person", "delegate")
    return rows.order_by("starts_at", "id")


@transaction.atomic
def add(actor: Actor, fields: AbsenceFields) -> Absence:
    """Let a colleague answer for this person while they are away.

    The delegate is asked as if they were the other, but needs a role of their own that decides, and gets past
    nobody's bar. It goes one step: whoever is away then cannot be chosen, and their own delegate answers for
    themselves and them only. Raises Invalid `invalid_absence` or `cannot_stand_in`, Conflict `already_away`.
    """
    require(actor, Capability.READ)
    _forbid_programs(actor)
    Workspace.objects.select_for_update(no_key=True).get(pk=actor.workspace.pk)
    _check_span(fields)
    overlapping = scoped(Absence, actor).filter(starts_at__lt=fields.ends_at, ends_at__gt=fields.starts_at)
    if overlapping.filter(person=actor.user).exists():
        raise Conflict("You are away in that time already. End that absence first.", code="already_away")
    delegate = _delegate(actor, fields.delegate)
    if overlapping.filter(person=delegate.user).exists():
        raise _cannot(f"{delegate.user} is away in that time too. Choose somebody else.")
    made = Absence.objects.create(
        workspace=actor.workspace,
        person=actor.user,
        delegate=delegate.user,
        starts_at=fields.starts_at,
        ends_at=fields.ends_at,
    )
    data = {"to": delegate.user.email, "from": fields.starts_at.isoformat(), "until": fields.ends_at.isoformat()}
    audit.record(actor.workspace, actor.user, "absence.set", str(made.pk), data)
    return made


@transaction.atomic
def end(actor: Actor, absence: Absence) -> None:
    """End one's own absence now; one that has not begun is as if it had never been. Admins end anybody's."""
    if absence.person_id != actor.user.pk:
        require(actor, Capability.MEMBERS)
    _forbid_programs(actor)
    began = Absence.objects.filter(pk=absence.pk, starts_at__lt=ClockTimestamp(), ends_at__gt=ClockTimestamp())
    if not began.update(ends_at=ClockTimestamp()):
        Absence.objects.filter(Q(pk=absence.pk), starts_at__gte=ClockTimestamp(), ends_at__gt=F("starts_at")).delete()
    audit.record(actor.workspace, actor.user, "absence.ended", str(absence.pk), {"person": absence.person.email})


def _check_span(fields: AbsenceFields) -> None:
    if timezone.is_naive(fields.starts_at) or timezone.is_naive(fields.ends_at):
        raise Invalid("Say the time zone of both moments.", code="invalid_absence", where="/starts_at")
    if not fields.starts_at < fields.ends_at or fields.ends_at <= timezone.now():
        raise Invalid("An absence ends after it begins, and in the future.", code="invalid_absence", where="/ends_at")
    if fields.ends_at - fields.starts_at > LONGEST:
        raise Invalid("An absence is at most a year long.", code="invalid_absence", where="/ends_at")


def _delegate(actor: Actor, email: str) -> Membership:
    members = Membership.objects.active().filter(workspace=actor.workspace).exclude(user=actor.user)
    found = members.select_related("user").filter(user__email=email.strip().lower()).first()
    if found is None:
        raise _cannot("Nobody else in this workspace has that address.")
    if not policy.is_decider(frozenset(found.roles)):
        raise _cannot(f"{found.user} is no reviewer or manager, so they cannot answer for you.")
    return found


def _forbid_programs(actor: Actor) -> None:
    """A token that may decide may say who decides; any other may not."""
    if actor.scopes is not None and "decide" not in actor.scopes:
        raise Forbidden("This token lacks the scope decide. Make a token with it.", code="forbidden")


def _cannot(message: str) -> Invalid:
    return Invalid(message, code="cannot_stand_in", where="/delegate")
