"""Sends what is due, in a thread of its own: a mail server that is dead must not keep the poll from any deadline.

A delivery is claimed, in a transaction of its own, by moving the moment at which it is due; so whoever dies with it
in hand delays it, and it is sent again under the same Message-ID and idempotency key. That is at least once: only the
receiver can tell whether a message whose acknowledgement was lost arrived.
"""

import asyncio
import logging
import time
from datetime import timedelta

from django.db import Error, close_old_connections, connection
from django.db.models.functions import Now

from accounts import access
from accounts.access import Actor
from accounts.errors import NotFound
from approvals.words import plain
from notices import audience, doorkeeper, mail, outward
from notices.models import ABOUT, Channel, Delivery, Kind, Notice
from runs.engine.facts import ErrorClass
from runs.execution import post
from runs.execution.beside import Beside
from runs.execution.failures import AnswerLost, Failure

log = logging.getLogger("baton.notices")

CLAIM_SECONDS = 120
MOST, SECONDS = 50, 30.0
TRIES = 8
BACKOFF = (30, 120, 600, 1_800, 3_600, 7_200, 14_400)
"""Seconds to wait after each try, at least; after the last one the delivery is dead: some eight hours."""

_CLAIM = """
    UPDATE notices_delivery SET attempts = attempts + 1, next_at = clock_timestamp() + make_interval(secs => %s)
    WHERE id = (
        SELECT id FROM notices_delivery
        WHERE state = 'waiting' AND next_at <= clock_timestamp() AND coalesce(channel_id::text, 'mail') <> ALL(%s)
        ORDER BY next_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
    ) RETURNING id
"""
_OUT_OF_REACH = frozenset({"cannot_connect", "connection_lost", "timeout", "name_not_found"})


class Moot(Exception):
    """There is nobody to tell any more, or nothing."""


def wake() -> None:
    """Let a thread send what is due, unless one is at it already. Returns at once."""
    _sender.wake()


def send_due(most: int = MOST, seconds: float = SECONDS) -> int:
    """Send what is due, in order, and return how many were tried. A way that fails has a rest until the next call."""
    until, tried = time.monotonic() + seconds, 0
    resting: list[str] = []
    while tried < most and time.monotonic() < until and not _sender.is_ending and (delivery := _claim(resting)):
        tried += 1
        if not _send(delivery):
            resting.append(str(delivery.channel_id or "mail"))
    return tried


def _work() -> None:
    try:
        close_old_connections()
        doorkeeper.send_due(lambda: _sender.is_ending)
        send_due()
    except Error as error:
        log.warning("Notices could not reach the database, trying again: %s", error)
    except Exception:
        log.exception("Notices could not be sent; they are tried again.")
    finally:
        connection.close()


_sender = Beside("notices", _work)


def _claim(resting: list[str]) -> Delivery | None:
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [CLAIM_SECONDS, resting])
        row = cursor.fetchone()
    if row is None:
        return None
    rows = Delivery.objects.select_related("notice__user", "notice__workspace", "notice__approval__run__version")
    return rows.select_related("channel", *(f"event__{name}" for name in ABOUT)).get(pk=row[0])


def _send(delivery: Delivery) -> bool:
    """Try one delivery and write down how it went; return whether its way can be used further."""
    try:
        if delivery.notice is not None:
            _mail(delivery.notice)
        else:
            _say_aloud(delivery)
    except Moot as moot:
        _end(delivery, Delivery.State.DROPPED, str(moot))
        return True
    except Failure as failure:
        return _failed(delivery, failure)
    except Error:
        raise
    except Exception as error:  # one that cannot be written must not keep the others from being sent
        if _sender.is_ending:  # what it stands on has ended before it: its claim lapses, and another sends it
            return False
        log.exception("The delivery %s could not be made.", delivery.pk)
        return _failed(delivery, Failure(ErrorClass.CONFIG, "not_sent", f"It could not be written: {error}"))
    _end(delivery, Delivery.State.SENT)
    if delivery.channel_id:
        Channel.objects.filter(pk=delivery.channel_id).update(sent_at=Now(), error="")
    return True


def _say_aloud(delivery: Delivery) -> None:
    if delivery.event is not None and not audience.is_for_everybody(delivery.event):
        raise Moot("The question is kept for some, and whoever reads the channel need not be among them.")
    asyncio.run(outward.send(delivery))


def _mail(notice: Notice) -> None:
    reader = _reader(notice)
    if notice.kind in _ASKING and not audience.may_still_answer(notice.approval, reader):
        raise Moot("The question does not wait for this person any more.")
    message = mail.of(notice, reader)
    if message is None:
        raise Moot("There is nothing to say any more.")
    post.deliver(message)


_ASKING = (Kind.ASKED, Kind.ASSIGNED, Kind.REMINDER, Kind.ESCALATED)


def _reader(notice: Notice) -> Actor:
    """Return the person as a member of now: who has left meanwhile is told nothing."""
    try:
        return access.actor_for(notice.user, notice.workspace.slug)
    except NotFound:
        raise Moot("The person is no member any more.") from None


def _failed(delivery: Delivery, failure: Failure) -> bool:
    again = failure.error.cls == ErrorClass.TRANSIENT or isinstance(failure, AnswerLost)
    said = plain(failure.error.message, 1_000)
    if delivery.channel_id:
        Channel.objects.filter(pk=delivery.channel_id).update(error=said, error_at=Now())
    if again and delivery.attempts < TRIES:
        wait = max(BACKOFF[delivery.attempts - 1], failure.error.retry_after or 0.0)
        later = Now() + timedelta(seconds=min(wait, BACKOFF[-1]))
        _mine(delivery).update(next_at=later, error=said)
    else:
        _end(delivery, Delivery.State.DEAD, said)
        log.warning("A notice was given up after %d tries: %s", delivery.attempts, said)
    return failure.error.code not in _OUT_OF_REACH


def _end(delivery: Delivery, state: Delivery.State, error: str = "") -> None:
    _mine(delivery).update(state=state, error=error, ended_at=Now())


def _mine(delivery: Delivery):  # type: ignore[no-untyped-def]  # a QuerySet of Delivery
    return Delivery.objects.filter(pk=delivery.pk, state=Delivery.State.WAITING, attempts=delivery.attempts)
