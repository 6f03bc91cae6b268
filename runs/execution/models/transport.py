"""The wire under the providers' SDKs: httpx2's interface over one guarded, bounded aiohttp session.

The SDKs' own pools are quadratic in the number of open connections; aiohttp's is not. Reading the body whole also
lets us cap it, and keeps a broken connection apart from one that was never made.
"""

import aiohttp
import httpx2
from yarl import URL

from runs.execution.egress import Guard
from runs.execution.fetch import CONNECT_SECONDS, read_bounded, session_for

_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
# The body is handed on unpacked and whole, so these would be untrue.
_DROPPED = {"content-encoding", "content-length", "transfer-encoding"}


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Sends an SDK's requests through the guard. The caller bounds the time; retries and redirects are not followed."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._session: aiohttp.ClientSession | None = None
        self._checked: set[str] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the whole answer; raise httpx2's ConnectError or ReadError, or one of the guard's failures."""
        url = URL(str(request.url), encoded=True)
        if request.url.host not in self._checked:
            self._guard.check_url(url)
            self._checked.add(request.url.host)
        if self._session is None:
            self._session = session_for(self._guard)
        headers = {name: value for name, value in request.headers.items() if name != "host"}
        headers["accept-encoding"] = "identity"
        try:
            async with self._session.request(
                request.method,
                url,
                headers=headers,
                data=await request.aread() or None,
                allow_redirects=False,
                timeout=_TIMEOUT,
            ) as response:
                body = await read_bounded(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise httpx2.ConnectError(str(error), request=request) from error
        except (aiohttp.ClientError, OSError) as error:
            raise httpx2.ReadError(str(error) or type(error).__name__, request=request) from error
        kept = [(name, value) for name, value in response.headers.items() if name.lower() not in _DROPPED]
        return httpx2.Response(response.status, headers=kept, content=body, request=request)

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
