"""What a model call may cost before it is made, and what it did cost after it answered, in micro-dollars."""

from pipelines.graph.canonical import canonical_json
from pipelines.graph.lock import Price
from pipelines.graph.model import Json
from pipelines.graph.money import price_of, rounded_up
from runs.execution.models.values import Usage

BYTES_PER_TOKEN = 3
# What plain English comes to; nearly every other text has more tokens than its bytes divided by this.
MOST_BYTES_PER_TOKEN = 4


def estimated_input(request: Json) -> int:
    """Return an upper estimate of the tokens sent: a third of the request's UTF-8 bytes, rounded up."""
    return tokens_in(len(canonical_json(request)))


def tokens_in(size: int) -> int:
    """Return the estimate for some bytes of text."""
    return -(-size // BYTES_PER_TOKEN)


def reservation(price: Price | None, input_tokens: int, max_output: int) -> int | None:
    """Return the most the call should cost, or None when its price is unknown."""
    if price is None:
        return None
    return rounded_up(price_of(input_tokens, price.input) + price_of(max_output, price.output))


def cost(price: Price | None, usage: Usage) -> int | None:
    """Return what the call cost, rounded up once, or None when its price is unknown.

    Cached input counts at its own price where one is known, else in full.
    """
    if price is None:
        return None
    cached = min(usage.cached, usage.input)
    cached_price = price.input if price.cached_input is None else price.cached_input
    exact = price_of(usage.input - cached, price.input) + price_of(cached, cached_price)
    return rounded_up(exact + price_of(usage.output, price.output))
