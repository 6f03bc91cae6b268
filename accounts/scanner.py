"""Files of others are searched for malware before they are kept, by a clamd that the operator names.

It is spoken to as clamd(8) says, over a unix socket or TCP, which has no TLS. Where it is not there, nothing is taken.
"""

import json
import logging
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from hashlib import sha256
from threading import BoundedSemaphore
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings

from accounts import audit
from accounts.access import Actor
from accounts.errors import Invalid, Refused

log = logging.getLogger("baton.scanner")

PORT = 3310
SECONDS, SECONDS_IN_ALL = 5.0, 20.0
_PART = 64 * 1024
_LONGEST_ANSWER = 1_024
AT_ONCE, TURN_SECONDS = 4, 1.0
"""Whoever waits for the scanner holds a connection to the database, and a web server has few of those."""
MOST_APART, SHORTEST_APART = 50, 64
_turns = BoundedSemaphore(AT_ONCE)
_FOUND = re.compile(r"stream: (.+) FOUND")


class Infected(Invalid):
    code = "malware_found"


class NotScanned(Refused):
    """Nobody can say whether the file is harmless."""

    code, status, retry_after = "not_scanned", 503, 30

    def __init__(self) -> None:
        super().__init__(
            "Files are searched for malware here, and the scanner did not say what is in this one. Try again later; "
            "the operator's log says more."
        )


def check(actor: Actor, name: str, content: bytes) -> None:
    """Return for a file that may be kept, or sent to somebody; without a scanner for every file.

    Raise Infected for one in which the scanner found something, written into the audit log whatever becomes of the
    request; NotScanned where it does not say. Takes up to 20 s, so ask before anything is locked.
    """
    if not settings.SCANNER:
        return
    answer = _answered(content)
    if answer == "stream: OK":
        return
    if (found := _FOUND.fullmatch(answer)) is None:
        log.warning("The scanner of files did not look at one: %s", answer)
        raise NotScanned
    signature = found[1][:200]
    told = {"signature": signature, "sha256": sha256(content).hexdigest()}
    audit.record_anyway(actor.workspace, actor.user, "file.refused", name, told)
    log.warning("The scanner of files found %s in what %s brought as %s", signature, actor.user.email, name)
    raise Infected(f"{name} holds malware, says the scanner of files: {signature}. It was neither kept nor sent on.")


def check_text(actor: Actor, name: str, text: str) -> None:
    """As `check`, of a text."""
    check(actor, name, text.encode("utf-8", "surrogatepass"))


def check_json(actor: Actor, name: str, value: Any) -> None:
    """As `check`, of what came as JSON: as a file would have it, and its texts as they are without their escapes. Of a
    file's beginning the scanner may know more than of its middle, so the longest texts are looked at each by itself."""
    if not settings.SCANNER:
        return
    check_text(actor, name, json.dumps(value, ensure_ascii=False))
    texts = sorted(set(_texts(value)), key=len, reverse=True)
    for text in (*(text for text in texts[:MOST_APART] if len(text) >= SHORTEST_APART), "\n".join(texts)):
        check_text(actor, name, text)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from value
        yield from _texts(list(value.values()))
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def version() -> str:
    """Return what the scanner says of itself and its signatures; raise OSError where it says nothing."""
    return _ask(b"zVERSION\0", None)


def _answered(content: bytes) -> str:
    if not _turns.acquire(timeout=TURN_SECONDS):
        log.warning("The scanner of files has %d to look at already.", AT_ONCE)
        raise NotScanned
    try:
        return _ask(b"zINSTREAM\0", content)
    except (OSError, ValueError) as error:
        log.warning("The scanner of files does not answer: %s: %s", type(error).__name__, error)
        raise NotScanned from error
    finally:
        _turns.release()


def _ask(command: bytes, content: bytes | None) -> str:
    """Return the answer to a command: without its NUL, in characters that may stand in a log."""
    ends = time.monotonic() + SECONDS_IN_ALL
    with closing(_connected()) as link:
        link.sendall(command)
        if content is not None:
            for start in range(0, len(content), _PART):
                part = content[start : start + _PART]
                _bound(link, ends)
                link.sendall(len(part).to_bytes(4, "big") + part)
            link.sendall(bytes(4))
        answer = b""
        while not answer.endswith(b"\0") and len(answer) < _LONGEST_ANSWER:
            _bound(link, ends)
            if not (read := link.recv(_LONGEST_ANSWER)):
                break
            answer += read
    if not answer.endswith(b"\0"):
        raise ConnectionError(f"it broke off after {len(answer)} bytes")
    return "".join(filter(str.isprintable, answer.decode("utf-8", "replace")))


def _bound(link: socket.socket, ends: float) -> None:
    if (left := ends - time.monotonic()) <= 0:
        raise TimeoutError(f"it took more than {SECONDS_IN_ALL:g} s")
    link.settimeout(left)


def _connected() -> socket.socket:
    place = urlsplit(settings.SCANNER)
    if place.scheme == "tcp":
        return socket.create_connection((place.hostname or "", place.port or PORT), SECONDS)
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(SECONDS)
    try:
        link.connect(unquote(place.path))
    except BaseException:
        link.close()
        raise
    return link
