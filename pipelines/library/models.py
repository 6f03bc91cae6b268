"""How a model's name (`provider/model` or `CONNECTION/model`) leads to somebody who answers.

A connection of the workspace wins over the provider keys of the operator's environment; `demo/*` is always there,
deterministic, without network, and labelled as simulated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from django.conf import settings

from accounts.models import Workspace
from pipelines.graph.lock import Price
from pipelines.models import Connection

DEMO, MCP = "demo", "mcp"
# Invented prices of the size real ones have, so that costs, caps and receipts can be tried without a key.
DEMO_PRICES: Mapping[str, Price] = MappingProxyType(
    {
        "demo/echo": Price(input=100_000, output=400_000),
        "demo/writer": Price(input=250_000, output=2_000_000),
        "demo/judge": Price(input=150_000, output=600_000),
    }
)
DEMO_WINDOW = 128_000
"""How many tokens a built-in model takes and gives in one call."""


@dataclass(frozen=True, slots=True)
class ModelRoute:
    """The way to one model: `kind` is demo, openai, anthropic or google; an empty `base_url` is the provider's own.

    The key is `secret` of the workspace, or the operator's key of `kind` when `from_environment`.
    """

    ref: str
    model: str
    kind: str
    connection: str = ""
    base_url: str = ""
    secret: str = ""
    from_environment: bool = False
    trusted_address: bool = False
    max_concurrent: int | None = None
    rpm: int | None = None
    tpm: int | None = None


def is_simulated(ref: str) -> bool:
    """Say whether this model is one of the built-in ones that only pretend."""
    return ref.startswith(f"{DEMO}/")


def route(workspace: Workspace, ref: str) -> ModelRoute | None:
    """Return the way to a model, or None when nobody answers to its name. One query, none for `demo/*`."""
    name, _, _ = ref.partition("/")
    if name == DEMO:
        return route_among({}, ref)
    return route_among({row.name: row for row in Connection.objects.filter(workspace=workspace, name=name)}, ref)


def route_among(connections: Mapping[str, Connection], ref: str) -> ModelRoute | None:
    """Return the way to a model through these connections of one workspace (by name); no query."""
    name, _, model = ref.partition("/")
    if not model:
        return None
    if name == DEMO:
        return ModelRoute(ref, model, DEMO) if ref in DEMO_PRICES else None
    if (row := connections.get(name)) is not None:
        if row.kind == MCP:
            return None
        return ModelRoute(
            ref,
            model,
            row.kind,
            connection=row.name,
            base_url=row.base_url,
            secret=row.secret,
            trusted_address=row.trusted_address,
            max_concurrent=row.max_concurrent,
            rpm=row.rpm,
            tpm=row.tpm,
        )
    key, base_url = settings.PROVIDER_ENV.get(name, ("", ""))
    if not key:
        return None
    return ModelRoute(
        ref, model, name, connection=name, base_url=base_url, from_environment=True, trusted_address=bool(base_url)
    )
