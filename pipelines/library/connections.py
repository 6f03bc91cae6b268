"""The ways to model providers and MCP servers that admins set up. A connection names its secret, never its value."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import re2
from django.conf import settings
from django.db import IntegrityError, transaction

from accounts import audit
from accounts.access import Actor, Capability, require
from accounts.errors import Conflict, Invalid
from pipelines.graph.model import Json
from pipelines.graph.problems import shown
from pipelines.library import price_changes
from pipelines.library.models import DEMO, MCP
from pipelines.library.prices import check_price
from pipelines.models import Connection

KINDS = ("openai", "anthropic", "google", MCP)
MOST_TOKENS = 1_000_000_000
_NAME = re2.compile(r"^[a-z][a-z0-9-]{0,62}$")
_HEADER = re2.compile(r"^[A-Za-z][A-Za-z0-9-]{0,62}$")
# What the client and the protocol say themselves.
_OWN_HEADERS = frozenset(
    {
        *("accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "cookie"),
        *("expect", "host", "keep-alive", "last-event-id", "origin", "te", "trailer", "transfer-encoding", "upgrade"),
        "user-agent",
    }
)


@dataclass(frozen=True, slots=True)
class ConnectionFields:
    """`prices` maps a model to {input_per_million, output_per_million}, decimal strings in USD, and perhaps
    cached_input_per_million and context_window, the tokens it reads and writes in one call.

    `trusted_address` allows a name that leads to a private address; an address written out as 127.0.0.1 or 10.1.2.3
    can only be meant, so None counts as yes there.
    """

    name: str
    kind: str = "openai"
    base_url: str = ""
    secret: str = ""
    prices: Mapping[str, Json] = field(default_factory=dict)
    trusted_address: bool | None = None
    max_concurrent: int | None = None
    rpm: int | None = None
    tpm: int | None = None
    secret_header: str = ""


def create(actor: Actor, fields: ConnectionFields) -> Connection:
    """Return a new connection; Conflict `name_taken`, Invalid naming the field that cannot be, Forbidden."""
    require(actor, Capability.CONNECTIONS)
    row = Connection(workspace=actor.workspace, name=fields.name, **_checked(fields))
    try:
        with transaction.atomic():
            row.save(force_insert=True)
            price_changes.keep(actor, row, {})
            audit.record(actor.workspace, actor.user, "connection.created", fields.name, _told(row))
    except IntegrityError:
        raise Conflict(
            f"There is already a connection named {fields.name!r}. Change that one, or choose another name.",
            code="name_taken",
            where="/name",
        ) from None
    return row


@transaction.atomic
def change(actor: Actor, connection: Connection, fields: ConnectionFields) -> Connection:
    """Replace what a connection says (its name stays); Invalid naming the field that cannot be, Forbidden."""
    require(actor, Capability.CONNECTIONS)
    if fields.name != connection.name:
        raise Invalid("A connection keeps its name, because models are called by it.", code="invalid", where="/name")
    checked = _checked(fields)
    row = price_changes.locked(actor, connection)
    before = row.prices
    for name, value in checked.items():
        setattr(row, name, value)
    row.save()
    price_changes.keep(actor, row, before)
    audit.record(actor.workspace, actor.user, "connection.changed", row.name, _told(row))
    return row


@transaction.atomic
def set_prices(actor: Actor, connection: Connection, prices: Mapping[str, Json]) -> Connection:
    """Replace a connection's own prices; versions already published keep the prices in their lock."""
    require(actor, Capability.MANAGE)
    checked = _checked_prices(prices)
    row = price_changes.locked(actor, connection)
    before, row.prices = row.prices, checked
    row.save(update_fields=["prices"])
    price_changes.keep(actor, row, before)
    audit.record(actor.workspace, actor.user, "connection.priced", row.name, {"prices": row.prices})
    return row


@transaction.atomic
def remove(actor: Actor, connection: Connection) -> None:
    """Delete a connection; agents that name it fail with a named error until another takes the name."""
    require(actor, Capability.CONNECTIONS)
    row = price_changes.locked(actor, connection)
    before, row.prices = row.prices, {}
    price_changes.keep(actor, row, before)
    row.delete()
    audit.record(actor.workspace, actor.user, "connection.removed", row.name)


def _told(row: Connection) -> dict[str, Json]:
    told = ("kind", "base_url", "secret", "secret_header", "trusted_address")
    return {name: getattr(row, name) for name in told}


def _checked(fields: ConnectionFields) -> dict[str, Json]:
    if not _NAME.match(fields.name) or fields.name == DEMO:
        raise Invalid(
            f"{fields.name!r} cannot name a connection. Use lower-case letters, digits and hyphens; "
            f"{DEMO!r} is taken by the built-in models.",
            where="/name",
        )
    if fields.kind not in KINDS:
        raise Invalid(f"The kind must be one of {', '.join(KINDS)}, not {fields.kind!r}.", where="/kind")
    if fields.kind == MCP:
        _check_server(fields)
    for limit in ("max_concurrent", "rpm", "tpm"):
        value = getattr(fields, limit)
        if value is not None and not 1 <= value <= 2**31 - 1:
            raise Invalid(f"{limit} must be at least 1, or null for no limit.", where=f"/{limit}")
    return {
        "kind": fields.kind,
        "base_url": fields.base_url.rstrip("/"),
        "secret": fields.secret,
        "secret_header": _checked_header(fields),
        "prices": _checked_prices(fields.prices),
        "trusted_address": _trusted(fields.base_url, fields.trusted_address),
        "max_concurrent": fields.max_concurrent,
        "rpm": fields.rpm,
        "tpm": fields.tpm,
    }


def _check_server(fields: ConnectionFields) -> None:
    """Raise Invalid for what an MCP server cannot have."""
    if not fields.base_url:
        raise Invalid("An MCP connection needs the address of its server, as https://host/mcp.", where="/base_url")
    if fields.prices or fields.tpm is not None:
        raise Invalid(
            "A server of tools has no prices and no limit on tokens.", where="/prices" if fields.prices else "/tpm"
        )


def _checked_header(fields: ConnectionFields) -> str:
    """Return the name of the header that carries the secret, "" for a bearer's; raise Invalid for one that cannot."""
    name = fields.secret_header
    if name and (fields.kind != MCP or not fields.secret):
        raise Invalid("Only an MCP connection with a secret may name its header.", where="/secret_header")
    taken = name.lower() in _OWN_HEADERS or name.lower().startswith(("mcp-", "proxy-", "sec-"))
    if name and (taken or not _HEADER.match(name)):
        raise Invalid(
            f"{shown(name)} cannot carry a secret. Name a header as X-Api-Key, of letters, digits and hyphens.",
            where="/secret_header",
        )
    return name


def _checked_prices(prices: Mapping[str, Json]) -> dict[str, Json]:
    for model, price in prices.items():
        where = f"/prices/{model.replace('~', '~0').replace('/', '~1')}"
        needed = {"input_per_million", "output_per_million"}
        if not isinstance(price, dict) or set(price) - {"context_window", "cached_input_per_million"} != needed:
            raise Invalid(
                "A price has input_per_million, output_per_million and perhaps cached_input_per_million and "
                "context_window.",
                where=where,
            )
        _check_window(price.get("context_window"), where)
        check_price(model, price, where)
    return {model: {name: part for name, part in price.items() if part is not None} for model, price in prices.items()}


def _check_window(window: Json, where: str) -> None:
    if window is not None and (not isinstance(window, int) or not 1 <= window <= MOST_TOKENS):
        raise Invalid(
            f"The window is a whole number of tokens, at most {MOST_TOKENS:,}, or null.",
            where=f"{where}/context_window",
        )


def _trusted(base_url: str, wanted: bool | None) -> bool:
    """Return whether the egress guard may go to a private address for this connection; Invalid for a bad address."""
    if not base_url:
        return False
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or len(base_url) > 500:
        raise Invalid("The base address must be like https://host/v1, with http or https.", where="/base_url")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise Invalid(
            "The base address must not carry a name, a password or parameters. Store the key as a secret instead.",
            where="/base_url",
        )
    if host in settings.EGRESS_ALLOW or not _is_private(host):
        return bool(wanted)
    if wanted is False:
        raise Invalid(
            f"{host} is a private address. Set trusted_address to true if this connection may go there.",
            code="private_address",
            where="/base_url",
        )
    return True


def _is_private(host: str) -> bool:
    """Say whether a host is written as this machine or a private network; Invalid for other special addresses."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_loopback:
        return True
    if address.is_link_local or address.is_multicast or address.is_unspecified or address.is_reserved:
        raise Invalid(f"{host} is not an address that a model server can have.", where="/base_url")
    return address.is_private
