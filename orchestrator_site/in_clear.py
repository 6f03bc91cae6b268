"""Which addresses of services would be spoken to in the clear, and what has their certificates checked elsewhere.

What stays on this machine may, and what the operator vouches for: hosts on a network that nobody else is on.
"""

import os
import ssl
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from pipelines.graph.hosts import is_among, is_this_machine

_STAYS_HERE = ("unix", "redis+socket", "file", "console")
_SEVERAL = "CELERY_BROKER_URL"
_ADVICE = {
    "postgres": "say sslmode=verify-full in it (and sslrootcert=system where a public authority signed)",
    "postgresql": "say sslmode=verify-full in it (and sslrootcert=system where a public authority signed)",
    "redis": "begin it with rediss://",
    "rediss": "leave ssl_cert_reqs and ssl_check_hostname as they are",
    "amqp": "begin it with amqps://",
    "amqps": "leave ssl_cert_reqs and ssl_check_hostname as they are",
    "smtp": "begin it with smtps:// or say tls=1 in it",
    "http": "begin it with https://",
}


def refuse(addresses: Mapping[str, str], vouched: Sequence[str]) -> None:
    """Raise ImproperlyConfigured for the first setting whose address goes elsewhere without TLS, or with one that does
    not check who answers."""
    for setting, listed in addresses.items():
        for address in filter(None, _each(setting, listed)):
            open_to = [host for host in _hosts(address) if not _is_safe(host, vouched)]
            if open_to and not _is_sealed(address):
                scheme = urlsplit(address).scheme
                raise ImproperlyConfigured(
                    f"{setting} leads to {open_to[0]} without TLS that checks who answers: "
                    f"{_ADVICE.get(scheme, 'choose one with TLS')}, or name {open_to[0]} in BATON_PRIVATE_NETWORK if "
                    f"nobody else is on the way to it."
                )


def _each(setting: str, listed: str) -> list[str]:
    """Return the addresses of a setting: Celery takes several brokers, which are spoken to as the first is."""
    found = listed.split(";") if setting == _SEVERAL else [listed]
    schemes = {urlsplit(address).scheme for address in found if address}
    if len(schemes) > 1:
        said = " and ".join(sorted(schemes))
        raise ImproperlyConfigured(
            f"{setting} mixes {said}, which are not spoken to alike: begin all its addresses alike."
        )
    return found


def refuse_listening(host: str, vouched: Sequence[str]) -> None:
    """Raise ImproperlyConfigured for an address at which the web, which has no TLS of its own, answers others."""
    if not _is_safe(host, vouched):
        raise ImproperlyConfigured(
            f"BATON_HOST is {host}, where the web would answer other machines in the clear: listen on 127.0.0.1 behind "
            f"a proxy with TLS, or name {host} in BATON_PRIVATE_NETWORK if nobody but the proxy reaches it there."
        )


def broker_tls(address: str) -> dict[str, Any]:
    """Return how Celery shall speak TLS to a broker: by itself it takes any certificate, or one for any host."""
    match urlsplit(address).scheme:
        case "rediss":
            return {"ssl_cert_reqs": ssl.CERT_REQUIRED}
        case "amqps":
            return {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None}  # None stands for the address's host
    return {}


def _is_safe(host: str, vouched: Iterable[str]) -> bool:
    """Say whether what goes to this host stays on the machine, or on a network that the operator vouches for."""
    return not host or host.startswith(("/", "@")) or is_this_machine(host) or is_among(host, vouched)


def _hosts(address: str) -> list[str]:
    """Return where an address leads to; a database's may name several, sockets among them."""
    parts = urlsplit(address)
    if parts.scheme in _STAYS_HERE:
        return []
    if not parts.scheme.startswith("postgres"):
        return [unquote(parts.hostname or "")]
    query = parse_qs(parts.query)
    named = unquote(parts.hostname or "") or query.get("host", [""])[-1] or os.environ.get("PGHOST", "")
    services = [*query.get("service", []), os.environ.get("PGSERVICE", "")]  # a file says where they are
    straight = [*query.get("hostaddr", []), os.environ.get("PGHOSTADDR", "")]
    return [*named.split(","), *services, *(host for listed in straight for host in listed.split(","))]


def _is_sealed(address: str) -> bool:
    parts = urlsplit(address)
    # What is said twice in different words is read in different ways.
    query = {name: values[0] if len(set(values)) == 1 else "" for name, values in parse_qs(parts.query).items()}
    match parts.scheme:
        case "postgres" | "postgresql":
            return query.get("sslmode") == "verify-full"  # require believes any certificate, prefer goes without
        case "rediss" | "amqps":
            asked = query.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
            return asked == "required" and query.get("ssl_check_hostname", "true").lower() == "true"
        case "smtp":
            return query.get("tls") == "1"
    return parts.scheme in ("smtps", "https")
