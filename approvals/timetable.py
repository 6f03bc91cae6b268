"""When the levels of a rule end and whom to remind when: pure, from a rule and the moment at which it was asked."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from approvals import business
from approvals.ruling import Rule

HALF = "half"
# What a question without rules is reminded of, before its pipeline's deadline.
BEFORE = (3_600,)


@dataclass(frozen=True, slots=True)
class Reminder:
    """`mark` tells the reminders of one question apart: "half", or the seconds before the end."""

    at: datetime
    mark: str


def ends(rule: Rule, since: datetime) -> tuple[datetime | None, ...]:
    """Return when each level's time is up, in order; None for a last level that waits as long as it takes."""
    moments: list[datetime | None] = []
    moment: datetime | None = since
    for level in rule.levels:
        if moment is not None:
            moment = None if level.within is None else business.later(moment, level.within, rule.calendar)
        moments.append(moment)
    return tuple(moments)


def reminders(begin: datetime, end: datetime, *, half: bool = True, before: Iterable[int] = BEFORE) -> list[Reminder]:
    """Return the reminders between two moments, the first first. One that would come at once is left out."""
    found = [Reminder(end - timedelta(seconds=seconds), str(seconds)) for seconds in before]
    if half:
        found.append(Reminder(begin + (end - begin) / 2, HALF))
    return sorted((one for one in found if begin < one.at < end), key=lambda one: (one.at, one.mark))
