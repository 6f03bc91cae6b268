"""The ASGI edge: bodies that are too large and websockets from foreign pages are refused before Django sees them."""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from accounts import socket_token

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[..., Awaitable[None]]

MEGABYTE = 1024 * 1024
BODY_LIMIT = 2 * MEGABYTE
IMPORT_LIMIT = 5 * MEGABYTE
REPORT_LIMIT = 64 * 1024
IMPORT_PATHS = ("/api/v1/imports", "/new/import")
REPORT_PATHS = ("/csp-reports",)
LARGEST_BODY = max(BODY_LIMIT, IMPORT_LIMIT)
LONGEST_LENGTH = 20  # digits; more of them are far beyond any limit, and slow to read
FOREIGN_PAGE = 4403
DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


class BodyTooLarge(Exception):
    """More bytes arrived than the address takes."""


def limit_for(path: str) -> int:
    """Return how many bytes a request to this path may carry."""
    for limit, paths in ((IMPORT_LIMIT, IMPORT_PATHS), (REPORT_LIMIT, REPORT_PATHS)):
        if any(path == known or path.startswith(f"{known}/") for known in paths):
            return limit
    return BODY_LIMIT


def too_large(limit: int) -> bytes:
    """Return the body of the 413 answer, in the API's shape of errors."""
    most = f"{limit // MEGABYTE} MB" if limit >= MEGABYTE else f"{limit // 1024} KB"
    message = f"The request is larger than {most}, the most this address takes. Send less at once."
    return json.dumps({"code": "too_large", "message": message, "where": None}).encode()


def cap_body(application: Application) -> Application:
    """Answer 413 to a body over the limit: at once when its length is announced, else when it passes the limit."""

    async def capped(scope: Message, receive: Receive, send: Send) -> None:
        limit = limit_for(scope["path"])
        if _announced(scope) > limit:
            await _refuse(send, limit)
            return
        answering = False

        async def counted_send(message: Message) -> None:
            nonlocal answering
            answering = True
            await send(message)

        try:
            await application(scope, _counting(receive, limit), counted_send)
        except BodyTooLarge:
            if answering:
                raise
            await _refuse(send, limit)

    return capped


def _counting(receive: Receive, limit: int) -> Receive:
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise BodyTooLarge
        return message

    return counted


def _header(scope: Message, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


def _announced(scope: Message) -> int:
    length = _header(scope, b"content-length") or ""
    return int(length[:LONGEST_LENGTH]) if length.isdecimal() else 0


async def _refuse(send: Send, limit: int) -> None:
    body = too_large(limit)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def check_origin(application: Application) -> Application:
    """Close a websocket that a foreign page opens, or that comes in the clear where HTTPS is asked for.

    A browser sends our cookie along whoever asks. A program sends no Origin and no cookie: it shows a token, in a
    header.
    """

    async def checked(scope: Message, receive: Receive, send: Send) -> None:
        if _is_ours(scope) and not (settings.SECURE_SSL_REDIRECT and _is_clear(scope)):
            await application(scope, receive, send)
            return
        await receive()  # websocket.connect
        await send({"type": "websocket.close", "code": FOREIGN_PAGE})

    return checked


def _is_ours(scope: Message) -> bool:
    origin = _header(scope, b"origin")
    if origin is None:
        return bool(socket_token.shown(scope))
    asked = _address(origin)
    host = _header(scope, b"host") or ""
    # A proxy may end TLS, so the Host header is read with the scheme the page itself was loaded with.
    ours = {_address(settings.BASE_URL), _address(f"{urlsplit(origin).scheme}://{host}")}
    return asked is not None and asked in ours


def _is_clear(scope: Message) -> bool:
    """Say whether no TLS was on the way, as Django asks it of the proxy's header."""
    said = (_header(scope, b"x-forwarded-proto") or "").split(",")[0].strip()
    return said != "https"


def _address(url: str) -> tuple[str, int] | None:
    """Return host and port of a URL; None when it has none (`Origin: null`, a bad port)."""
    parts = urlsplit(url)
    try:
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname and port else None
