"""Two versions on the same cases: the mean difference with its interval, the exact McNemar test, and a verdict."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import comb

from evals.comparison.repeats import DIGITS, Case, change, mean

RESAMPLES = 2_000
CONFIDENCE = 0.95
# Fewer pairs say nothing of what other cases would come to: of five that all changed, McNemar's p is above 0.05.
FEWEST = 6


class Verdict(StrEnum):
    BETTER = "better"
    WORSE = "worse"
    UNCLEAR = "no clear difference"


@dataclass(frozen=True, slots=True)
class Compared:
    """`difference` is the mean of B − A over the cases that both could be scored on; `low` and `high` hold it with 95 %
    confidence. `p` is McNemar's, of the cases that passed in one alone. `differences` are by case, worst first."""

    verdict: Verdict
    cases: int
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    better: int
    same: int
    worse: int
    gained: int
    lost: int
    p: float
    differences: tuple[tuple[str, float], ...]

    @property
    def width(self) -> float:
        """Half of the interval: a smaller change than this cannot be seen with so many cases."""
        return (self.high - self.low) / 2


def compare(a: Iterable[Case], b: Iterable[Case], seed: int) -> Compared | None:
    """Return how B does against A on the cases with the same names; None where they have none in common."""
    before: Mapping[str, Case] = {case.name: case for case in a if case.scores}
    pairs = [(before[case.name], case) for case in b if case.scores and case.name in before]
    if not pairs:
        return None
    differences = [change(old.mean, new.mean) for old, new in pairs]
    low, high = bootstrap(differences, seed)
    gained = sum(new.mostly_passed and not old.mostly_passed for old, new in pairs)
    lost = sum(old.mostly_passed and not new.mostly_passed for old, new in pairs)
    count = len(pairs)
    by_case = [(new.name, one) for (_, new), one in zip(pairs, differences, strict=True)]
    return Compared(
        verdict=_verdict(count, low, high),
        cases=count,
        mean_a=mean([old.mean for old, _ in pairs]) or 0.0,
        mean_b=mean([new.mean for _, new in pairs]) or 0.0,
        difference=mean(differences) or 0.0,
        low=low,
        high=high,
        better=sum(one > 0 for one in differences),
        same=sum(one == 0 for one in differences),
        worse=sum(one < 0 for one in differences),
        gained=gained,
        lost=lost,
        p=mcnemar(gained, lost),
        differences=tuple(sorted(by_case, key=lambda pair: pair[1])),
    )


def bootstrap(differences: Sequence[float], seed: int) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean, by drawing the pairs anew with replacement.

    The same numbers and seed always give the same interval. Of one pair it is everything that can be.
    """
    count = len(differences)
    if count < 2:
        return -1.0, 1.0
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    means = sorted(sum(chance.choices(differences, k=count)) / count for _ in range(RESAMPLES))
    cut = round(RESAMPLES * (1 - CONFIDENCE) / 2)
    return round(means[cut], DIGITS), round(means[-cut - 1], DIGITS)


def mcnemar(gained: int, lost: int) -> float:
    """Return the two-sided p of the exact McNemar test: how likely so uneven a split is if neither is better."""
    changed = gained + lost
    tail = sum(comb(changed, k) for k in range(min(gained, lost) + 1))
    return float(min(1.0, 2 * tail / 2**changed))


def _verdict(count: int, low: float, high: float) -> Verdict:
    if count < FEWEST or low <= 0 <= high:
        return Verdict.UNCLEAR
    return Verdict.BETTER if low > 0 else Verdict.WORSE
