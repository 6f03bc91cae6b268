"""email.send@1: one plain-text message, printed, kept as a file or handed to an SMTP server, as EMAIL_URL says."""

import asyncio
import hashlib
import smtplib
import ssl
import sys
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import re2
from django.conf import settings

from pipelines.graph.model import Json
from runs.engine.facts import ErrorClass
from runs.execution.context import ToolCall
from runs.execution.failures import AnswerLost, Failure, transient

CONNECT_SECONDS = 10.0
DEFAULT_SENDER = "baton@localhost"
_ADDRESS = re2.compile(r"^[!#-'*+\-./0-9=?A-Z^-~]{1,64}@[0-9A-Za-z](?:[0-9A-Za-z.-]*[0-9A-Za-z])?$")


async def send(args: Mapping[str, Json], call: ToolCall) -> Json:
    """Return {message_id, to} once the message is handed over.

    The Message-ID follows from the idempotency key, so that a mailbox can recognise a repeated message. Raise a
    `tool_error` Failure for addresses and headers that cannot be, and AnswerLost when the server fell silent after it
    had the message.
    """
    url = urlsplit(settings.EMAIL_URL)
    message = _message(args, call, url)
    match url.scheme:
        case "console":
            await asyncio.to_thread(_print, message)
        case "file":
            await asyncio.to_thread(_keep, message, Path(unquote(url.path)))
        case _:
            await asyncio.to_thread(_hand_over, message, url, min(call.timeout, CONNECT_SECONDS))
    return {"message_id": message["Message-ID"], "to": message["To"]}


def message_id(idempotency_key: str) -> str:
    """Return the Message-ID of every sending under this key."""
    return f"<{hashlib.sha256(idempotency_key.encode()).hexdigest()[:32]}@baton>"


def _message(args: Mapping[str, Json], call: ToolCall, url: SplitResult) -> EmailMessage:
    to, subject = str(args["to"]).strip(), str(args["subject"])
    for name, value in (("to", to), ("subject", subject)):
        if any(ord(character) < 32 or ord(character) == 127 for character in value):
            raise _refused("header_injection", f"The {name} of the email contains a line break or control character.")
    if not _ADDRESS.match(to):
        raise _refused("bad_address", f"{to[:254]!r} is not one email address.")
    message = EmailMessage()
    message["From"] = parse_qs(url.query).get("from", [DEFAULT_SENDER])[0]
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = formatdate(usegmt=True)
    message["Message-ID"] = message_id(call.idempotency_key)
    message.set_content(str(args["body"]))
    return message


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
    handed_over = False
    try:
        with _server(url, timeout) as server:
            if url.username:
                server.login(unquote(url.username), unquote(url.password or ""))
            handed_over = True
            server.send_message(message)
            handed_over = False
    except smtplib.SMTPRecipientsRefused as error:
        raise _refused("recipient_refused", f"The mail server refused {message['To']}: {error.recipients}") from error
    except smtplib.SMTPResponseException as error:
        raise _answered(error) from error
    except (OSError, smtplib.SMTPException) as error:
        if handed_over:
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


def _refused(code: str, message: str) -> Failure:
    return Failure(ErrorClass.TOOL_ERROR, code, message)
