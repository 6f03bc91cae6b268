"""Which of two versions a judge prefers: what it says of one pair in both orders, and what all cases come to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evals.comparison.paired import Verdict, mcnemar

A, B, TIE = "a", "b", "tie"
SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class Preference:
    """B against A, by cases: of `won` most pairs were B's. `p` is of the sign test; ties say nothing to it."""

    verdict: Verdict
    cases: int
    won: int
    tied: int
    lost: int
    p: float


def in_both_orders(forwards: str, backwards: str) -> tuple[int, bool]:
    """Return 1 where B is named in both orders, -1 where A is, else 0; and whether the order decided.

    Judges lean towards what they read first (or last), so only what is named both times wins. L. Zheng et al., “Judging
    LLM-as-a-Judge with MT-Bench and Chatbot Arena” (2023), §3.4.
    """
    if forwards == backwards:
        return {A: -1, B: 1}.get(forwards, 0), False
    return 0, {forwards, backwards} == {A, B}


def preference(outcomes: Mapping[str, Sequence[int]]) -> Preference | None:
    """Return which version is preferred, by each case's pairs of 1 (B), 0 (a tie) or -1 (A); None without a pair.

    A case counts once, however often it is answered: for whoever won more of its pairs. The exact two-sided sign test
    over cases is McNemar's of those that one alone won: W. J. Dixon and A. M. Mood, “The Statistical Sign Test”,
    Journal of the American Statistical Association 41 (1946), 557–566.
    """
    sums = [sum(pairs) for pairs in outcomes.values() if pairs]
    if not sums:
        return None
    won, lost = sum(one > 0 for one in sums), sum(one < 0 for one in sums)
    p = mcnemar(won, lost)
    clear = Verdict.BETTER if won > lost else Verdict.WORSE
    verdict = clear if p <= SIGNIFICANT else Verdict.UNCLEAR
    return Preference(verdict, len(sums), won, len(sums) - won - lost, lost, p)
