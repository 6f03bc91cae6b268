"""Our own calls to what the operator named (single sign-on, heads of the audit): through the egress guard."""

import functools
import ipaddress
import socket
import time
from typing import Any

import requests
from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NewConnectionError
from yarl import URL

from accounts.single_sign_on import Admission
from runs.execution.egress import EgressRefused, Guard, operators_guard

SECONDS, SECONDS_IN_ALL = 5.0, 10.0
MOST_BYTES = 512 * 1024
MOST_REDIRECTS = 3


class SocialAdapter(Admission):
    """Lets allauth call the provider that the operator named, public addresses, and nothing else."""

    def get_requests_session(self) -> requests.Session:
        return guarded_session(settings.OIDC_ISSUER)


def guarded_session(address: str) -> requests.Session:
    """Return what asks an address that the operator named, in short time and for little, and else only public ones."""
    guard = operators_guard(address)
    session = requests.Session()
    session.trust_env = False  # no proxy and no .netrc of the machine
    session.headers["Accept-Encoding"] = "identity"  # nothing to unpack
    session.max_redirects = MOST_REDIRECTS
    session.adapters.clear()
    for scheme in ("https://",) if address.startswith("https:") else ("http://", "https://"):
        session.mount(scheme, GuardedAdapter(guard))  # no redirect leads to any other
    session.request = functools.partial(session.request, timeout=SECONDS)  # type: ignore[method-assign]
    return session


class GuardedAdapter(HTTPAdapter):
    """Refuses, as a connection that failed, whatever the guard refuses."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": _pool(HTTPConnectionPool, HTTPConnection, self._guard),
            "https": _pool(HTTPSConnectionPool, HTTPSConnection, self._guard),
        }

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        try:
            self._guard.check_url(URL(request.url or ""))
        except EgressRefused as refused:
            raise requests.ConnectionError(refused.error.message, request=request) from refused
        answer = super().send(request, *args, **{**kwargs, "stream": True})
        answer._content = _read(answer, request)
        return answer


def _read(answer: requests.Response, request: requests.PreparedRequest) -> bytes:
    """Return the body; raise ConnectionError for one that is packed, too long, or longer on its way than is waited."""
    ends, found = time.monotonic() + SECONDS_IN_ALL, bytearray()
    packed = answer.headers.get("Content-Encoding", "identity") != "identity"
    try:
        while not packed and len(found) <= MOST_BYTES and time.monotonic() < ends:
            part = answer.raw.read1(64 * 1024, decode_content=False)
            if not part:
                return bytes(found)
            found += part
    except (HTTPError, OSError) as error:
        raise requests.ConnectionError(f"The answer broke off: {type(error).__name__}", request=request) from error
    finally:
        answer.close()
    raise requests.ConnectionError("The answer is packed, too long, or takes too long.", request=request)


def _pool(pool: type[HTTPConnectionPool], connection: type[HTTPConnection], guard: Guard) -> type[HTTPConnectionPool]:
    class Guarded(connection):  # type: ignore[misc, valid-type]
        _dns_host: str

        def _new_conn(self) -> socket.socket:
            """Connect to an address that the guard has seen: the name is not asked for again."""
            name = self._dns_host
            self._dns_host = _address(self, guard, name)
            try:
                return super()._new_conn()  # type: ignore[no-any-return]
            finally:
                self._dns_host = name  # the certificate is the name's

    return type(f"Guarded{pool.__name__}", (pool,), {"ConnectionCls": Guarded})


def _address(connection: HTTPConnection, guard: Guard, name: str) -> str:
    try:
        found = socket.getaddrinfo(name.strip("[]"), connection.port, type=socket.SOCK_STREAM)
        addresses = [str(info[4][0]) for info in found]
        guard.check(name, [ipaddress.ip_address(address.partition("%")[0]) for address in addresses])
    except EgressRefused as refused:
        raise NewConnectionError(connection, refused.error.message) from refused
    except OSError as error:
        raise NewConnectionError(connection, f"The name {name} was not found: {error}") from error
    return addresses[0]
