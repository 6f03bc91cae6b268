"""A period's spending shared between tags, so that what all are charged sums to what was spent."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runs.spending.question import TAGS, Key, Spending, plus

BY = (TAGS, "pipeline")


@dataclass(frozen=True, slots=True)
class Charge:
    """One tag's part of a period; `tag` is None for what has none. Micro-dollars, None where no price is known.

    `spent` is what the runs with this tag cost, `charged` its part of that: the rest is carried by their other tags.
    """

    tag: str | None
    spent: int | None
    pipelines: Mapping[str | None, int | None]

    @property
    def charged(self) -> int | None:
        return None if self.spent is None else sum(part or 0 for part in self.pipelines.values())

    @property
    def shared(self) -> int:
        return (self.spent or 0) - (self.charged or 0)


def charges(lines: Mapping[Key, Spending]) -> list[Charge]:
    """Return the charges of an answer by BY, the dearest first.

    Runs with several tags are shared evenly between them; what cannot be halved goes to the first in the alphabet.
    """
    spent: dict[str | None, int | None] = {}
    charged: dict[str | None, dict[str | None, int | None]] = defaultdict(dict)
    for (tags, pipeline), spending in lines.items():
        named = tags_of(tags)
        for tag, part in zip(named, shares(spending.cost, len(named)), strict=True):
            spent[tag] = plus(spent.get(tag), spending.cost)
            charged[tag][pipeline] = plus(charged[tag].get(pipeline), part)
    found = [Charge(tag, spent[tag], of) for tag, of in charged.items()]
    return sorted(found, key=lambda one: (-(one.charged or 0), one.tag or ""))


def tags_of(key: str | None) -> list[str | None]:
    """Return the tags that a line is shared between, in their order, [None] for what has none."""
    return [*sorted(set(json.loads(key or "[]")))] or [None]


def shares(micros: int | None, count: int) -> Sequence[int | None]:
    """Return so many nearly equal parts that sum to the amount, the larger first; parts of the unknown are unknown."""
    if micros is None:
        return [None] * count
    return [share(micros, count, number) for number in range(count)]


def share(micros: int, count: int, number: int) -> int:
    """Return one of so many nearly equal parts, the first ones the larger. Of a larger amount it is never smaller."""
    return (micros + count - 1 - number) // count
