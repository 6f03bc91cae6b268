"""What people say of answers: ratings of what runs came to, the next answer to rate, and how far judges agree."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from accounts import audit
from accounts.access import Actor, Capability, get, require, scoped
from accounts.errors import Conflict, Invalid
from evals.comparison import Agreement, agreement, majority
from evals.models import Evaluation, Metric, Rating, Result
from runs import removal
from runs.models import Run

LONGEST_NOTE = 2_000
MOST = 20
"""How often somebody says something of one answer."""
# Where somebody gives only a score, it passes from here.
_PASSES = 0.5
ALL = "all assertions"


@dataclass(frozen=True, slots=True)
class Opinion:
    """What somebody says of an answer: whether it passes, a score from 0 to 1, or both."""

    passed: bool | None = None
    score: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Agreed:
    """How far what passed by one metric, or by all of them, passed with people too."""

    metric: str
    found: Agreement


@transaction.atomic
def rate(actor: Actor, run_id: object, opinion: Opinion) -> Rating:
    """Keep what the actor says of what a run came to, beside what they said before; the same again is kept once.

    Raises Invalid `invalid_rating`, Conflict (`run_not_succeeded`, `too_many_ratings`), Gone `content_removed`,
    NotFound, Forbidden. Locks the run.
    """
    require(actor, Capability.RATE)
    run = get(Run.objects.select_for_update(no_key=True), actor, pk=run_id)
    score, passed = _both(opinion)
    if run.state != "succeeded":
        raise Conflict("Only a run that succeeded has an answer to rate.", code="run_not_succeeded")
    removal.refuse(run)
    note = opinion.note.strip()
    if len(note) > LONGEST_NOTE:
        raise _wrong(f"A note has {LONGEST_NOTE:,} characters at most.", "/note")
    before = list(Rating.objects.filter(run=run, by=actor.user).order_by("-id")[:MOST])
    if before and (before[0].score, before[0].passed, before[0].note) == (score, passed, note):
        return before[0]
    if len(before) >= MOST:
        raise Conflict(f"You have rated this answer {MOST} times. The newest of them counts.", code="too_many_ratings")
    said = {"workspace": actor.workspace, "run": run, "by": actor.user, "score": score, "passed": passed}
    rating = Rating.objects.create(**said, note=note)
    # The note is left out: whoever reads the log need not be somebody who sees what answers say.
    audit.record(actor.workspace, actor.user, "answer.rated", str(run.pk), {"passed": passed, "score": score})
    return rating


def _both(opinion: Opinion) -> tuple[float, bool]:
    """Return score and verdict: each is made of the other where only one is given."""
    score, passed = opinion.score, opinion.passed
    if score is None and passed is None:
        raise _wrong("Say whether the answer passes, or give it a score.", "/passed")
    if score is not None and not (isfinite(score) and 0 <= score <= 1):
        raise _wrong("A score is between 0 and 1.", "/score")
    if score is None:
        return float(bool(passed)), bool(passed)
    return score, score >= _PASSES if passed is None else passed


def listed(actor: Actor, run: Run) -> "QuerySet[Rating]":
    """Return all ratings of a run, also those that were changed since."""
    return scoped(Rating, actor).filter(run=run).select_related("by")


def mine(actor: Actor, run: Run) -> Rating | None:
    """Return what the actor said last of a run."""
    return Rating.objects.filter(run=run, by=actor.user).order_by("-id").first()


def current(runs: Iterable[UUID | None]) -> dict[UUID | None, list[Rating]]:
    """Return, by run, the newest rating of each person. One query.

    The ratings of people whose account is gone count as one person's.
    """
    rows = Rating.objects.filter(run__in=[run for run in runs if run]).select_related("by").order_by("run", "by", "-id")
    found: dict[UUID | None, list[Rating]] = {}
    for row in rows.distinct("run", "by"):
        found.setdefault(row.run_id, []).append(row)
    return found


def to_rate(actor: Actor, evaluation: Evaluation) -> "QuerySet[Result]":
    """Return the answers of an evaluation that the actor has not rated yet, in the dataset's order."""
    rated = Rating.objects.filter(run=OuterRef("run"), by=actor.user)
    rows = Result.objects.filter(evaluation=evaluation, run__state="succeeded", run__content_removed_at=None)
    rows = rows.exclude(Exists(rated))
    return rows.order_by("repeat", "case__position")


def agreed(evaluation: Evaluation) -> list[Agreed]:
    """Return how far each rubric's judge, and all assertions together, say what most people say; [] without ratings.

    An answer of which people are evenly divided counts for neither. Three queries.
    """
    rows = list(Result.objects.filter(evaluation=evaluation, run__isnull=False, state=Result.State.SCORED))
    rated = current(row.run_id for row in rows)
    people = {row.pk: most for row in rows if (most := _most(rated.get(row.run_id, ()))) is not None}
    if not people:
        return []
    said: dict[str, list[tuple[bool, bool]]] = {}
    judged = Metric.objects.filter(result__in=people, type="rubric", score__isnull=False).order_by("position", "id")
    for metric in judged:
        said.setdefault(metric.name, []).append((metric.passed is True, people[metric.result_id]))
    said[ALL] = [(row.passed is True, people[row.pk]) for row in rows if row.pk in people]
    return [Agreed(name, agreement(pairs)) for name, pairs in said.items()]


def _most(rated: Sequence[Rating]) -> bool | None:
    return majority(one.passed for one in rated)


def _wrong(message: str, where: str) -> Invalid:
    return Invalid(message, code="invalid_rating", where=where)
