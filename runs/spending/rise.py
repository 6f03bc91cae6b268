"""Why spending changed between two periods: more runs, more calls per run, other models, longer calls, other prices.

Spending is runs × calls per run × Σ (share of the calls × tokens per call × price per token) over pipelines and models.
Each factor's part is its Shapley value: what its change adds, averaged over every order in which the five could have
changed (L. S. Shapley, A Value for n-Person Games, 1953). So no order is preferred, and the parts sum to the change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from math import factorial


class Factor(StrEnum):
    RUNS = "runs"
    CALLS = "calls_per_run"
    MIX = "mix"
    TOKENS = "tokens_per_call"
    PRICE = "price"


FACTORS = tuple(Factor)


@dataclass(frozen=True, slots=True)
class Work:
    """What calls of one kind came to: their number, tokens in and out, and micro-dollars."""

    calls: int
    tokens: int
    cost: int


@dataclass(frozen=True, slots=True)
class Spent:
    """A period: its runs, and its calls by kind (pipeline and model)."""

    runs: int
    work: Mapping[tuple[str | None, ...], Work]

    @property
    def cost(self) -> int:
        return sum(one.cost for one in self.work.values())

    @property
    def calls(self) -> int:
        return sum(one.calls for one in self.work.values())


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind's (share, tokens per call, price per token), before and now."""

    shares: tuple[float, float]
    tokens: tuple[float, float]
    prices: tuple[float, float]


def rise(before: Spent, now: Spent) -> dict[Factor, int]:
    """Return each factor's part of the change in micro-dollars; they sum to it exactly.

    Where one of the periods has no calls, all of the change is a matter of runs.
    """
    change = now.cost - before.cost
    if not (before.calls and now.calls and before.runs and now.runs):
        return dict.fromkeys(FACTORS, 0) | {Factor.RUNS: change}
    kinds = [_kind(before, now, name) for name in {**before.work, **now.work}]
    volumes = {Factor.RUNS: (before.runs, now.runs), Factor.CALLS: (before.calls / before.runs, now.calls / now.runs)}
    values = {
        changed: _cost(volumes, kinds, frozenset(changed))
        for size in range(len(FACTORS) + 1)
        for changed in combinations(FACTORS, size)
    }
    return _whole({factor: _part(values, factor) for factor in FACTORS}, change)


def _kind(before: Spent, now: Spent, name: tuple[str | None, ...]) -> _Kind:
    nothing = Work(0, 0, 0)
    found = (before.work.get(name, nothing), now.work.get(name, nothing))
    shares = tuple(one.calls / of.calls for one, of in zip(found, (before, now), strict=True))
    # A kind that one period lacks has the other's size and price there, so that all of its change is one of the mix.
    known = [one if one.calls else other for one, other in zip(found, reversed(found), strict=True)]
    by_token = all(one.tokens for one in known if one.calls)
    tokens = tuple(one.tokens / one.calls if by_token and one.calls else 1.0 for one in known)
    prices = tuple(one.cost / (one.tokens if by_token else one.calls) if one.calls else 0.0 for one in known)
    return _Kind((shares[0], shares[1]), (tokens[0], tokens[1]), (prices[0], prices[1]))


def _cost(volumes: Mapping[Factor, tuple[float, float]], kinds: list[_Kind], changed: frozenset[Factor]) -> float:
    """Return what would have been spent if these factors alone had changed."""
    mix, tokens, price = (factor in changed for factor in (Factor.MIX, Factor.TOKENS, Factor.PRICE))
    per_call = sum(one.shares[mix] * one.tokens[tokens] * one.prices[price] for one in kinds)
    return volumes[Factor.RUNS][Factor.RUNS in changed] * volumes[Factor.CALLS][Factor.CALLS in changed] * per_call


def _part(values: Mapping[tuple[Factor, ...], float], factor: Factor) -> float:
    count, part = len(FACTORS), 0.0
    for changed, value in values.items():
        if factor not in changed:
            weight = factorial(len(changed)) * factorial(count - len(changed) - 1) / factorial(count)
            part += weight * (values[tuple(one for one in FACTORS if one in changed or one is factor)] - value)
    return part


def _whole(parts: Mapping[Factor, float], change: int) -> dict[Factor, int]:
    """Round the parts to micro-dollars that sum to the change: what rounding left is the largest part's."""
    whole = {factor: round(part) for factor, part in parts.items()}
    largest = max(whole, key=lambda factor: abs(whole[factor]))
    whole[largest] += change - sum(whole.values())
    return whole
