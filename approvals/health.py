"""How well people keep up with what is asked of them: waits, what is overdue, who carries how much."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Aggregate, Count, DurationField, ExpressionWrapper, F, FloatField, Min
from django.db.models.functions import Extract

from accounts.access import Actor
from accounts.models import User
from approvals import counted
from approvals.counted import Asked
from pipelines.models import Pipeline

PERIODS = (1, 7, 30, 90)


class Percentile(Aggregate):
    """The value below which a share of the rows lies (PostgreSQL's percentile_cont); None without rows."""

    function = "PERCENTILE_CONT"
    template = "%(function)s(%(share)s) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = FloatField()

    def __init__(self, expression: Any, share: float, **extra: Any) -> None:
        super().__init__(expression, share=float(share), **extra)


@dataclass(frozen=True, slots=True)
class Load:
    """One person's part: what they hold now, what they answered in the period, and how long those had waited."""

    person: User
    holds: int
    answered: int
    median: float | None
    since: dt.datetime

    @property
    def hrefs(self) -> dict[str, str]:
        """The addresses of the questions that the numbers count."""
        return {name: Asked(name, self.since, by=self.person.email).href for name in counted.OF_A_PERSON}


@dataclass(frozen=True, slots=True)
class Place:
    """One pipeline's questions of the period."""

    pipeline: Pipeline
    asked: int
    answered: int
    expired: int
    median: float | None
    since: dt.datetime

    @property
    def hrefs(self) -> dict[str, str]:
        """The addresses of the questions that the numbers count."""
        return {name: Asked(name, self.since, pipeline=self.pipeline.slug).href for name in counted.OF_A_PLACE}


@dataclass(frozen=True, slots=True)
class Health:
    """The figures of the last `days` days; waits in seconds, None where nothing was answered.

    `overdue` and `soon` (due within the hour) count what is open now, `oldest` is the age of the oldest open question.
    """

    days: int
    since: dt.datetime
    open: int
    overdue: int
    soon: int
    unclaimed: int
    oldest: float | None
    answered: int
    rejected: int
    edited: int
    expired: int
    median: float | None
    slowest: float | None
    people: Sequence[Load]
    places: Sequence[Place]

    @property
    def hrefs(self) -> dict[str, str]:
        """The addresses of the questions that the numbers count."""
        return {name: Asked(name, self.since).href for name in (*counted.STANDING, *counted.ENDED)}


def health(actor: Actor, days: int = 30) -> Health:
    """Return the health of this workspace's approvals. Seven queries, whatever their number."""
    now = dt.datetime.now(dt.UTC)
    since = now - dt.timedelta(days=days)
    figures = {name: Count("pk", filter=those) for name, those in counted.STANDING.items()}
    standing = counted.standing(actor).aggregate(**figures, oldest=Min("created_at"))
    oldest = standing.pop("oldest")
    return Health(
        days=days,
        since=since,
        oldest=(now - oldest).total_seconds() if oldest else None,
        people=_people(actor, since),
        places=_places(actor, since),
        **standing,
        **_period(actor, since),
    )


def _period(actor: Actor, since: dt.datetime) -> dict[str, Any]:
    wait = _wait("decided_at", "created_at")
    found: dict[str, Any] = counted.ended(actor, since).aggregate(
        **{name: Count("pk", filter=those) for name, those in counted.ENDED.items()},
        median=Percentile(wait, 0.5, filter=counted.BY_PEOPLE),
        slowest=Percentile(wait, 0.95, filter=counted.BY_PEOPLE),
    )
    return found


def _people(actor: Actor, since: dt.datetime) -> list[Load]:
    """Return everybody who holds or answered something, the most loaded first."""
    holds = dict(counted.held(actor).order_by().values_list("holder").annotate(number=Count("pk")))
    waited = Percentile(_wait("at", "approval__created_at"), 0.5)
    records = counted.records(actor, since).order_by().values_list("by")
    answers = {person: (number, median) for person, number, median in records.annotate(n=Count("pk"), w=waited)}
    people = User.objects.filter(pk__in={*holds, *answers})
    loads = [Load(one, holds.get(one.pk, 0), *answers.get(one.pk, (0, None)), since=since) for one in people]
    return sorted(loads, key=lambda load: (-load.holds, -load.answered, str(load.person)))


def _places(actor: Actor, since: dt.datetime) -> list[Place]:
    """Return the pipelines that asked something, the slowest answered first."""
    rows = counted.begun(actor, since).order_by().values_list("pipeline")
    found = rows.annotate(
        **{f"{name}_": Count("pk", filter=those) for name, those in counted.OF_A_PLACE.items()},
        median=Percentile(_wait("decided_at", "created_at"), 0.5, filter=counted.BY_PEOPLE),
    )
    figures = {pipeline: (*rest, since) for pipeline, *rest in found}
    places = [Place(one, *figures[one.pk]) for one in Pipeline.objects.filter(pk__in=figures)]
    return sorted(places, key=lambda place: (-(place.median or 0), place.pipeline.name))


def _wait(end: str, start: str) -> Extract:
    """Return the seconds between two columns."""
    return Extract(ExpressionWrapper(F(end) - F(start), output_field=DurationField()), "epoch")
