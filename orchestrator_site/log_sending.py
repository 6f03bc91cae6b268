"""How log lines reach a log server elsewhere: over TLS, by a thread of their own, out of a queue that has an end.

Whoever logs only adds to the queue. What comes while it is full is dropped, counted and said on standard error. The
protocol has no receipts (RFC 5425): what was on its way when a connection broke may be lost, or arrive twice.
"""

import logging
import os
import socket
import ssl
import threading
import time
from collections import deque
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

log = logging.getLogger("baton.log_sending")

PORTS = {"syslogs": 6514, "syslog": 601}  # RFC 5425; RFC 3195 reserved the other, which RFC 6587 names
SCHEMES = tuple(PORTS)
MOST_BYTES = 8 * 1024 * 1024  # some twenty thousand lines
BATCH = 50
SECONDS = 5.0
LAST_SECONDS = 2.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
SAID_EVERY = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a log server listens, and whether it is spoken to over TLS."""

    host: str
    port: int
    sealed: bool

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def place(address: str) -> Place:
    """Return where an address leads; raise ImproperlyConfigured where it says more or less than a host and a port."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or PORTS[parts.scheme]
    except (ValueError, KeyError):
        host, port = None, 0
    if not host or f"{parts.scheme}://{parts.netloc}" != address.rstrip("/") or "@" in parts.netloc:
        raise ImproperlyConfigured("BATON_SYSLOG must be syslogs://host:port and nothing more.")
    return Place(host, port, parts.scheme == "syslogs")


def connect(to: Place) -> socket.socket:
    """Return a connection; raise OSError, or ValueError for a name that is none, within twice `SECONDS`.

    The certificate must be of an authority that the machine or `SSL_CERT_FILE` knows, for this host.
    """
    link = socket.create_connection((to.host, to.port), SECONDS)
    if not to.sealed:
        return link
    try:
        return ssl.create_default_context().wrap_socket(link, server_hostname=to.host)
    except BaseException:
        link.close()
        raise


def hang_up(link: socket.socket | None) -> None:
    """End a connection so that what was sent arrives: closing it with something unread would break it off."""
    if link is None:
        return
    with closing(link), suppress(OSError, ValueError):
        link.settimeout(LAST_SECONDS)
        if isinstance(link, ssl.SSLSocket):
            link.unwrap().close()


def _is_open(link: socket.socket) -> bool:
    """Say whether the other side still listens. It has nothing to say, so that what there is to read is its end."""
    link.settimeout(0)
    try:
        return link.recv(1024) != b""
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False
    finally:
        link.settimeout(SECONDS)


class Sender:
    """Sends frames in their order, for as long as its process lives; a process that is forked off begins anew.

    `dropped` counts what the queue had no room for, `away` says why the last try failed.
    """

    def __init__(self, to: Place) -> None:
        self.to = to
        self.dropped = 0
        self.away = ""
        self._said = (0, 0.0)  # how many were dropped when that was last said, and when
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._changed = threading.Condition()
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._ending = False
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        return len(self._frames)

    def add(self, frame: bytes) -> None:
        """Have a frame sent, or drop it where too much waits already. Waits for nobody."""
        with self._changed:
            if self._ending or self._bytes + len(frame) > MOST_BYTES:
                self.dropped += 1
                return
            self._frames.append(frame)
            self._bytes += len(frame)
            self._changed.notify()
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name="log sending", daemon=True)
                thread.start()  # where a process may have no more threads, the next line tries again
                self._thread = thread

    def end(self) -> None:
        """Send what waits, for two seconds at most and not to a log server that is away; then take nothing more."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(LAST_SECONDS)
        if self.waiting:
            self._say(f"was not sent the last {self.waiting:,} log lines of this process.")

    def _run(self) -> None:
        link: socket.socket | None = None
        pause = FIRST_PAUSE
        while batch := self._batch():
            try:
                if link is None or not _is_open(link):
                    hang_up(link)
                    link = None
                    link = connect(self.to)
                link.sendall(b"".join(batch))
            except (OSError, ValueError) as error:
                hang_up(link)
                link = None
                self._failed(error)
                if not self._rest(pause):
                    return
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                self._took(batch)
                pause = FIRST_PAUSE
        hang_up(link)

    def _batch(self) -> list[bytes]:
        """Wait for frames and return the oldest, which stay in the queue until they are taken; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._ending)
            return list(islice(self._frames, BATCH))

    def _rest(self, seconds: float) -> bool:
        """Wait before the next try; return whether there shall be one."""
        with self._changed:
            return not self._changed.wait_for(lambda: self._ending, seconds)

    def _took(self, batch: list[bytes]) -> None:
        with self._changed:
            for _ in batch:
                self._bytes -= len(self._frames.popleft())
        if self.away:
            self.away = ""
            self._say(f"takes log lines again; {self.dropped:,} were dropped since this process began.")
        elif self.dropped > self._said[0] and self._is_time():
            self._say(f"is too slow for the log lines: {self.dropped:,} were dropped since this process began.")

    def _failed(self, error: Exception) -> None:
        is_new, self.away = not self.away, f"{type(error).__name__}: {error}"
        if is_new or self._is_time():
            self._say(f"takes no log lines ({self.away}); {self.waiting:,} wait, {self.dropped:,} were dropped.")

    def _is_time(self) -> bool:
        return time.monotonic() - self._said[1] >= SAID_EVERY

    def _say(self, what: str) -> None:
        self._said = (self.dropped, time.monotonic())
        log.warning("The log server %s %s", self.to, what)
