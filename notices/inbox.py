"""What one person was told, which nobody else reads or marks, and for admins what could not be delivered."""

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from accounts import audit
from accounts.access import Actor, Capability, get, require, scoped
from accounts.errors import Conflict
from approvals.questions import readable
from notices.models import DIGEST, Delivery, Notice


def mine(actor: Actor) -> QuerySet[Notice]:
    """Return this person's notices. Digests are emails alone: what they told stands here by itself.

    Who sees no content any more reads nothing of earlier questions either.
    """
    rows = scoped(Notice, actor).filter(user=actor.user).exclude(kind=DIGEST)
    return rows if actor.sees_content else rows.filter(Q(approval=None) | Q(approval__in=readable(actor)))


def listed(actor: Actor, most: int) -> Sequence[Notice]:
    """Return the newest notices, those that are unread first."""
    rows = mine(actor).select_related("approval")
    return list(rows.order_by(F("read_at").desc(nulls_first=True), "-created_at", "-id")[:most])


def unread(actor: Actor) -> int:
    """Return how many notices this person has not read. One query."""
    return mine(actor).filter(read_at=None).count()


def read(actor: Actor, notice_id: UUID | str) -> Notice:
    """Mark one notice as read; raise NotFound for anybody else's. Reading twice keeps the first time."""
    require(actor, Capability.BE_TOLD)
    notice = get(mine(actor), actor, pk=notice_id)
    Notice.objects.filter(pk=notice.pk, read_at=None).update(read_at=Now())
    notice.refresh_from_db(fields=["read_at"])
    return notice


def read_all(actor: Actor) -> int:
    """Mark all of this person's notices as read; return how many were not."""
    require(actor, Capability.BE_TOLD)
    return mine(actor).filter(read_at=None).update(read_at=Now())


def given_up(actor: Actor) -> QuerySet[Delivery]:
    """Return the sendings of this workspace that were given up: for admins. Raises Forbidden."""
    require(actor, Capability.CONNECTIONS)
    rows = scoped(Delivery, actor).filter(state=Delivery.State.DEAD)
    return rows.select_related("notice__user", "channel", "event")


@transaction.atomic
def try_again(actor: Actor, delivery_id: int | str) -> Delivery:
    """Have a sending that was given up tried once more, under the id it had; return it.

    Its tries go on being counted, so that a sender that was thought dead finds it changed. Raises Forbidden, NotFound,
    Conflict `not_given_up` for one that is sent, dropped, or waits already.
    """
    require(actor, Capability.CONNECTIONS)
    found = get(Delivery.objects.select_for_update(), actor, pk=delivery_id)
    if found.state != Delivery.State.DEAD:
        raise Conflict("It was not given up, or is being tried again already.", code="not_given_up")
    Delivery.objects.filter(pk=found.pk).update(state=Delivery.State.WAITING, next_at=Now(), ended_at=None)
    audit.record(actor.workspace, actor.user, "delivery_tried_again", str(found.pk), {"to": recipient(found)})
    found.refresh_from_db()
    return found


def recipient(delivery: Delivery) -> str:
    """Return whom a sending is for: an email's address, or the name of a channel."""
    if delivery.notice is not None:
        return delivery.notice.user.email
    return delivery.channel.name if delivery.channel else ""
