"""What some runs have cost, from least to most."""

from dataclasses import dataclass

from django.db.models import QuerySet

from runs import family
from runs.models import Run

LOOKED_AT = 30
"""The newest runs that a range is taken from."""
_COLUMNS = (
    "cost_micros",
    "reserved_micros",
    "unconfirmed_micros",
    "unpriced_calls",
    "llm_calls",
    "children",
    "input_tokens",
    "output_tokens",
)


@dataclass(frozen=True, slots=True)
class Range:
    """The cost of runs with all that they started, in micro-dollars.

    `unpriced` counts those with calls without a known price: the range then says nothing of them.
    """

    runs: int
    unpriced: int
    least_micros: int | None
    most_micros: int | None


def cost_of(runs: "QuerySet[Run]") -> Range:
    """Return the range over the newest of these runs that have succeeded and that no other run started."""
    ended = runs.filter(parent=None, state="succeeded")
    found = list(ended.only(*_COLUMNS).order_by("-created_at")[:LOOKED_AT])
    family.add_up(found)
    totals = [run.totals for run in found if run.totals]
    known = [one.cost_micros for one in totals if not one.unpriced_calls]
    return Range(
        runs=len(found),
        unpriced=len(totals) - len(known),
        least_micros=min(known, default=None),
        most_micros=max(known, default=None),
    )
