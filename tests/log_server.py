"""A log server on loopback: takes frames of RFC 5425 over TLS, or in the clear, and keeps what they said."""

import json
import re
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tests.authority import Issued
from tests.conftest import free_port, wait_for

_HEAD = re.compile(r"<(\d+)>1 (\S+) (\S+) (\S+) (\d+) (\S+) - ")


@dataclass(frozen=True)
class Line:
    """A message as its head has it, and the object behind it."""

    priority: int
    at: str
    host: str
    name: str
    process: int
    logger: str
    said: dict[str, Any]


class LogServer:
    """Listens between `start` and `stop`, at the same port each time."""

    def __init__(self, own: Issued | None) -> None:
        self.port = free_port()
        self.lines: list[Line] = []
        self.refused = threading.Event()  # a handshake came to nothing
        self._context = None if own is None else ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if own is not None and self._context is not None:
            self._context.load_cert_chain(own.certificate, own.key)
        self._links: list[socket.socket] = []
        self._listening: socket.socket | None = None

    @property
    def address(self) -> str:
        return f"{'syslogs' if self._context else 'syslog'}://localhost:{self.port}"

    def start(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def stop(self) -> None:
        """Go away in the middle of everything."""
        for link in [self._listening, *self._links]:
            if link is not None:
                _cut(link)
        self._listening = None
        self._links.clear()

    def wait_for(self, many: int) -> list[dict[str, Any]]:
        """Return what the first lines said once there are so many."""
        wait_for(lambda: len(self.lines) >= many, 10, lambda: f"{len(self.lines)} of {many} lines came")
        return [line.said for line in self.lines]

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                link, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=self._take, args=(link,), daemon=True).start()

    def _take(self, link: socket.socket) -> None:
        try:
            link = self._context.wrap_socket(link, server_side=True) if self._context else link
        except OSError:
            self.refused.set()
            return
        self._links.append(link)
        with suppress(OSError, ValueError), link, link.makefile("rb") as read:
            while (length := _length(read)) and len(message := read.read(length)) == length:
                self.lines.append(_parsed(message))


def _length(read: Any) -> int:
    digits = b""
    while (one := read.read(1)) not in (b"", b" "):
        digits += one
    return int(digits or 0)


def _parsed(message: bytes) -> Line:
    head = _HEAD.match(text := message.decode("ascii"))
    assert head, text
    assert len(message) <= 8_192
    priority, at, host, name, process, logger = head.groups()
    return Line(int(priority), at, host, name, int(process), logger, json.loads(text[head.end() :]))


def _cut(link: socket.socket) -> None:
    with suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)
    link.close()
