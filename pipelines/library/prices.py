"""What a model costs and how much it reads: the connection's own word, else the packaged table, else unknown."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from accounts.models import Workspace
from pipelines.graph.lock import Price
from pipelines.graph.money import MICROS, micros
from pipelines.library import models
from pipelines.models import Connection

PROVIDERS = ("openai", "anthropic", "google")


def price(workspace: Workspace, ref: str) -> Price | None:
    """Return the price of `provider/model` in this workspace, or None when it is unknown. At most one query."""
    name = ref.partition("/")[0]
    if name == models.DEMO:
        return models.DEMO_PRICES.get(ref)
    return price_among({row.name: row for row in Connection.objects.filter(workspace=workspace, name=name)}, ref)


def price_among(connections: Mapping[str, Connection], ref: str) -> Price | None:
    """Return the price of a model reached through these connections of one workspace (by name); no query."""
    if models.is_simulated(ref):
        return models.DEMO_PRICES.get(ref)
    name, _, model = ref.partition("/")
    connection = connections.get(name)
    if connection is not None and model in connection.prices:
        own = connection.prices[model]
        return Price(micros(own["input_per_million"]), micros(own["output_per_million"]))
    found = _packaged(connections, ref)
    if found is None:
        return None
    per_million = found.get_prices(datetime.now(UTC))
    given, returned = _micros(per_million, "input_mtok"), _micros(per_million, "output_mtok")
    if given is None or returned is None:
        return None
    return Price(given, returned, _micros(per_million, "cache_read_mtok"))


def window_among(connections: Mapping[str, Connection], ref: str) -> int | None:
    """Return how many tokens a model reads and writes in one call, None where nobody knows; no query."""
    if models.is_simulated(ref):
        return models.DEMO_WINDOW if ref in models.DEMO_PRICES else None
    name, _, model = ref.partition("/")
    connection = connections.get(name)
    if connection is not None and (own := connection.prices.get(model, {}).get("context_window")) is not None:
        return int(own)
    found = _packaged(connections, ref)
    return found.context_window if found is not None else None


def _packaged(connections: Mapping[str, Connection], ref: str) -> Any:
    """Look a model up in the table that came with the package, which is never fetched; None when it is not there.

    Where a provider charges more for long prompts, the price is that of ordinary ones.
    """
    name, _, model = ref.partition("/")
    connection = connections.get(name)
    if connection is not None and connection.base_url and name not in PROVIDERS:
        return _found(model, provider_api_url=connection.base_url)
    provider = name if name in PROVIDERS else connection.kind if connection is not None else None
    return _found(model, provider_id=provider) if provider and model else None


def _found(model: str, **provider: str) -> Any:
    from genai_prices import data_snapshot  # 0.4 s to import: only whoever names a paid model waits for it

    try:
        _, found = data_snapshot.get_snapshot().find_provider_model(
            model, None, provider.get("provider_id"), provider.get("provider_api_url")
        )
    except LookupError:
        return None
    return found


def _micros(per_million: Any, field: str) -> int | None:
    amount = getattr(per_million, field, None)
    amount = getattr(amount, "base", amount)
    return None if amount is None else int(Decimal(amount) * MICROS)
