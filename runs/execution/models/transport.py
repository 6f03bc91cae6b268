"""The wire under the providers' SDKs: httpx2's interface over one guarded, bounded aiohttp session.

The SDKs' own pools are quadratic in the number of open connections; aiohttp's is not. Reading the body whole also
lets us cap it, and keeps a broken connection apart from one that was never made.
"""

import asyncio
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass

import aiohttp
import httpx2
from yarl import URL

from runs.execution.egress import Guard
from runs.execution.fetch import CONNECT_SECONDS, read_bounded, session_for

_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
# The body is handed on unpacked and whole, so these would be untrue.
_DROPPED = {"content-encoding", "content-length", "transfer-encoding"}


MAY_LEAVE: ContextVar[asyncio.Event] = ContextVar("may_leave")
"""What a request waits for before it is sent. Libraries stand between who knows it and who sends."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came, its body whole and unpacked."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def to(self, request: httpx2.Request) -> httpx2.Response:
        """Return the answer to this request as the SDKs take it."""
        kept = [(name, value) for name, value in self.headers.items() if name.lower() not in _DROPPED]
        return httpx2.Response(self.status, headers=kept, content=self.body, request=request)


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Sends an SDK's requests through the guard. The caller bounds the time; retries and redirects are not followed."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._session: aiohttp.ClientSession | None = None
        self._checked: set[str | None] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the whole answer; raise httpx2's ConnectError or ReadError, or one of the guard's failures."""
        headers = {name: value for name, value in request.headers.items() if name != "host"}
        try:
            reply = await self.send(
                request.method, URL(str(request.url), encoded=True), headers, await request.aread() or None
            )
        except httpx2.RequestError as error:
            error.request = request
            raise
        return reply.to(request)

    async def send(self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None) -> Reply:
        """Send a request whose headers have lower-case names and no `host`. Raise as `handle_async_request` does."""
        if url.host not in self._checked:
            self._guard.check_url(url)
            self._checked.add(url.host)
        if self._session is None:
            self._session = session_for(self._guard)
        await MAY_LEAVE.get().wait()
        try:
            async with self._session.request(
                method,
                url,
                headers={**headers, "accept-encoding": "identity"},
                data=body,
                allow_redirects=False,
                timeout=_TIMEOUT,
            ) as response:
                return Reply(response.status, response.headers, await read_bounded(response))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise httpx2.ConnectError(str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise httpx2.ReadError(str(error) or type(error).__name__) from error

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
