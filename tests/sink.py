"""A process that counts effects from outside: an HTTP endpoint and a mail server on loopback.

`python -m tests.sink HTTP_PORT SMTP_PORT` (0: any) prints {"http": port, "smtp": port} and then serves:
  anything but /admin  counts as an effect, answered {"ok": true}; /lose counts and hangs up; /fail?status=503 answers
                       so once per idempotency key and then succeeds; /big?bytes=N, /gzip?bytes=N, /redirect?to=URL,
                       /loop, /wait?seconds=N; /status?code=N&after=TEXT answers so, with that Retry-After;
                       /echo?code=N sends headers and target back, spelled in three ways
  GET  /admin/effects  [{"method", "path", "headers", "body", "key"}]   ·   GET /admin/mails  [{"to", "id", "text"}]
  POST /admin/reset
Mail to refuse@… is refused with 550, to later@… with 451; mail to silent@… is counted and never acknowledged;
after mail to rude@… the goodbye is answered with 421.
"""

import asyncio
import base64
import gzip
import json
import re
import sys
from typing import Any
from urllib.parse import quote

from tests.loopback import HangUp, Request, Response, port_of, serve

KEY_HEADER = "idempotency-key"


class Sink:
    """The two servers and what reached them."""

    def __init__(self, http_port: int = 0, smtp_port: int = 0) -> None:
        self._ports = http_port, smtp_port
        self._servers: list[asyncio.Server] = []
        self.effects: list[dict[str, Any]] = []
        self.mails: list[dict[str, str]] = []
        self._failed: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{port_of(self._servers[0])}"

    @property
    def smtp_port(self) -> int:
        return port_of(self._servers[1])

    async def __aenter__(self) -> "Sink":
        http, smtp = self._ports
        self._servers = [
            await serve(self._http, http),
            await asyncio.start_server(self._smtp, "127.0.0.1", smtp),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()

    async def _http(self, request: Request) -> Response:
        match request.path:
            case "/admin/effects":
                return Response.of(self.effects)
            case "/admin/mails":
                return Response.of(self.mails)
            case "/admin/reset":
                self.effects.clear()
                self.mails.clear()
                self._failed.clear()
                return Response.of({})
        key = request.headers.get(KEY_HEADER, "")
        if request.path == "/fail" and key not in self._failed:
            self._failed.add(key)
            return Response.of({"error": "later"}, int(request.query.get("status", 503)), Retry_After="2")
        self.effects.append(
            {
                "method": request.method,
                "path": request.path,
                "headers": request.headers,
                "body": request.body.decode("utf-8", "replace"),
                "key": key,
            }
        )
        await asyncio.sleep(float(request.query.get("seconds", 0)))
        return self._answer(request)

    def _answer(self, request: Request) -> Response:
        size = int(request.query.get("bytes", 0))
        match request.path:
            case "/lose":
                raise HangUp
            case "/big":
                return Response(200, b"x" * size)
            case "/gzip":
                return Response(200, gzip.compress(b"\0" * size), (("Content-Encoding", "gzip"),))
            case "/redirect":
                return Response(302, b"", (("Location", request.query["to"]),))
            case "/loop":
                return Response(302, b"", (("Location", "/loop"),))
            case "/echo":
                said = json.dumps({**request.headers, "target": request.target})
                spelled = {"url": quote(said, safe=""), "base64": base64.b64encode(said.encode()).decode()}
                return Response.of(spelled | {"raw": said}, int(request.query.get("code", 200)))
            case "/status":
                after = {"Retry_After": request.query["after"]} if "after" in request.query else {}
                return Response.of({"status": request.query["code"]}, int(request.query["code"]), **after)
        return Response.of({"ok": True})

    async def _smtp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._converse(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, HangUp):
            pass
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())

        say("220 sink")
        to = ""
        while line := (await reader.readline()).decode().strip():
            verb = line[:4].upper()
            if verb == "RCPT":
                to = line.partition("<")[2].partition(">")[0]
                say({"refuse": "550 no such person", "later": "451 come later"}.get(to.partition("@")[0], "250 ok"))
            elif verb == "DATA":
                say("354 go on")
                text = (await reader.readuntil(b"\r\n.\r\n")).decode("utf-8", "replace")
                found = re.search(r"(?im)^message-id: *(\S+)", text)
                self.mails.append({"to": to, "id": found.group(1) if found else "", "text": text})
                if to.startswith("silent@"):
                    raise HangUp
                say("250 taken")
            elif verb == "QUIT":
                say("421 busy" if to.startswith("rude@") else "221 bye")
                break
            else:
                say("250 ok")
        await writer.drain()


async def _forever(http_port: int, smtp_port: int) -> None:
    async with Sink(http_port, smtp_port) as sink:
        print(json.dumps({"http": int(sink.url.rpartition(":")[2]), "smtp": sink.smtp_port}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    given = [int(value) for value in sys.argv[1:3]]
    asyncio.run(_forever(*[*given, 0, 0][:2]))
