"""The wire under the MCP client: every request through the egress guard, all of a session within bounds.

The client turns what goes wrong here into answers of its own, so the wire remembers the first failure and whether the
call itself was sent: only that tells an outage before it from an answer that was lost.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import httpx2
import orjson
from yarl import URL

from runs.engine.facts import ErrorClass
from runs.execution.egress import Guard
from runs.execution.failures import AnswerLost, Failure, transient
from runs.execution.fetch import CONNECT_SECONDS, MAX_BYTES, session_for
from runs.execution.statuses import seconds_after

MOST_REQUESTS = 60
GOODBYE_SECONDS = 2.0
CALL = "tools/call"
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
_DROPPED = {"content-encoding", "content-length", "transfer-encoding"}


@dataclass(slots=True, eq=False)
class Wire(httpx2.AsyncBaseTransport):
    """Sends one session's requests. `failure` is the first thing that went wrong, `called` that the call is out.

    `status` is what the newest question was answered with, and `retry_after` when it may be asked again; `bytes_left`
    counts over all answers of the session.
    """

    guard: Guard
    host: str
    failure: Failure | None = None
    called: bool = False
    status: int = 200
    retry_after: float | None = None
    requests: int = 0
    bytes_left: int = MAX_BYTES
    session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the answer, its body still to be read; raise httpx2's ConnectError or ReadError."""
        if request.method == "GET":  # what a server wants to say on its own is nothing that we wait for
            return httpx2.Response(405, request=request)
        self.requests += 1
        if self.requests > MOST_REQUESTS:
            self.note(Failure(ErrorClass.TOOL_ERROR, "too_many_requests", f"{self.host} led on too often."))
            raise httpx2.ReadError("too many requests", request=request)
        body = await request.aread()
        is_call = _method_of(body) == CALL
        response = await self._sent(request, body, is_call=is_call)
        if request.method == "POST":  # a goodbye's answer says nothing of what was asked before
            self.status, self.retry_after = response.status, seconds_after(response.headers)
        headers = [(name, value) for name, value in response.headers.items() if name.lower() not in _DROPPED]
        return httpx2.Response(response.status, headers=headers, stream=_Body(self, response), request=request)

    async def _sent(self, request: httpx2.Request, body: bytes, *, is_call: bool) -> aiohttp.ClientResponse:
        url = URL(str(request.url), encoded=True)
        headers = {name: value for name, value in request.headers.items() if name != "host"}
        headers["accept-encoding"] = "identity"
        is_goodbye = request.method == "DELETE"
        timeout = aiohttp.ClientTimeout(total=GOODBYE_SECONDS) if is_goodbye else _TIMEOUT
        try:
            self.guard.check_url(url)
            if self.session is None:
                self.session = session_for(self.guard)
            response = await self.session.request(
                request.method, url, headers=headers, data=body or None, allow_redirects=False, timeout=timeout
            )
        except Failure as refused:
            self.note(refused)
            raise httpx2.ConnectError(str(refused), request=request) from refused
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            self.note(transient("cannot_connect", f"{self.host} cannot be reached: {error}."))
            raise httpx2.ConnectError(str(error), request=request) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self.called = self.called or is_call
            if not is_goodbye:
                self.note(self.broken(error))
            raise httpx2.ReadError(str(error) or type(error).__name__, request=request) from error
        self.called = self.called or is_call
        return response

    def broken(self, error: Exception) -> Failure:
        """Return what an answer that broke off means: lost once the call is out, else an outage."""
        why = f"The connection to {self.host} broke before the answer came: {error or type(error).__name__}."
        if self.called:
            return AnswerLost(ErrorClass.TRANSIENT, "connection_lost", why)
        return transient("connection_lost", why)

    def too_large(self) -> Failure:
        why = f"{self.host} sent more than the {MAX_BYTES:,} bytes Baton reads."
        if self.called:
            return AnswerLost(ErrorClass.TOOL_ERROR, "too_large", why)
        return Failure(ErrorClass.TOOL_ERROR, "too_large", why)

    def note(self, failure: Failure) -> None:
        """Remember a failure, if it is the first."""
        self.failure = self.failure or failure

    async def aclose(self) -> None:
        if self.session is not None:
            await self.session.close()
            self.session = None


class _Body(httpx2.AsyncByteStream):
    """An answer as it comes, within what the session may still read."""

    def __init__(self, wire: Wire, response: aiohttp.ClientResponse) -> None:
        self._wire, self._response = wire, response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        encoding = self._response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            why = f"The answer is packed as {encoding[:40]!r}."
            raise self._ended(AnswerLost(ErrorClass.TOOL_ERROR, "unknown_encoding", why))
        try:
            async for chunk in self._response.content.iter_any():
                self._wire.bytes_left -= len(chunk)
                if self._wire.bytes_left < 0:
                    raise self._ended(self._wire.too_large())
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise self._ended(self._wire.broken(error)) from error

    def _ended(self, failure: Failure) -> httpx2.ReadError:
        self._wire.note(failure)
        self._response.close()
        return httpx2.ReadError(str(failure))

    async def aclose(self) -> None:
        self._response.close()


def _method_of(body: bytes) -> str:
    try:
        message = orjson.loads(body) if body else {}
    except orjson.JSONDecodeError:
        return ""
    return str(message.get("method", "")) if isinstance(message, dict) else ""
