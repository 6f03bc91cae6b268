"""The values in which spending is asked and told."""

import datetime as dt
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from accounts.models import Workspace

Key = tuple[str | None, ...]
Only = Mapping[str, str | Sequence[str | None] | None]
DIMENSIONS = ("pipeline", "agent", "step", "model", "tag", "person", "trigger", "outcome", "day")
"""pipeline: its slug · agent: slug@number · step: the node's id · model: provider/model · tag: one of the run's ·
person: the email of who started the run · trigger: how the run was started: form, api, command, test, evaluation, fork,
rehearsal, pipeline (by a step of another run), trigger:slug; person or program where only that is known ·
outcome: succeeded, failed, cancelled, running (the run has not ended) · day: 2026-11-20 in the question's zone."""

SINGLE = ("agent", "step", "model")
TAGS = "tags"
"""One more, for sharing costs: the run's whole set of tags, as JSON; each call is in one line of it."""


@dataclass(frozen=True, slots=True)
class Question:
    """Whose spending, by what, from a moment until (not including) another; days are the zone's.

    `only` keeps what has this value, or one of these, in a dimension (None: what has none), any dimension but day.
    Of SINGLE only one value can be asked for: runs are counted once by the books where it is named or stands alone.
    Without `with_total` the total of an answer by dimensions is not read, and stays empty.
    Days that are the workspace's are read from the books; a zone other than the workspace's is answered from the spans.
    """

    workspace: Workspace
    by: Sequence[str]
    since: dt.datetime
    until: dt.datetime
    zone: zoneinfo.ZoneInfo
    only: Only = field(default_factory=dict)
    with_total: bool = True

    def __post_init__(self) -> None:
        for name in SINGLE:
            if isinstance(self.only.get(name), Sequence) and not isinstance(self.only[name], str):
                raise ValueError(f"Runs cannot be counted once over several values of {name}.")


@dataclass(frozen=True, slots=True)
class Spending:
    """Money is micro-dollars. `cost` is None when every answered call was without a known price.

    `unconfirmed` is what lost calls may have cost, `saved` what kept results would have cost; neither is in `cost`.
    `retried` and `repaired` are the parts of `cost` for asking again after a failure, or for an answer that could be
    used; `unused` what steps cost that came to nothing in runs that succeeded, `looped` the second and later rounds of
    loops there. No call is in two of the four. `calls` are all that were made, also those that failed (`failed_calls`)
    or were lost. `runs` are runs with calls here. `milliseconds` is the time of all calls together.
    """

    cost: int | None = 0
    unconfirmed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    calls: int = 0
    runs: int = 0
    unpriced: int = 0
    saved: int = 0
    retried: int = 0
    repaired: int = 0
    unused: int = 0
    looped: int = 0
    failed_calls: int = 0
    milliseconds: int = 0


def plus(one: int | None, other: int | None) -> int | None:
    """Return the sum of what is known of two costs; None where neither is."""
    return other if one is None else one if other is None else one + other


@dataclass(frozen=True, slots=True)
class Answer:
    """`lines` by the asked dimensions, by day and then dearest first.

    A run with two tags counts in both of their lines and once in the total.
    """

    lines: Mapping[Key, Spending] = field(default_factory=dict)
    total: Spending = Spending()
