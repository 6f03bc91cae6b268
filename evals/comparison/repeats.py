"""What the repeats of a case come to: mean, pass@k, flaky."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import comb

DIGITS = 9


@dataclass(frozen=True, slots=True)
class Case:
    """The repeats of one case that could be scored: each one's score and whether it passed."""

    name: str
    scores: tuple[float, ...]
    passed: tuple[bool, ...]

    @property
    def mean(self) -> float:
        return mean(self.scores) or 0.0

    @property
    def mostly_passed(self) -> bool:
        return 2 * sum(self.passed) > len(self.passed)


@dataclass(frozen=True, slots=True)
class Summary:
    """`cases` that could be scored at least once; `pass_rate` is of all repeats, `pass_at` by k from 1."""

    cases: int
    mean: float | None
    pass_rate: float | None
    pass_at: tuple[float, ...]
    flaky: tuple[str, ...]


def summary(cases: Iterable[Case]) -> Summary:
    """Return what cases come to. Each case counts alike, however many of its repeats could be scored."""
    scored = [case for case in cases if case.scores]
    most = min((len(case.passed) for case in scored), default=0)
    return Summary(
        cases=len(scored),
        mean=mean([case.mean for case in scored]),
        pass_rate=mean([mean(case.passed) or 0.0 for case in scored]),
        pass_at=tuple(
            mean([pass_at(k, len(case.passed), sum(case.passed)) for case in scored]) or 0.0 for k in range(1, most + 1)
        ),
        flaky=tuple(case.name for case in scored if is_flaky(case.passed)),
    )


def mean(values: Sequence[float]) -> float | None:
    """Return the mean to nine digits, so that 0.9 is not just below 0.9; None of nothing."""
    return round(sum(values) / len(values), DIGITS) if values else None


def change(before: float, after: float) -> float:
    """Return after − before without the noise of the last digits, which is no change."""
    return round(after - before, DIGITS)


def pass_at(k: int, tries: int, passed: int) -> float:
    """Return the chance that one of k of these tries passed, taken at random: 1 − C(n−c, k) / C(n, k).

    The unbiased estimator of Chen et al., “Evaluating Large Language Models Trained on Code” (2021), §2.1.
    """
    if not 1 <= k <= tries:
        raise ValueError(f"pass@{k} needs at least {k} tries; there are {tries}.")
    return 1.0 - comb(tries - passed, k) / comb(tries, k)


def is_flaky(passed: Sequence[bool]) -> bool:
    """Tell whether the same case passed once and failed another time."""
    return any(passed) and not all(passed)
