"""What the calls of a month would have cost on another model: a range from the tokens in the books, no calls made."""

import datetime as dt
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from accounts.access import Actor
from accounts.errors import Invalid
from pipelines.graph.lock import Price
from pipelines.library.prices import price_among
from pipelines.models import Pipeline
from runs import price_list
from runs.spending import Question, Spending, ask

Between = tuple[dt.datetime, dt.datetime]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which calls (`pipeline` and `model` None: all) would have gone to which other model."""

    to: str
    between: Between
    pipeline: Pipeline | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class WhatIf:
    """`middle` is the month's tokens at the other price. `low` and `high` are the month's calls at what a call would
    have cost on the days a quarter and three quarters up the order of days, by cost of a call; micro-dollars.

    `booked` is what the calls did cost, None where every price is unknown; `unpriced` of them have no known price.
    """

    price: Price
    booked: int | None
    calls: int
    unpriced: int
    input_tokens: int
    output_tokens: int
    days: int
    low: int
    middle: int
    high: int

    @property
    def is_comparable(self) -> bool:
        """Whether a difference can be told: what some calls did cost is not known."""
        return self.booked is not None and not self.unpriced


def ask_of(actor: Actor, asked: Asked) -> WhatIf | None:
    """Return the range, None where there were no calls; Invalid `price_unknown` for a model without a known price."""
    price = price_among(price_list.connections_of(actor.workspace), asked.to)
    if price is None:
        message = f"The price of {asked.to[:128]!r} is unknown, so nothing can be said of it. Set its price first."
        raise Invalid(message, code="price_unknown", where="/model")
    zone = zoneinfo.ZoneInfo(actor.workspace.zone)
    only = {"pipeline": asked.pipeline.slug} if asked.pipeline else {}
    only |= {"model": asked.model} if asked.model else {}
    found = ask(Question(actor.workspace, ("day",), *asked.between, zone, only))
    total = found.total
    if not total.calls:
        return None
    days = [one for one in found.lines.values() if one.calls - one.failed_calls > 0]
    middle = price_list.at(price, total) or 0
    low, high = spread(price, days, total.calls - total.failed_calls)
    return WhatIf(
        price=price,
        booked=total.cost,
        calls=total.calls,
        unpriced=total.unpriced,
        input_tokens=total.input_tokens,
        output_tokens=total.output_tokens,
        days=len(days),
        low=min(low, middle),
        middle=middle,
        high=max(high, middle),
    )


def spread(price: Price, days: Sequence[Spending], calls: int) -> tuple[int, int]:
    """Return the calls at the quartiles of what a call would have cost by day; (0, 0) without a day."""
    each = sorted(Fraction(price_list.at(price, one) or 0, one.calls - one.failed_calls) for one in days)
    if not each:
        return (0, 0)
    low, high = each[(len(each) - 1) // 4], each[-1 - (len(each) - 1) // 4]
    return int(low * calls), -int(-high * calls // 1)
