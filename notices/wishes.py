"""How each person wants to be told: at once, in the daily email, or only in their inbox here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from accounts.access import Actor, Capability, require
from accounts.models import User, Workspace
from notices import hours
from notices.models import Digest, How, Kind, Preference

DEFAULTS: Mapping[Kind, How] = {
    Kind.ASKED: How.NOW,
    Kind.ASSIGNED: How.NOW,
    Kind.REMINDER: How.NOW,
    Kind.ESCALATED: How.NOW,
    Kind.COMMENTED: How.NOW,
    Kind.INFORMATION: How.NOW,
    Kind.DECIDED: How.DIGEST,
    Kind.BUDGET: How.NOW,
    Kind.ALERT: How.NOW,
}
DEFAULT_HOUR = 8


@dataclass(frozen=True, slots=True)
class Wishes:
    """`hour` is that of the daily email in the person's own zone; None where they want none."""

    kinds: Mapping[Kind, How]
    hour: int | None


def of(actor: Actor) -> Wishes:
    """Return what holds for this person, defaults included. Two queries."""
    rows = Preference.objects.filter(workspace=actor.workspace, user=actor.user)
    own = {Kind(row.kind): How(row.how) for row in rows}
    digest = Digest.objects.filter(workspace=actor.workspace, user=actor.user).first()
    return Wishes({**DEFAULTS, **own}, digest.hour if digest else DEFAULT_HOUR)


def put(actor: Actor, wishes: Wishes) -> Wishes:
    """Keep what this person chose for themselves; kinds left out stay as they are. Nobody chooses for another."""
    require(actor, Capability.BE_TOLD)
    with transaction.atomic():
        for kind, how in wishes.kinds.items():
            Preference.objects.update_or_create(
                workspace=actor.workspace, user=actor.user, kind=kind, defaults={"how": how}
            )
        Digest.objects.update_or_create(
            workspace=actor.workspace,
            user=actor.user,
            defaults={"hour": wishes.hour, "next_at": hours.next_digest(actor.user.tzinfo, wishes.hour)},
        )
    return of(actor)


def how_for(workspace: Workspace, people: Iterable[User], kind: Kind) -> dict[UUID, How]:
    """Return how each of these people is told of this kind. One query."""
    rows = Preference.objects.filter(workspace=workspace, user__in=list(people), kind=kind)
    own = {row.user_id: How(row.how) for row in rows}
    return {person.pk: own.get(person.pk, DEFAULTS[kind]) for person in people}
