"""The email of a notice: plain text and simple HTML, with links to our own pages alone, which ask to sign in."""

import hashlib
from email.message import EmailMessage

from django.template.loader import render_to_string
from django.urls import reverse

from accounts.access import Actor
from approvals.inbox import risk
from approvals.words import plain
from notices import audience, digest, words
from notices.letters import Letter, Line
from notices.models import DIGEST, Notice
from runs.execution import post


def of(notice: Notice, reader: Actor) -> EmailMessage | None:
    """Return the email of a notice for its reader, or None when there is nothing to say any more."""
    if not audience.may_read(notice.approval, reader):
        return None
    letter = digest.letter(notice, reader) if notice.kind == DIGEST else _letter(notice, reader)
    return None if letter is None else _message(notice, letter, reader)


def _letter(notice: Notice, reader: Actor) -> Letter:
    return Letter(
        subject=notice.subject,
        quoted=words.unlinked(str(notice.data.get("said") or "")),
        lines=_facts(notice, reader),
        url=words.absolute(str(notice.data.get("place") or "/")),
    )


def _facts(notice: Notice, reader: Actor) -> tuple[Line, ...]:
    approval = notice.approval
    if approval is None:
        return ()
    danger = risk(approval)
    found = [Line("Risk", danger.word)] if danger else []
    if approval.state == approval.State.OPEN and approval.expires_at:
        found.append(Line("Due", words.moment(approval.expires_at, reader.user.tzinfo)))
    return tuple(found)


def _message(notice: Notice, letter: Letter, reader: Actor) -> EmailMessage:
    workspace = plain(reader.workspace.name, 60)
    message = post.addressed(reader.user.email, f"[{workspace}] {plain(letter.subject, 200)}", f"notice:{notice.key}")
    wishes = words.absolute(reverse("preferences"))
    message["List-Unsubscribe"] = f"<{wishes}>"
    message["Auto-Submitted"] = "auto-generated"
    if notice.approval_id:  # all that is told of one question stands together in a mailbox
        message["References"] = f"<{hashlib.sha256(str(notice.approval_id).encode()).hexdigest()[:32]}.thread@baton>"
    context = {
        "letter": letter,
        "subject": words.unlinked(plain(letter.subject, 200)),
        "workspace": words.unlinked(workspace),
        "wishes": wishes,
    }
    message.set_content(render_to_string("notices/mail.txt", context))
    message.add_alternative(render_to_string("notices/mail.html", context), subtype="html")
    return message
