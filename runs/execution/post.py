"""Hands an email over as EMAIL_URL says: to an SMTP server, printed, or kept as a file. Everything here blocks.

The one transport of the tool `email.send` and of notices, so that both fail alike and under the same names.
"""

import hashlib
import smtplib
import ssl
import sys
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import re2
from django.conf import settings

from runs.engine.facts import ErrorClass
from runs.execution.failures import AnswerLost, Failure, transient

CONNECT_SECONDS = 10.0
DEFAULT_SENDER = "baton@localhost"
_ADDRESS = re2.compile(r"^[!#-'*+\-./0-9=?A-Z^-~]{1,64}@[0-9A-Za-z](?:[0-9A-Za-z.-]*[0-9A-Za-z])?$")


def addressed(to: str, subject: str, key: str) -> EmailMessage:
    """Return a message without a body yet, from the operator's sender; its Message-ID follows from the key alone.

    A mailbox can so recognise what is sent again. Raise a `tool_error` Failure for an address or subject that could
    smuggle in a header.
    """
    to = to.strip()
    for name, value in (("to", to), ("subject", subject)):
        if any(ord(character) < 32 or ord(character) == 127 for character in value):
            raise _refused("header_injection", f"The {name} of the email contains a line break or control character.")
    if not _ADDRESS.match(to):
        raise _refused("bad_address", f"{to[:254]!r} is not one email address.")
    message = EmailMessage()
    message["From"] = parse_qs(urlsplit(settings.EMAIL_URL).query).get("from", [DEFAULT_SENDER])[0]
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = formatdate(usegmt=True)
    message["Message-ID"] = message_id(key)
    return message


def message_id(key: str) -> str:
    """Return the Message-ID of every sending under this key."""
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@baton>"


def deliver(message: EmailMessage, timeout: float = CONNECT_SECONDS) -> None:
    """Return once the message is handed over; `timeout` is the most seconds that the server may stay silent.

    Raise a Failure when it was not taken, transient if it may be later, and AnswerLost when the server fell silent
    after it had the message.
    """
    url = urlsplit(settings.EMAIL_URL)
    match url.scheme:
        case "console":
            _print(message)
        case "file":
            _keep(message, Path(unquote(url.path)))
        case _:
            _hand_over(message, url, min(timeout, CONNECT_SECONDS))


def _print(message: EmailMessage) -> None:
    line = "-" * 72
    sys.stdout.write(f"{line}\n{message}{line}\n")
    sys.stdout.flush()


def _keep(message: EmailMessage, folder: Path) -> None:
    """Write one file per Message-ID, so that a repeated sending overwrites itself."""
    folder.mkdir(parents=True, exist_ok=True)
    name = message["Message-ID"].strip("<>").partition("@")[0]
    draft = folder / f".{name}.tmp"
    draft.write_bytes(bytes(message))
    draft.replace(folder / f"{name}.eml")


def _hand_over(message: EmailMessage, url: SplitResult, timeout: float) -> None:
    offered = taken = False
    try:
        with _server(url, timeout) as server:
            if url.username:
                server.login(unquote(url.username), unquote(url.password or ""))
            offered = True
            server.send_message(message)
            taken = True
    except smtplib.SMTPRecipientsRefused as error:
        raise _not_for(str(message["To"]), error) from error
    except (OSError, smtplib.SMTPException) as error:
        if taken:  # whatever the server says to the goodbye, it has the message
            return
        if isinstance(error, smtplib.SMTPResponseException):
            raise _answered(error) from error
        if offered:
            raise AnswerLost(
                ErrorClass.TRANSIENT,
                "connection_lost",
                f"The mail server fell silent while it took the message: {error}",
            ) from error
        raise transient("cannot_connect", f"The mail server {url.hostname} cannot be reached: {error}") from error


def _server(url: SplitResult, timeout: float) -> smtplib.SMTP:
    host = url.hostname or "localhost"
    if url.scheme == "smtps":
        return smtplib.SMTP_SSL(host, url.port or 465, timeout=timeout, context=ssl.create_default_context())
    server = smtplib.SMTP(host, url.port or 25, timeout=timeout)
    if parse_qs(url.query).get("tls", [""])[0] == "1":
        server.starttls(context=ssl.create_default_context())
    return server


def _answered(error: smtplib.SMTPResponseException) -> Failure:
    said = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else str(error.smtp_error)
    message = f"The mail server answered {error.smtp_code}: {said}"
    if 400 <= error.smtp_code < 500:
        return transient(f"smtp_{error.smtp_code}", message)
    return _refused(f"smtp_{error.smtp_code}", message)


def _not_for(to: str, error: smtplib.SMTPRecipientsRefused) -> Failure:
    """A server that has not met the sender before may ask to come again (greylisting): that is no refusal."""
    codes = [code for code, _ in error.recipients.values()]
    message = f"The mail server refused {to}: {error.recipients}"
    if codes and all(400 <= code < 500 for code in codes):
        return transient(f"smtp_{codes[0]}", message)
    return _refused("recipient_refused", message)


def _refused(code: str, message: str) -> Failure:
    return Failure(ErrorClass.TOOL_ERROR, code, message)
