"""The web server: Daphne, with bodies over the limit of their address refused while they arrive.

Daphne buffers a whole body before it calls the application, so `edge.cap_body` alone would come too late for 300 MB.
And it frames a text anew for each websocket it goes to; here what many hear is framed once.
"""

import gc
import os
from importlib import import_module
from typing import Any
from urllib.parse import unquote_to_bytes

from daphne.cli import CommandLineInterface  # first: it chooses Twisted's event loop

from daphne import http_protocol, ws_protocol  # isort: skip

from accounts import logins
from orchestrator_site import env
from orchestrator_site.edge import LARGEST_BODY, limit_for, too_large

DRAINED_BYTES = 16 * 1024 * 1024


class CappedRequest(http_protocol.WebRequest):  # type: ignore[misc] # Daphne is untyped
    """A request whose body is dropped, and answered with 413, once it is known to be over the limit."""

    _limit = LARGEST_BODY
    _received = 0
    _refused = False

    def gotLength(self, length: int | None) -> None:
        address, _, _ = self.channel._path.partition(b"?")  # the request learns its own only when all has arrived
        self._limit = limit_for(unquote_to_bytes(address).decode("latin-1"))
        announced = length or 0
        super().gotLength(0 if announced > self._limit else length)
        if announced > self._limit:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:
        self._received += len(data)
        if not self._refused and self._received > self._limit:
            self._refuse()
        if not self._refused:
            super().handleContentChunk(data)
        elif self._received > DRAINED_BYTES:
            self.channel.forceAbortClient()

    def process(self) -> Any:
        if self._refused:
            return self.channel.loseConnection()
        return super().process()

    def _refuse(self) -> None:
        """Answer at once, then drain a little: a client that only reads after sending shall see the answer."""
        self._refused = True
        body = too_large(self._limit)
        head = f"HTTP/1.1 413 Content Too Large\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        head += "X-Content-Type-Options: nosniff\r\n"
        self.channel.transport.write(f"{head}Connection: close\r\n\r\n".encode() + body)


class Websocket(ws_protocol.WebSocketProtocol):  # type: ignore[misc] # Daphne is untyped
    """A websocket that is sent the frame made for the one before it, when it is sent the very same text.

    So its frames may also be larger than what it takes from the other side.
    """

    def serverSend(self, content: str, binary: bool = False) -> None:
        if self.state != self.STATE_OPEN:
            return  # it is closing
        text, frame = getattr(self.factory, "last_sent", (None, None))
        if text is not content:
            frame = self.factory.prepareMessage(content.encode(), doNotCompress=True)
            self.factory.last_sent = content, frame
        self.sendPreparedMessage(frame)


def warm_up() -> None:
    """Load the application with all of its pages, and spare the collector what is there from then on.

    Going through all that was loaded in search of garbage takes a tenth of a second, in the middle of somebody's page.
    """
    gc.disable()
    try:
        import_module("orchestrator_site.asgi")
        import_module("orchestrator_site.urls")
        gc.collect()
        gc.freeze()
    finally:
        gc.enable()


def main() -> None:
    os.environ.setdefault("BATON_DATABASE_ROLE", "baton_web")
    warm_up()
    logins.name_process(logins.WEB_NAME)
    ws_protocol.WebSocketFactory.protocol = Websocket
    http_protocol.WebRequest = CappedRequest
    host, port = env.text("BATON_HOST", "127.0.0.1"), str(env.integer("PORT", 8000, 1, 65535))
    quiet = ["--verbosity", "0", "--no-server-name"]
    CommandLineInterface().run([*quiet, "--bind", host, "--port", port, "orchestrator_site.asgi:application"])


if __name__ == "__main__":
    main()
