"""Many cheap websockets in one process: they take the server's frames apart and nothing else.

A library would take longer to read a frame than Baton to send it, and what is measured would be the library.
"""

import asyncio
import base64
import os
import time
from collections.abc import Callable
from urllib.parse import urlsplit

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
SWITCHED = b"HTTP/1.1 101"
LONG, LONGER = 126, 127  # instead of a length: it follows, in two or in eight bytes

Heard = Callable[[bytes], None]


class Page(asyncio.Protocol):
    """One websocket: calls `heard` with the bytes of each message. Use `opened`."""

    def __init__(self, request: bytes, heard: Heard) -> None:
        self.entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._request = request
        self._heard = heard
        self._rest = b""
        self._code = 1006  # no goodbye
        self.heard_at = time.monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.heard_at = time.monotonic()
        self._rest += data
        if not self.entered.done() and not self._enter():
            return
        while (frame := _frame_in(self._rest)) is not None:
            kind, body, taken = frame
            self._rest = self._rest[taken:]
            self._take(kind, body)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.entered.done():
            self.entered.set_exception(ConnectionError("the server closed the socket at the door"))
        if not self.closed.done():
            self.closed.set_result(self._code)

    def close(self) -> None:
        self._transport.abort()

    def _enter(self) -> bool:
        head, found, rest = self._rest.partition(b"\r\n\r\n")
        if not found:
            return False
        self._rest = rest
        if not head.startswith(SWITCHED):
            self._transport.abort()
            return False
        self.entered.set_result(None)
        return True

    def _take(self, kind: int, body: bytes) -> None:
        if kind == TEXT:
            self._heard(body)
        elif kind == PING:
            self._say(PONG, body)
        elif kind == CLOSE:
            self._code = int.from_bytes(body[:2], "big")
            self._say(CLOSE, body[:2])
            self._transport.close()

    def _say(self, kind: int, body: bytes) -> None:
        """Send a small frame, masked with zeros: the protocol asks for a mask, and nobody listens in here."""
        self._transport.write(bytes([0x80 | kind, 0x80 | len(body), 0, 0, 0, 0]) + body)


def _frame_in(data: bytes) -> tuple[int, bytes, int] | None:
    """Return the kind, the body and the length of the whole frame that these bytes begin with; None for a part of one.

    The server neither masks nor divides its frames.
    """
    if len(data) < 2:
        return None
    at = 2 + {LONG: 2, LONGER: 8}.get(data[1], 0)
    size = int.from_bytes(data[2:at], "big") if at > 2 else data[1]
    whole = at + size
    return (data[0] & 0x0F, data[at:whole], whole) if len(data) >= whole else None


async def opened(url: str, headers: dict[str, str], heard: Heard) -> Page:
    """Open a websocket; return when the server has let it in. Raises OSError when it is not let in."""
    parts = urlsplit(url)
    own = {
        "Host": parts.netloc,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in (own | headers).items())
    request = f"GET {parts.path}?{parts.query} HTTP/1.1\r\n{lines}\r\n".encode()
    loop = asyncio.get_running_loop()
    _, page = await loop.create_connection(lambda: Page(request, heard), parts.hostname, parts.port)
    await page.entered
    return page
