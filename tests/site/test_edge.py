"""What the ASGI edge refuses before Django sees it."""

import json
from typing import Any

import pytest

from orchestrator_site import edge


class Recorder:
    """Plays server and application: feeds body parts, counts what was read, keeps what was sent."""

    def __init__(self, parts: list[bytes], headers: list[tuple[bytes, bytes]], path: str = "/api/v1/pipelines") -> None:
        self.scope = {"type": "http", "path": path, "headers": headers, "query_string": b""}
        self.parts = parts
        self.read = 0
        self.application_ended = False
        self.sent: list[Any] = []

    async def receive(self) -> dict[str, Any]:
        part = self.parts[self.read]
        self.read += 1
        return {"type": "http.request", "body": part, "more_body": self.read < len(self.parts)}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass
        self.application_ended = True
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def run(self) -> int:
        await edge.cap_body(self.application)(self.scope, self.receive, self.send)
        return int(self.sent[0]["status"])


MEGABYTE = b"x" * edge.MEGABYTE


async def test_a_body_within_the_limit_passes() -> None:
    played = Recorder([MEGABYTE, MEGABYTE], [])
    assert await played.run() == 200
    assert played.application_ended


async def test_an_announced_body_over_the_limit_is_refused_unread() -> None:
    played = Recorder([MEGABYTE] * 300, [(b"content-length", str(300 * edge.MEGABYTE).encode())])
    assert await played.run() == 413
    assert played.read == 0
    error = json.loads(played.sent[1]["body"])
    assert error["code"] == "too_large"
    assert (b"x-content-type-options", b"nosniff") in played.sent[0]["headers"]
    assert "2 MB" in error["message"]
    assert error["where"] is None


@pytest.mark.parametrize("length", ["", "-1", "abc", "\u00b2", "9" * 5_000])
async def test_a_length_that_is_none_is_not_believed(length: str) -> None:
    played = Recorder([MEGABYTE] * 3, [(b"content-length", length.encode("latin-1"))])
    assert await played.run() == 413
    assert not played.application_ended


async def test_a_body_of_unknown_length_is_refused_where_it_passes_the_limit() -> None:
    played = Recorder([MEGABYTE] * 300, [])
    assert await played.run() == 413
    assert played.read == 3
    assert not played.application_ended


@pytest.mark.parametrize(
    ("path", "parts", "status"),
    [
        ("/api/v1/imports", 5, 200),
        ("/api/v1/imports", 6, 413),
        ("/api/v1/importsx", 3, 413),
        ("/new/import/", 5, 200),
        ("/imports", 3, 413),
    ],
)
async def test_only_imports_may_carry_five_megabytes(path: str, parts: int, status: int) -> None:
    assert await Recorder([MEGABYTE] * parts, [], path).run() == status


async def opens(headers: dict[str, str], query: str = "", subprotocols: tuple[str, ...] = ()) -> bool:
    """Tell whether a websocket with these headers reaches the application."""
    reached: list[bool] = []
    sent: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        reached.append(True)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "websocket", "path": "/ws/runs/1", "headers": raw, "query_string": query.encode()}
    scope["subprotocols"] = list(subprotocols)
    await edge.check_origin(application)(scope, receive, send)
    assert bool(reached) != (sent == [{"type": "websocket.close", "code": edge.FOREIGN_PAGE}])
    return bool(reached)


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("http://localhost:8000", "localhost:8000", True),
        ("https://baton.example", "baton.example", True),
        ("https://baton.example", "baton.example:443", True),
        ("https://baton.example", "10.0.0.7:8000", True),  # a proxy that rewrites Host; the base URL is the page's
        ("https://evil.example", "localhost:8000", False),
        ("http://localhost:8001", "localhost:8000", False),
        ("https://baton.example.evil.example", "baton.example", False),
        ("https://baton.example@evil.example", "baton.example", False),
        ("null", "localhost:8000", False),
        ("http://localhost:port", "localhost:8000", False),
        ("", "localhost:8000", False),
    ],
)
async def test_a_page_may_open_a_socket_only_to_its_own_host(
    settings: Any, origin: str, host: str, allowed: bool
) -> None:
    settings.BASE_URL = "https://baton.example"
    assert await opens({"Origin": origin, "Host": host}) is allowed


@pytest.mark.parametrize(
    ("headers", "subprotocols", "allowed"),
    [
        ({"Authorization": "Bearer abc"}, (), True),
        ({"Authorization": "Bearer "}, (), False),
        ({"Authorization": "Basic abc"}, (), False),
        ({}, ("baton", "baton.token.abc"), True),
        ({}, ("baton.token.abc",), True),
        ({}, ("baton", "baton.token."), False),
        ({}, ("baton",), False),
        ({}, ("graphql-ws", "token.abc"), False),
        ({"Cookie": "sessionid=abc"}, (), False),
    ],
)
async def test_a_program_without_an_origin_must_show_a_token(
    headers: dict[str, str], subprotocols: tuple[str, ...], allowed: bool
) -> None:
    assert await opens({"Host": "localhost:8000", **headers}, subprotocols=subprotocols) is allowed


@pytest.mark.parametrize(
    ("said", "allowed"),
    [("https", True), ("https, http", True), ("http", False), ("http, https", False), (None, False)],
)
async def test_where_https_is_asked_for_no_socket_opens_in_the_clear(
    settings: Any, said: str | None, allowed: bool
) -> None:
    settings.SECURE_SSL_REDIRECT = True
    proxys = {"X-Forwarded-Proto": said} if said else {}
    for shown in ({"Authorization": "Bearer abc"}, {"Origin": "https://baton.example"}):
        assert await opens({"Host": "baton.example", **shown, **proxys}) is allowed


async def test_a_token_in_the_address_is_none() -> None:
    assert not await opens({"Host": "localhost:8000"}, "after=3&token=abc")
