"""What a model costs and how much it reads: the connection's own word, else the packaged table, else unknown."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from accounts.errors import Invalid
from accounts.models import Workspace
from pipelines.graph.lock import Price
from pipelines.graph.model import Json
from pipelines.graph.money import MICROS, dollars, micros
from pipelines.graph.problems import shown
from pipelines.library import models
from pipelines.models import Connection

PROVIDERS = ("openai", "anthropic", "google")
LONGEST_MODEL = 128
MOST_PER_MILLION = 1_000_000 * MICROS  # a call at this price still fits the counters
PRICE_FIELDS = ("input_per_million", "output_per_million", "cached_input_per_million")


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
        return own(connection.prices[model])
    found = _packaged(connections, ref)
    if found is None:
        return None
    per_million = found.get_prices(datetime.now(UTC))
    given, returned = _micros(per_million, "input_mtok"), _micros(per_million, "output_mtok")
    if given is None or returned is None:
        return None
    return Price(given, returned, _micros(per_million, "cache_read_mtok"))


def own(entry: Mapping[str, Json]) -> Price:
    """Return the price that a connection says itself, as it keeps it."""
    cached = entry.get("cached_input_per_million")
    return Price(
        micros(entry["input_per_million"]),
        micros(entry["output_per_million"]),
        None if cached is None else micros(cached),
    )


def check_price(model: str, entry: Mapping[str, Json], where: str) -> None:
    """Raise Invalid for what cannot be the price of a model; `where` is the place of the entry."""
    if not 0 < len(model) <= LONGEST_MODEL or not model.isprintable():
        raise Invalid(f"A model's name has 1 to {LONGEST_MODEL} printable characters.", where=where or "/model")
    for name in PRICE_FIELDS:
        amount = entry.get(name)
        if name == "cached_input_per_million" and amount is None:
            continue
        try:
            if not isinstance(amount, str) or not 0 <= micros(amount) <= MOST_PER_MILLION:
                raise ValueError
        except ValueError:
            raise Invalid(
                f'The price must be dollars as text with at most six decimal places, like "0.25", '
                f"at most {dollars(MOST_PER_MILLION)}; not {shown(amount)}.",
                where=f"{where}/{name}",
            ) from None
    price = own(entry)
    if price.cached_input is not None and price.cached_input > price.input:
        message = "Input from a provider's cache costs at most what other input does: that much is held before a call."
        raise Invalid(message, where=f"{where}/cached_input_per_million")


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
