"""Every environment variable Baton reads, each with a typed reader that refuses a bad value at start."""

import os
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from pipelines.graph.hosts import is_host


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, "").strip() or default


def integer(name: str, default: int, least: int, most: int) -> int:
    """Return a whole number within [least, most]; refuse anything else with a sentence naming the variable."""
    raw = text(name)
    if not raw:
        return default
    try:
        value = int(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number, not {raw!r}.") from None
    if not least <= value <= most:
        raise ImproperlyConfigured(f"{name} must be between {least} and {most}, not {value}.")
    return value


def choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    value = text(name, default)
    if value not in choices:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(choices)}, not {value!r}.")
    return value


def items(name: str) -> list[str]:
    """Return a comma-separated list without blanks."""
    return [part.strip() for part in text(name).split(",") if part.strip()]


def pairs(name: str, listed: list[str]) -> dict[str, str]:
    """Return `key=value` items as a mapping, percent-decoded; refuse anything else without repeating it."""
    found = [item.partition("=") for item in listed]
    if any(not key.strip() or not equals for key, equals, _ in found):
        raise ImproperlyConfigured(f"{name} must be key=value pairs, separated by commas.")
    return {unquote(key.strip()): unquote(value.strip()) for key, _, value in found}


def url(name: str, default: str, schemes: tuple[str, ...]) -> str:
    value = text(name, default)
    if value and not value.startswith(tuple(f"{scheme}:" for scheme in schemes)):
        raise ImproperlyConfigured(f"{name} must start with one of {', '.join(schemes)}, not {value.split(':')[0]!r}.")
    return value


def socket(name: str) -> str:
    """Return where a server listens that speaks no HTTP: unix:///path, or tcp://host and its port; refuse others."""
    value = url(name, "", ("unix", "tcp"))
    try:
        parts = urlsplit(value)
        is_path = parts.scheme == "unix" and not parts.netloc and parts.path.strip("/")
        is_one = is_path or (parts.scheme == "tcp" and parts.hostname and (parts.port or True))
    except ValueError:
        is_one = False
    if value and (not is_one or "@" in parts.netloc):
        raise ImproperlyConfigured(f"{name} must be unix:///path/of/a/socket or tcp://host:port.")
    return value


def hosts(name: str) -> list[str]:
    """Return a comma-separated list of hosts: names, addresses, `*.` and a domain; refuse an entry that is none."""
    found = [entry.lower() for entry in items(name)]
    for entry in found:
        if not is_host(entry):
            raise ImproperlyConfigured(f"{name} lists hosts without scheme, port or path; {entry!r} is none.")
    return found


def networks(name: str) -> list[IPv4Network | IPv6Network]:
    """Return comma-separated addresses and networks; refuse what is none."""
    try:
        return [ip_network(item) for item in items(name)]
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must be addresses and networks such as 10.0.0.0/8: {error}.") from None


def path(name: str, default: Path) -> Path:
    return Path(text(name, str(default))).expanduser().resolve()
