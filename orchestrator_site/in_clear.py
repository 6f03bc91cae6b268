"""Which addresses of services would be spoken to in the clear, and what has their certificates checked elsewhere.

What stays on this machine may, and what the operator vouches for: hosts on a network that nobody else is on.
"""

import os
import ssl
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

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
    "syslog": "begin it with syslogs://",
    "tcp": "have it listen on this machine, at a unix:// socket",
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


def broker(listed: str) -> tuple[str, dict[str, Any]]:
    """Return the broker's addresses as Celery shall read them, and how it shall speak TLS to them.

    By itself it takes any certificate, or one for any host, and fails at what an `amqps://` address says of TLS.
    Raises ImproperlyConfigured where that cannot be meant.
    """
    match urlsplit(listed).scheme:
        case "rediss":
            return listed, {"ssl_cert_reqs": ssl.CERT_REQUIRED}
        case "amqps":
            parted = [_parted(address) for address in listed.split(";")]
            if any(asked != parted[0][1] for _, asked in parted):
                raise ImproperlyConfigured(f"{_SEVERAL} must say the same of TLS in all its addresses.")
            return ";".join(address for address, _ in parted), _amqps_tls(parted[0][1])
    return listed, {}


_DEMANDS = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}
_FILES = {"ssl_ca_certs": "ca_certs", "ssl_certfile": "certfile", "ssl_keyfile": "keyfile"}
_WORDS = (*_FILES, "ssl_cert_reqs", "ssl_check_hostname")


def _parted(address: str) -> tuple[str, dict[str, str]]:
    """Return an address without what it says of TLS, and that."""
    parts = urlsplit(address)
    said = dict(parse_qsl(parts.query))
    asked = {name: said.pop(name) for name in list(said) if name.startswith("ssl_")}
    return urlunsplit(parts._replace(query=urlencode(said))), asked


def _amqps_tls(asked: Mapping[str, str]) -> dict[str, Any]:
    demand = asked.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    unknown = [*sorted(asked.keys() - set(_WORDS)), *([] if demand in _DEMANDS else [f"ssl_cert_reqs={demand}"])]
    if unknown:
        raise ImproperlyConfigured(
            f"{_SEVERAL} says {unknown[0]}. Of TLS it may say {', '.join(_WORDS)}; ssl_cert_reqs is required, optional "
            "or none."
        )
    tls: dict[str, Any] = {word: asked[name] for name, word in _FILES.items() if name in asked}
    tls["cert_reqs"] = _DEMANDS[demand]
    if demand == "required" and asked.get("ssl_check_hostname", "true").lower() != "false":
        tls["server_hostname"] = None  # stands for the address's host
    return tls


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
    return parts.scheme in ("smtps", "https", "syslogs")
