"""Whether a judge says of answers what people say of them: a table of two by two, and Cohen's kappa of it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from evals.comparison.repeats import DIGITS


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often a judge and people passed the same answers. `kappa` is None where chance alone explains all of it."""

    both_pass: int
    judge_alone: int
    people_alone: int
    neither: int

    @property
    def answers(self) -> int:
        return self.both_pass + self.judge_alone + self.people_alone + self.neither

    @property
    def agreed(self) -> float | None:
        """The part of the answers of which both said the same; None of no answers."""
        return round((self.both_pass + self.neither) / self.answers, DIGITS) if self.answers else None

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa, (observed − by chance) / (1 − by chance): 1 where they always agree, 0 as by chance.

        None of no answers, and where both always say the same one thing, so that chance would agree as well. J. Cohen,
        “A Coefficient of Agreement for Nominal Scales”, Educational and Psychological Measurement 20 (1960), 37–46.
        """
        count = self.answers
        if not count:
            return None
        judge, people = self.both_pass + self.judge_alone, self.both_pass + self.people_alone
        chance = judge * people + (count - judge) * (count - people)  # in parts of count²
        if chance == count * count:
            return None
        observed = (self.both_pass + self.neither) * count
        return round((observed - chance) / (count * count - chance), DIGITS)


def agreement(pairs: Iterable[tuple[bool, bool]]) -> Agreement:
    """Return how far a judge and people agree; each pair is whether the judge, and whether people, passed an answer."""
    counts = Counter(pairs)
    return Agreement(counts[True, True], counts[True, False], counts[False, True], counts[False, False])


def majority(passed: Iterable[bool]) -> bool | None:
    """Return what most people say of an answer; None where nobody does, or as many say the one as the other."""
    votes = [1 if one else -1 for one in passed]
    return sum(votes) > 0 if sum(votes) else None
