"""Sends the letters that let people in: invitations, and links for a new password. A worker's, like all mail.

Whether an email is known is found out here, and not while somebody waits for an answer to a form.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage

from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from accounts import invitations, passwords
from accounts.models import Letter
from approvals.words import plain
from notices import words
from runs.engine.facts import ErrorClass
from runs.execution import post
from runs.execution.failures import AnswerLost, Failure

log = logging.getLogger("baton.notices")

CLAIM = timedelta(seconds=120)
MOST, TRIES = 20, 6
BACKOFF = (30, 120, 600, 1_800, 3_600)  # seconds after each try
KEPT = timedelta(days=7)


def send_due(is_ending: Callable[[], bool] = lambda: False) -> int:
    """Send what is due, until the process ends, and return how many were tried."""
    Letter.objects.filter(created_at__lt=timezone.now() - KEPT).delete()
    tried = 0
    while tried < MOST and not is_ending() and (letter := _claim()):
        tried += 1
        _send(letter)
    return tried


def _claim() -> Letter | None:
    with transaction.atomic():
        due = Letter.objects.filter(state=Letter.State.WAITING, next_at__lte=timezone.now())
        letter = due.select_for_update(skip_locked=True).order_by("next_at").first()
        if letter is not None:
            letter.tries += 1
            letter.next_at = timezone.now() + CLAIM
            letter.save(update_fields=["tries", "next_at"])
    return letter


def _send(letter: Letter) -> None:
    try:
        message = _invitation(letter) if letter.kind == Letter.Kind.INVITATION else _password(letter)
        if message is not None:
            post.deliver(message)
        _end(letter, Letter.State.SENT if message is not None else Letter.State.DROPPED)
    except Failure as failure:
        again = failure.error.cls == ErrorClass.TRANSIENT or isinstance(failure, AnswerLost)
        if again and letter.tries < TRIES:
            later = timezone.now() + timedelta(seconds=BACKOFF[letter.tries - 1])
            Letter.objects.filter(pk=letter.pk).update(next_at=later)
            return
        log.warning("A letter was given up after %d tries: %s", letter.tries, plain(failure.error.message, 300))
        _end(letter, Letter.State.DEAD)


def _end(letter: Letter, state: Letter.State) -> None:
    Letter.objects.filter(pk=letter.pk).update(state=state)


def _invitation(letter: Letter) -> EmailMessage | None:
    made = letter.invitation
    if made is None or made.is_over or made.accepted_at or made.withdrawn_at:
        return None
    workspace = words.unlinked(plain(made.workspace.name, 60))
    host = words.unlinked(plain(str(made.invited_by), 80))
    context = {
        "said": f"{host} invites you to {workspace} as {', '.join(made.roles)}.",
        "action": "Look at the invitation",
        "url": words.absolute(reverse("invitation", args=[made.pk, invitations.mark_of(made)])),
        "note": f"It holds until {made.expires_at:%d %B %Y}. If you do not know them, do nothing.",
    }
    return _message(letter, f"Your invitation to {plain(made.workspace.name, 60)}", context)


def _password(letter: Letter) -> EmailMessage | None:
    user = passwords.receiver(letter.email)
    if user is None:
        return None
    context = {
        "said": "Somebody, perhaps you, asked for a new password for this email.",
        "action": "Choose a new password",
        "url": words.absolute(reverse("new-password", args=[user.pk, passwords.token_of(user)])),
        "note": "The link holds for ten minutes and works once. If it was not you, do nothing: nothing has changed.",
    }
    return _message(letter, "A new password for Baton", context)


def _message(letter: Letter, subject: str, context: dict[str, str]) -> EmailMessage:
    message = post.addressed(letter.email, subject, f"letter:{letter.pk}")
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(render_to_string("accounts/letter.txt", context))
    message.add_alternative(render_to_string("accounts/letter.html", context), subtype="html")
    return message
