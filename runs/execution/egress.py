"""Where outgoing connections may lead: our own deny table, the operator's allow list, and a resolver that obeys both.

`ipaddress.is_global` and its kin are not enough: they call NAT64, 6to4 and v4-compatible forms of 127.0.0.1 global.
Every address that a name resolves to must pass, and the connection goes to exactly those addresses.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from aiohttp.abc import AbstractResolver, ResolveResult
from django.conf import settings
from yarl import URL

from pipelines.graph.hosts import is_among, is_this_machine
from runs.engine.facts import ErrorClass
from runs.execution.failures import Failure, transient

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_DENIED_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and some clouds' metadata
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, and most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_DENIED_V6 = tuple(ipaddress.IPv6Network(n) for n in ("2001::/23", "2001:db8::/32", "3fff::/20"))
# Where a server of one's own may stand. Link-local is none of it, nor are the addresses at which clouds hand out keys.
_PRIVATE = tuple(
    map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"),
    )
)
_METADATA = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "fd00:ec2::254", "fd20:ce::254")))
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
_TEREDO = ipaddress.IPv6Network("2001::/32")
_LOW_32 = 0xFFFFFFFF


class EgressRefused(Failure):
    """The guard does not let a connection go there; nothing was sent."""

    def __init__(self, host: str, why: str, setting: str = "BATON_EGRESS_ALLOW") -> None:
        super().__init__(
            ErrorClass.CONFIG,
            "egress_refused",
            f"Baton does not connect to {host}: {why}. An operator can allow it with {setting}.",
        )


def is_denied(address: Address) -> bool:
    """Say whether an address is anything but an ordinary public one, looking inside every form that wraps IPv4."""
    if isinstance(address, ipaddress.IPv4Address):
        return any(address in network for network in _DENIED_V4)
    if wrapped := wrapped_in(address):
        return any(is_denied(inner) for inner in wrapped)
    return address not in _GLOBAL_V6 or any(address in network for network in _DENIED_V6)


def is_private(address: Address) -> bool:
    """Say whether an address is of this machine or a private network, where a trusted server may stand."""
    forms = wrapped_in(address) or (address,)
    return all(form not in _METADATA and any(form in network for network in _PRIVATE) for form in forms)


def wrapped_in(address: Address) -> tuple[ipaddress.IPv4Address, ...]:
    """Return the IPv4 addresses a mapped, NAT64, 6to4 or Teredo address carries; empty for any other."""
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    number = int(address)
    if address in _MAPPED or address in _NAT64:
        return (ipaddress.IPv4Address(number & _LOW_32),)
    if address in _SIX_TO_FOUR:
        return (ipaddress.IPv4Address(number >> 80 & _LOW_32),)
    if address in _TEREDO:
        return ipaddress.IPv4Address(number >> 64 & _LOW_32), ipaddress.IPv4Address(~number & _LOW_32)
    return ()


@dataclass(frozen=True)
class Guard:
    """What one kind of caller may reach: everything public, and the hosts and networks listed.

    `trusted` is a host that may stand in a private network as well. `only` (an agent's) and `reach` (the operator's),
    where they are not empty, narrow all that to the hosts they list.
    """

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()
    only: tuple[str, ...] = ()
    trusted: str = ""
    reach: tuple[str, ...] = ()

    @classmethod
    def allowing(cls, entries: Iterable[str]) -> "Guard":
        """Return a guard that lets these hosts, addresses and CIDRs through besides the public ones."""
        hosts: set[str] = set()
        networks: list[Network] = []
        for entry in entries:
            try:
                networks.append(ipaddress.ip_network(entry.strip("[]"), strict=False))
            except ValueError:
                hosts.add(entry.lower().rstrip("."))
        return cls(frozenset(hosts), tuple(networks))

    def check_url(self, url: URL) -> None:
        """Raise EgressRefused for a scheme, a user name in it, or a literal address that may not be reached."""
        host = url.raw_host
        if url.scheme not in ("http", "https") or not host:
            raise EgressRefused(url.human_repr()[:200], "only http:// and https:// addresses with a host are served")
        if settings.PRODUCTION and url.scheme == "http" and not _may_be_clear(host):
            raise EgressRefused(host, "http:// goes in the clear", "BATON_PRIVATE_NETWORK")
        if self.reach and not is_among(host, self.reach):
            raise EgressRefused(host, "it is not among the hosts that BATON_EGRESS_ONLY lists", "BATON_EGRESS_ONLY")
        if self.only and not is_among(host, self.only):
            raise Failure(
                ErrorClass.DENIED,
                "egress_not_granted",
                f"This agent may not reach {host}. It may reach {', '.join(self.only[:10])}.",
            )
        if url.user or url.password:
            raise EgressRefused(host, "the address carries a user name or password")
        try:
            literal = ipaddress.ip_address(host)
        except ValueError:
            return
        self.check(host, [literal])

    def check(self, host: str, addresses: Iterable[Address]) -> None:
        """Raise EgressRefused unless the host is listed or every address is public or listed."""
        name = host.lower().rstrip(".")
        if name in self.hosts:
            return
        for address in addresses:
            may_stand_there = name == self.trusted and is_private(address)
            if is_denied(address) and not may_stand_there and not self._is_listed(address):
                raise EgressRefused(host, f"it leads to {address}, which is not a public address")

    def _is_listed(self, address: Address) -> bool:
        forms: tuple[Address, ...] = (address, *wrapped_in(address))
        return any(form in network for form in forms for network in self.networks if form.version == network.version)


def _may_be_clear(host: str) -> bool:
    return is_this_machine(host) or is_among(host, settings.PRIVATE_NETWORK)


@lru_cache(maxsize=8)
def _guard_of(entries: tuple[str, ...], reach: tuple[str, ...] = ()) -> Guard:
    return replace(Guard.allowing(entries), reach=reach)


def tool_guard(only: tuple[str, ...] = ()) -> Guard:
    """Return the guard for tools: public addresses and the operator's BATON_EGRESS_ALLOW, of them those in `only`.

    Of all that, what BATON_EGRESS_ONLY lists where it lists anything.
    """
    guard = _guard_of(tuple(settings.EGRESS_ALLOW), tuple(settings.EGRESS_ONLY))
    return replace(guard, only=only) if only else guard


def connection_guard(base_url: str, trusted: bool) -> Guard:
    """Return the guard for a model connection; a trusted one may also reach the host it names in a private network."""
    return _trusting(tool_guard(), base_url if trusted else "")


def operators_guard(address: str) -> Guard:
    """Return the guard for an address that a setting names: its host need be neither public nor listed."""
    return _trusting(_guard_of(tuple(settings.EGRESS_ALLOW)), address)


def _trusting(guard: Guard, address: str) -> Guard:
    named = URL(address).raw_host if address else None
    return replace(guard, trusted=named.lower().rstrip(".")) if named else guard


class GuardedResolver(AbstractResolver):
    """Resolves a name once and hands out its addresses only when the guard lets all of them through."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses to connect to; raise EgressRefused, or a transient Failure for an unknown name."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        except (OSError, UnicodeError) as error:
            raise transient("name_not_found", f"The name {host} was not found: {error}.") from error
        self._guard.check(host, [ipaddress.ip_address(info[4][0]) for info in found])
        return [
            ResolveResult(
                hostname=host,
                host=str(sockaddr[0]),
                port=port,
                family=kind,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, proto, _, sockaddr in found
        ]

    async def close(self) -> None:
        """Hold nothing open."""
