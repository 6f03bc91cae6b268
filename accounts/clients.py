"""Who counts as one client by where a request came from, for limits on what nobody has signed in for."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

_Address = IPv4Address | IPv6Address
_V6_SITE = 64
"""Bits of an IPv6 address that a network is given; the rest are its own to change with every call."""


def client_of(request: HttpRequest) -> str:
    """Return the client: an IPv4 address, or the /64 of an IPv6 one; "" where the server knows none.

    `X-Forwarded-For` is believed as far back as it was written by proxies of `BATON_TRUSTED_PROXIES`.
    """
    forwarded = request.headers.get("X-Forwarded-For", "").split(",")
    hops = [request.META.get("REMOTE_ADDR") or "", *reversed(forwarded)]
    found = _first_untrusted(hops)
    if isinstance(found, IPv6Address):
        return str(ip_network((found, _V6_SITE), strict=False))
    return str(found or "")


def _first_untrusted(hops: Iterable[str]) -> _Address | None:
    """Return the nearest hop that is no proxy of ours, or the last that can be read."""
    found = None
    for hop in hops:
        address = _read(hop)
        if address is None:
            break
        found = address
        if not any(address in network for network in settings.TRUSTED_PROXIES):
            break
    return found


def _read(hop: str) -> _Address | None:
    try:
        address = ip_address(hop.strip())
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
