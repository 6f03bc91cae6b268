"""A small HTTP/1.1 server on 127.0.0.1 for tests: enough of the protocol to be told apart from nothing else."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit


class HangUp(Exception):
    """Close the connection without (the rest of) an answer."""


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.target).query).items()}

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Response:
    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    drip: float = 0.0
    cut: bool = False
    """`drip` is seconds between bytes; `cut` promises more bytes than come."""

    @classmethod
    def of(cls, value: Any, status: int = 200, **headers: str) -> "Response":
        named = tuple((name.replace("_", "-"), text) for name, text in headers.items())
        return cls(status, json.dumps(value).encode(), (("Content-Type", "application/json"), *named))

    async def write(self, writer: asyncio.StreamWriter, *, head: bool = False) -> None:
        length = len(self.body) + (100 if self.cut else 0)
        lines = [f"HTTP/1.1 {self.status} X", f"Content-Length: {length}", *(f"{n}: {v}" for n, v in self.headers)]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
        if head:
            pass
        elif self.drip:
            for byte in self.body:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(self.drip)
        else:
            writer.write(self.body)
        await writer.drain()
        if self.cut:
            raise HangUp


Handler = Callable[[Request], Awaitable[Response]]


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, target, headers, body)


async def serve(handler: Handler, port: int = 0) -> asyncio.Server:
    """Return a listening server; its port is in `sockets[0]`. One handler call per request, connections kept alive."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await read_request(reader)
                await (await handler(request)).write(writer, head=request.method == "HEAD")
        except (asyncio.IncompleteReadError, ConnectionError, HangUp):
            pass
        finally:
            writer.close()

    return await asyncio.start_server(connected, "127.0.0.1", port, limit=64 * 1024 * 1024, backlog=1024)


def port_of(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])
