"""Spreads what happened to people and channels: by the workers' poll, each event once, in one transaction."""

import logging
import time
from collections.abc import Sequence
from uuid import UUID

from django.db import OperationalError, transaction
from django.db.models.functions import Now

from accounts.models import User
from notices import audience, handlers, wishes, words
from notices.models import ABOUT, TEST, Channel, Delivery, Event, How, Kind, Notice
from notices.words import Said
from runs import live

log = logging.getLogger("baton.notices")

# The poll's jobs take turns, and the next one may be a deadline.
MOST, SECONDS = 50, 0.5


def spread() -> None:
    """Spread what has happened lately, as far as a short turn goes. Safe when several workers do it at once."""
    handlers.take_from_clock()
    if not Event.objects.filter(taken_at=None).exists():
        return
    until = time.monotonic() + SECONDS
    told: set[UUID] = set()
    for _ in range(MOST):
        workspace = _next()
        if workspace is None:
            break
        told.add(workspace)
        if time.monotonic() > until:
            break
    for workspace in told:
        live.ring_workspace(workspace)


def _next() -> UUID | None:
    """Spread one event that nobody else holds; return its workspace, None when there was none."""
    with transaction.atomic():
        rows = Event.objects.select_for_update(skip_locked=True, of=("self",)).filter(taken_at=None)
        event = rows.select_related(*ABOUT).order_by("id").first()
        if event is None:
            return None
        try:
            with transaction.atomic():
                tell(event)
        except OperationalError:
            raise
        except Exception:  # one that cannot be told must not keep the others from being told
            log.exception("The event %s (%s) could not be told to anybody.", event.pk, event.kind)
        Event.objects.filter(pk=event.pk).update(taken_at=Now())
    return event.workspace_id


def tell(event: Event) -> None:
    """Write a notice for each person and a delivery for each way an event goes. A second time writes nothing."""
    said = words.of(event)
    if event.kind != TEST:
        _tell_people(event, said)
    deliveries = [Delivery(workspace=event.workspace, event=event, channel=channel) for channel in _listening(event)]
    Delivery.objects.bulk_create(deliveries, ignore_conflicts=True)


def _tell_people(event: Event, said: Said) -> None:
    people = audience.of(event)
    how = wishes.how_for(event.workspace, people, Kind(event.kind))
    notices = [_notice(event, said, person, how[person.pk]) for person in people]
    Notice.objects.bulk_create(notices, ignore_conflicts=True)
    _mail(event, [notice for notice in notices if notice.how == How.NOW])


def _notice(event: Event, said: Said, person: User, how: How) -> Notice:
    return Notice(
        workspace=event.workspace,
        user=person,
        kind=event.kind,
        how=how,
        subject=said.subject,
        data={"said": said.said, "place": said.place},
        approval_id=event.approval_id,
        key=f"{event.key}:{person.pk}",
    )


def _mail(event: Event, notices: Sequence[Notice]) -> None:
    """Queue the emails of those notices that were written: of one that stood already there is an email, too."""
    written = Notice.objects.filter(pk__in=[notice.pk for notice in notices])
    deliveries = [Delivery(workspace=event.workspace, notice=notice) for notice in written]
    Delivery.objects.bulk_create(deliveries, ignore_conflicts=True)


def _listening(event: Event) -> Sequence[Channel]:
    """Return the channels that hear of this; not of a question that was closed before anybody could be told, nor of
    one that only some may read."""
    channels = Channel.objects.filter(workspace=event.workspace)
    if event.kind == TEST:
        return list(channels.filter(pk=event.data.get("channel")))
    if event.kind == Kind.ALERT:
        return list(channels.filter(name__in=event.data.get("channels") or ()))
    if not audience.is_for_everybody(event) or (event.kind == Kind.ASKED and not audience.is_open(event.approval_id)):
        return []
    return list(channels.filter(events__contains=[event.kind]))
