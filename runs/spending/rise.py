"""Why spending changed between two periods: more runs, more calls per run, other models, longer calls, other prices.

Spending is runs × calls per run × Σ (share of the calls × tokens per call × price per token) over pipelines and models.
Each factor's part is its Shapley value: what its change adds, averaged over every order in which the five could have
changed (L. S. Shapley, A Value for n-Person Games, 1953). So no order is preferred, and the parts sum to the change.
Spending is a sum over pipelines and models, and Shapley values of a sum are the sums of its terms' values: so each
pipeline and model has its part of every factor, and the parts of one sum to what it cost more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import factorial, prod


class Factor(StrEnum):
    RUNS = "runs"
    CALLS = "calls_per_run"
    MIX = "mix"
    TOKENS = "tokens_per_call"
    PRICE = "price"


FACTORS = tuple(Factor)
Kind = tuple[str | None, ...]
_Pair = tuple[float, float]
_ALL = (1 << len(FACTORS)) - 1


def _weight(others: int) -> float:
    """Return in how large a part of all orders exactly so many others have changed before a factor does."""
    return factorial(others) * factorial(len(FACTORS) - others - 1) / factorial(len(FACTORS))


# For each factor the sets of the others that may have changed before it, as bits, each with its weight.
_WITHOUT = [
    [(changed, _weight(changed.bit_count())) for changed in range(_ALL + 1) if not changed >> at & 1]
    for at in range(len(FACTORS))
]


@dataclass(frozen=True, slots=True)
class Work:
    """What calls of one kind came to: their number, tokens in and out, and micro-dollars."""

    calls: int
    tokens: int
    cost: int


_NOTHING = Work(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Spent:
    """A period: its runs, and its calls by kind (pipeline and model)."""

    runs: int
    work: Mapping[Kind, Work]

    @property
    def cost(self) -> int:
        return sum(one.cost for one in self.work.values())

    @property
    def calls(self) -> int:
        return sum(one.calls for one in self.work.values())

    def cost_of(self, kind: Kind) -> int:
        return self.work.get(kind, _NOTHING).cost


def rise(before: Spent, now: Spent) -> dict[Factor, int]:
    """Return each factor's part of the change in micro-dollars; they sum to it exactly.

    Where one of the periods has no calls, all of the change is a matter of runs.
    """
    parts = by_kind(before, now).values()
    return {factor: sum(part[factor] for part in parts) for factor in FACTORS}


def by_kind(before: Spent, now: Spent) -> dict[Kind, dict[Factor, int]]:
    """Return what each kind adds to each factor, in micro-dollars; over the factors these sum to its change."""
    names = {**before.work, **now.work}
    changes = {name: now.cost_of(name) - before.cost_of(name) for name in names}
    if not (before.calls and now.calls and before.runs and now.runs):
        return {name: dict.fromkeys(FACTORS, 0) | {Factor.RUNS: change} for name, change in changes.items()}
    volumes = ((before.runs, now.runs), (before.calls / before.runs, now.calls / now.runs))
    return {name: _parts((*volumes, *_rates(before, now, name)), changes[name]) for name in names}


def _rates(before: Spent, now: Spent, name: Kind) -> tuple[_Pair, _Pair, _Pair]:
    """Return a kind's share of the calls, tokens per call and price per token, each before and now."""
    found = (before.work.get(name, _NOTHING), now.work.get(name, _NOTHING))
    shares = (found[0].calls / before.calls, found[1].calls / now.calls)
    # A kind that one period lacks has the other's size and price there, so that all of its change is one of the mix.
    known = [one if one.calls else other for one, other in zip(found, reversed(found), strict=True)]
    by_token = all(one.tokens for one in known if one.calls)
    tokens = [one.tokens / one.calls if by_token and one.calls else 1.0 for one in known]
    prices = [one.cost / (one.tokens if by_token else one.calls) if one.calls else 0.0 for one in known]
    return shares, (tokens[0], tokens[1]), (prices[0], prices[1])


def _parts(factors: tuple[_Pair, ...], change: int) -> dict[Factor, int]:
    """Return the parts that the factors of a product, in the order of FACTORS, have in its change."""
    values = [prod(pair[changed >> at & 1] for at, pair in enumerate(factors)) for changed in range(_ALL + 1)]
    parts = {
        factor: sum(weight * (values[changed | 1 << at] - values[changed]) for changed, weight in _WITHOUT[at])
        for at, factor in enumerate(FACTORS)
    }
    return _whole(parts, change)


def _whole(parts: Mapping[Factor, float], change: int) -> dict[Factor, int]:
    """Round the parts to micro-dollars that sum to the change: what rounding left is the largest part's."""
    whole = {factor: round(part) for factor, part in parts.items()}
    largest = max(whole, key=lambda factor: abs(whole[factor]))
    whole[largest] += change - sum(whole.values())
    return whole
