"""Money as integer micro-dollars (1 USD = 1,000,000); decimal strings only at the edges."""

import re2

from pipelines.graph.problems import shown

MICROS = 1_000_000
PLACES = 6
_AMOUNT = re2.compile(r"^-?[0-9]{1,12}(?:\.[0-9]{1,20})?$")


def micros(dollars: str) -> int:
    """Return micro-dollars of a decimal string such as "5.00" (64 bits hold them); raise ValueError on anything else.

    `Decimal` alone would also read "1e999999", "1_000" and digits of other scripts.
    """
    if not isinstance(dollars, str) or not _AMOUNT.match(dollars):
        raise ValueError(f"{shown(dollars)} is not an amount in dollars.")
    whole, _, places = dollars.removeprefix("-").partition(".")
    if len(places.rstrip("0")) > PLACES:
        raise ValueError(f"{shown(dollars)} has more than six decimal places.")
    amount = int(whole) * MICROS + int(places[:PLACES].ljust(PLACES, "0"))
    return -amount if dollars.startswith("-") else amount


def dollars(amount: int | None) -> str | None:
    """Return a decimal string without trailing zeros ("0.0004"), or None for an unknown amount."""
    if amount is None:
        return None
    whole, rest = divmod(abs(amount), MICROS)
    text = f"{whole}.{rest:06d}".rstrip("0").rstrip(".")
    return f"-{text}" if amount < 0 else text


def in_dollars(amount: int) -> str:
    """Return an amount as people read it, with the precision it has: "$1.16", "$0.50", "$0.000412"."""
    whole, rest = divmod(abs(amount), MICROS)
    cents = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{'−' if amount < 0 else ''}${whole:,}.{cents}"


def price_of(tokens: int, micros_per_million: int) -> int:
    """Return the exact cost of some tokens at a price per million tokens, in millionths of a micro-dollar."""
    return tokens * micros_per_million


def rounded_up(cost: int) -> int:
    """Return one call's cost, in millionths of a micro-dollar, as whole micro-dollars, rounded up (engine.md §3)."""
    return -(-cost // MICROS)
