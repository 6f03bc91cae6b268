"""Lists of hosts, as agents and secrets have them: a name, an address, or `*.` and a domain for all below it."""

import ipaddress
from collections.abc import Iterable

import re2

MOST_HOSTS = 50
_HOST = re2.compile(r"^(\*\.)?[a-z0-9]([a-z0-9._-]{0,250}[a-z0-9])?$|^\[?[0-9a-f]*:[0-9a-f:.]*:[0-9a-f:.]*\]?$")


def is_host(entry: str) -> bool:
    """Say whether an entry can stand in a list of hosts: lower case, without scheme, port or path."""
    return bool(_HOST.match(entry))


def is_this_machine(host: str) -> bool:
    """Say whether a host, as it is written, is the machine itself."""
    plain = host.lower().rstrip(".").strip("[]")
    if plain == "localhost" or plain.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(plain).is_loopback
    except ValueError:
        return False


def is_among(host: str, entries: Iterable[str]) -> bool:
    """Say whether a host is one of those listed, or below one that begins with `*.`."""
    plain = _plain(host)
    return any(plain.endswith(entry[1:]) if entry.startswith("*.") else plain == _plain(entry) for entry in entries)


def _plain(host: str) -> str:
    """Return a host in one of the ways to write it: an address of IPv6 has many."""
    bare = host.lower().rstrip(".").strip("[]")
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        return bare
