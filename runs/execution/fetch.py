"""One guarded HTTP exchange: each hop checked, every size and the redirects bounded, no proxy, no cookies."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from runs.engine.facts import ErrorClass
from runs.execution.egress import EgressRefused, Guard, GuardedResolver
from runs.execution.failures import AnswerLost, Failure, transient

MAX_BYTES = 5 * 1024 * 1024
MAX_REDIRECTS = 5
CONNECT_SECONDS = 10.0
_CHUNK = 64 * 1024
_REDIRECTS = {301, 302, 303, 307, 308}
# Set by us or by the wire; a caller's own value could smuggle a second request or another host.
_RESERVED = {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"}
# What may follow a redirect to another origin: nothing that could be a credential.
_HARMLESS = {"accept", "accept-language", "user-agent", "accept-encoding"}
_ZLIB_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request. `headers` are the caller's; `follow` allows redirects, which only safe methods should have."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None
    follow: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    url: str


def session_for(guard: Guard, limit: int = 0) -> aiohttp.ClientSession:
    """Return a session whose every connection the guard checks; `limit` 0 is no limit on connections."""
    connector = aiohttp.TCPConnector(resolver=GuardedResolver(guard), limit=limit, ttl_dns_cache=10)
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=False
    )


async def fetch(guard: Guard, exchange: Exchange) -> Answer:
    """Return the answer, whatever its status; the caller bounds the time.

    Raise EgressRefused, a config Failure for a request that cannot be sent, a transient one when it was not sent, and
    AnswerLost when it was sent and the answer did not come whole.
    """
    url, headers = _checked_url(exchange.url), _checked_headers(exchange.headers)
    async with session_for(guard) as session:
        guard.check_url(url)
        for _ in range(MAX_REDIRECTS + 1):
            answer = await _hop(session, exchange, url, headers)
            target = answer.headers.get("Location")
            if not exchange.follow or answer.status not in _REDIRECTS or not target:
                return answer
            onward = _joined(url, target)
            guard.check_url(onward)
            if onward.origin() != url.origin():
                headers = CIMultiDict((name, value) for name, value in headers.items() if name.lower() in _HARMLESS)
            url = onward
    raise Failure(
        ErrorClass.TOOL_ERROR, "too_many_redirects", f"{exchange.url} redirects more than {MAX_REDIRECTS} times."
    )


async def read_bounded(response: aiohttp.ClientResponse, most: int = MAX_BYTES) -> bytes:
    """Return the decoded body; raise an AnswerLost `too_large` once it, or what it unpacks to, passes `most` bytes."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        decoder = None
    elif encoding in _ZLIB_BITS:
        decoder = zlib.decompressobj(_ZLIB_BITS[encoding])
    else:
        raise AnswerLost(ErrorClass.TOOL_ERROR, "unknown_encoding", f"The answer is packed as {encoding[:40]!r}.")
    body = bytearray()
    try:
        async for chunk in response.content.iter_chunked(_CHUNK):
            body += decoder.decompress(chunk, most + 1 - len(body)) if decoder else chunk
            if len(body) > most:
                raise AnswerLost(
                    ErrorClass.TOOL_ERROR, "too_large", f"The answer is larger than the {most:,} bytes Baton reads."
                )
    except zlib.error as error:
        raise AnswerLost(
            ErrorClass.TOOL_ERROR, "broken_encoding", f"The answer cannot be unpacked: {error}."
        ) from error
    return bytes(body)


async def _hop(session: aiohttp.ClientSession, exchange: Exchange, url: URL, headers: CIMultiDict[str]) -> Answer:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
    try:
        async with session.request(
            exchange.method, url, headers=headers, data=exchange.body, allow_redirects=False, timeout=timeout
        ) as response:
            return Answer(response.status, response.headers, await read_bounded(response), str(url))
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise transient("cannot_connect", f"{url.host} cannot be reached: {error}.") from error
    except aiohttp.InvalidURL as error:
        raise EgressRefused(str(url)[:200], "the address is not valid") from error
    except (aiohttp.ClientError, OSError) as error:
        raise AnswerLost(
            ErrorClass.TRANSIENT,
            "connection_lost",
            f"The connection to {url.host} broke before the answer came: {error}.",
        ) from error


def _checked_url(text: str) -> URL:
    if any(ord(character) < 33 or ord(character) == 127 for character in text):
        raise EgressRefused(ascii(text)[:200], "the address contains white space or control characters")
    try:
        return URL(text)
    except ValueError as error:
        raise EgressRefused(text[:200], f"the address is not valid ({error})") from error


def _joined(url: URL, target: str) -> URL:
    try:
        return url.join(_checked_url(target))
    except ValueError as error:
        raise EgressRefused(target[:200], f"the redirect is not valid ({error})") from error


def _checked_headers(given: Mapping[str, str]) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in given.items():
        if name.lower() in _RESERVED:
            raise Failure(
                ErrorClass.CONFIG, "reserved_header", f"The header {name} is set by Baton itself; leave it out."
            )
        if any(ord(character) < 32 or ord(character) == 127 for character in f"{name}{value}"):
            raise Failure(ErrorClass.CONFIG, "bad_header", f"The header {name[:64]!r} contains a control character.")
        headers.add(name, value)
    headers.setdefault("User-Agent", "Baton")
    # An answer that is not packed cannot be a decompression bomb; one that is packed anyway is unpacked within bounds.
    headers["Accept-Encoding"] = "identity"
    return headers
