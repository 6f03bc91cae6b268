"""A person's sessions: where they are signed in, since when, when last seen; and how others of them are ended."""

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from accounts import audit
from accounts.clients import client_of
from accounts.errors import NotFound
from accounts.models import BrowserSession, User

SEEN, BEGAN = "seen", "began"
EVERY = 300  # seconds between two notes of when a session was seen
_BROWSERS = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari"))
_SYSTEMS = ("Windows", "iPhone", "iPad", "Android", "Mac OS X", "CrOS", "Linux")


@dataclass(frozen=True, slots=True)
class Shown:
    """A session as its person sees it."""

    id: UUID
    device: str
    address: str
    since: datetime
    seen: datetime
    is_this: bool


def opened(request: HttpRequest, user: User) -> None:
    """Write down that the person is signed in here."""
    if request.session.session_key is None:
        request.session.save()
    agent = re.sub(r"[^ -~]", "", request.headers.get("User-Agent", ""))[:300]
    BrowserSession.objects.update_or_create(
        session=request.session.session_key,
        defaults={"user": user, "agent": agent, "address": client_of(request)[:64]},
    )
    request.session[SEEN] = request.session[BEGAN] = int(time.time())
    _bound(request.session)


def _bound(session: SessionBase) -> None:
    """Let the session end when it has rested long enough, and some days after the sign-in however much it is used."""
    began = datetime.fromtimestamp(session.setdefault(BEGAN, int(time.time())), UTC)
    rested = timezone.now() + timedelta(seconds=settings.SESSION_COOKIE_AGE)
    session.set_expiry(min(rested, began + timedelta(days=settings.SESSION_DAYS)))


def touch(request: HttpRequest) -> None:
    """Note that the session is in use, once in some minutes. A session that no sign-in of ours opened is left alone."""
    seen = request.session.get(SEEN)
    if seen is None or time.time() - seen < EVERY:
        return
    request.session[SEEN] = int(time.time())
    _bound(request.session)
    BrowserSession.objects.filter(session=request.session.session_key).update(
        seen_at=timezone.now(), address=client_of(request)[:64]
    )


def renew(request: HttpRequest) -> None:
    """Give the session a new key, once its person has shown again who they are: who knew the old one is outside.

    Sockets of other tabs close, and come back with the new key.
    """
    before = request.session.session_key
    request.session.cycle_key()
    BrowserSession.objects.filter(session=before).update(session=request.session.session_key)


def closed(request: HttpRequest) -> None:
    """Forget the session of a person who signs out."""
    BrowserSession.objects.filter(session=request.session.session_key).delete()


def of(request: HttpRequest, user: User) -> list[Shown]:
    """Return the person's sessions, this one first, then the last seen."""
    mine = BrowserSession.objects.filter(user=user).order_by("-seen_at")
    live = Session.objects.filter(session_key__in=mine.values("session"), expire_date__gt=timezone.now())
    keys = set(live.values_list("session_key", flat=True))
    key = request.session.session_key
    shown = [
        Shown(one.pk, device(one.agent), one.address, one.created_at, one.seen_at, one.session == key)
        for one in mine
        if one.session in keys
    ]
    return sorted(shown, key=lambda one: not one.is_this)


def end_others(request: HttpRequest, user: User) -> None:
    """End every session of the person but this one, also those that no list shows; their sockets close soon."""
    with transaction.atomic():
        locked = end_all(user, but=request.session.session_key)
        request.session[HASH_SESSION_KEY] = locked.get_session_auth_hash()
        audit.record_everywhere(locked, "other_sessions_ended")


def end_all(user: User, but: str | None = None) -> User:
    """End every session of the person, also those that no list shows; return the person, locked. In a transaction.

    `but` keeps a session's row; it lives on once it shows the person's new hash.
    """
    # who decides meanwhile refers to the person while they hold a question, which `no_key` lets them
    locked = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    locked.epoch += 1
    locked.save(update_fields=["epoch"])
    ended = BrowserSession.objects.filter(user=locked).exclude(session=but or "")
    Session.objects.filter(session_key__in=list(ended.values_list("session", flat=True))).delete()
    ended.delete()
    return locked


def end(request: HttpRequest, user: User, session_id: UUID) -> None:
    """End one of the person's sessions; raises NotFound."""
    with transaction.atomic():
        one = BrowserSession.objects.filter(user=user, pk=session_id).first()
        if one is None:
            raise NotFound
        Session.objects.filter(session_key=one.session).delete()
        one.delete()
        audit.record_everywhere(user, "session_ended", device(one.agent))


def sweep() -> None:
    """Remove sessions that have ended, and their lines in people's lists; called by the workers' poll."""
    Session.objects.filter(expire_date__lt=timezone.now()).delete()
    BrowserSession.objects.exclude(session__in=Session.objects.values("session_key")).delete()


def device(agent: str) -> str:
    """Return a browser and a system by the names people know, as far as the browser says them."""
    browser = next((name for mark, name in _BROWSERS if f"{mark}/" in agent), "A browser")
    system = next((name for name in _SYSTEMS if name in agent), "")
    return f"{browser} on {system.replace('Mac OS X', 'macOS').replace('CrOS', 'ChromeOS')}" if system else browser
