"""What many scores come to, and whether one version does better than another. Pure; chance comes from a given seed."""

from evals.comparison.agreement import Agreement, agreement, majority
from evals.comparison.paired import FEWEST, Compared, Verdict, compare, mcnemar
from evals.comparison.preferences import Preference, in_both_orders, preference
from evals.comparison.repeats import Case, change, is_flaky, mean, pass_at, summary

__all__ = [
    "FEWEST",
    "Agreement",
    "Case",
    "Compared",
    "Preference",
    "Verdict",
    "agreement",
    "change",
    "compare",
    "in_both_orders",
    "is_flaky",
    "majority",
    "mcnemar",
    "mean",
    "pass_at",
    "preference",
    "summary",
]
