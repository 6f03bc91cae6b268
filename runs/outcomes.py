"""How the runs of a pipeline's versions went, and what can be said of the difference between two of them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Avg, Count, F, FloatField, Q, QuerySet, StdDev, Sum
from django.db.models.functions import Cast

from accounts.access import Actor, get, scoped
from accounts.errors import NotFound
from pipelines.graph.freeze import content_hash
from pipelines.models import Pipeline
from runs.engine.status import RunState
from runs.models import OPEN_RUN_STATES, Run
from runs.words import Badge, run_badge

DRAFT = "draft"
LEAST = 5
"""Fewer runs on either side say nothing about a difference."""
_ENDED = Q(state__in=(RunState.SUCCEEDED, RunState.FAILED))
_PRICED = _ENDED & Q(unpriced_calls=0)
# Student's t for 95 %, by degrees of freedom: the next smaller one is used, which errs on the wide side.
_T95 = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 8: 2.31, 10: 2.23, 15: 2.13, 20: 2.09, 30: 2.04, 60: 2.0}
_HALF, _REACH = 130.0, 112.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Some measurements by their number, mean and standard deviation."""

    count: int = 0
    mean: float = 0.0
    spread: float = 0.0

    @property
    def amount(self) -> int | None:
        return round(self.mean) if self.count else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The runs of one version. `cost` is in micro-dollars and leaves out runs whose price is not known in full;
    `seconds` is machine time. Both are of runs that ended, without the runs that they started."""

    runs: int = 0
    succeeded: int = 0
    ended: int = 0
    cost: Sample = Sample()
    seconds: Sample = Sample()
    children: int = 0

    @property
    def rate(self) -> float | None:
        """The share of the ended runs that succeeded, in percent."""
        return self.succeeded * 100 / self.ended if self.ended else None


@dataclass(frozen=True, slots=True)
class Difference:
    """How a figure moved, with the 95 % interval of the move; `low` and `high` are None where runs are too few."""

    name: str
    unit: str
    before: float | None
    after: float | None
    low: float | None = None
    high: float | None = None
    more_is_better: bool = False

    @property
    def known(self) -> bool:
        return self.low is not None

    @property
    def middle(self) -> float:
        return ((self.low or 0) + (self.high or 0)) / 2

    @property
    def verdict(self) -> str:
        """Return better, worse or unclear: an interval that holds zero tells nothing apart."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return "unclear"
        return "better" if (self.low > 0) == self.more_is_better else "worse"

    @property
    def bar(self) -> Mapping[str, str]:
        """Return where the interval stands on a drawing 260 wide whose middle is no difference."""
        low, high = self.low or 0.0, self.high or 0.0
        scale = _REACH / max(abs(low), abs(high), 1e-9)
        at = {"x": _HALF + low * scale, "width": max((high - low) * scale, 4), "dot": _HALF + self.middle * scale}
        return {name: f"{value:.1f}" for name, value in at.items()}


@dataclass(frozen=True, slots=True)
class Compared:
    """Two sides of a comparison: a version's number or "draft", each with how its runs went."""

    older: str
    newer: str
    before: Outcome
    after: Outcome
    differences: tuple[Difference, ...]

    @property
    def has_runs(self) -> bool:
        return bool(self.before.ended or self.after.ended)

    @property
    def has_children(self) -> bool:
        return bool(self.before.children or self.after.children)


@dataclass(frozen=True, slots=True)
class Publishing:
    """What runs say on the page that publishes. `test` is the newest run of exactly this draft, rehearsals too."""

    test: Run | None
    badge: Badge | None
    open_runs: int
    open_version: int | None
    compared: Compared | None

    @property
    def state(self) -> str:
        if self.test is None:
            return "none"
        return {RunState.SUCCEEDED: "ok", RunState.FAILED: "warn"}.get(RunState(self.test.state), "none")


def by_number(actor: Actor, slug: str, low: int, high: int) -> dict[int, Outcome]:
    """Return how the runs of the versions from one number to another went. One query."""
    rows = _of(get(Pipeline, actor, slug=slug)).filter(version__number__range=(low, high))
    found = rows.order_by().values("version__number").annotate(**_FIGURES)
    return {int(row["version__number"] or 0): _outcome(row) for row in found}


def compared(actor: Actor, slug: str, older: str, newer: str) -> Compared:
    """Return what runs tell of two versions, or of a version and the draft as it is; NotFound for another name."""
    return _compared(get(Pipeline.objects.select_related("draft"), actor, slug=slug), older, newer)


def publishing(actor: Actor, slug: str) -> Publishing:
    """Return what runs say before a draft is published."""
    pipeline = get(Pipeline.objects.select_related("draft", "published"), actor, slug=slug)
    runs = scoped(Run, actor).filter(pipeline=pipeline, parent=None)
    test = _of_draft(pipeline, runs).order_by("-created_at").first()
    under_way = Run.objects.filter(pipeline=pipeline, state__in=OPEN_RUN_STATES).order_by()
    counts = dict(under_way.values_list("version__number").annotate(Count("id")))
    live = pipeline.published
    return Publishing(
        test=test,
        badge=run_badge(test.state, test.reason) if test else None,
        open_runs=sum(counts.values()),
        open_version=next(iter(counts)) if len(counts) == 1 else None,
        compared=_compared(pipeline, str(live.number), DRAFT) if live else None,
    )


def difference(name: str, before: Sample, after: Sample, unit: str) -> Difference:
    """Return how a mean moved; its interval is Welch's, for two samples of unlike spread."""
    means = before.mean if before.count else None, after.mean if after.count else None
    if min(before.count, after.count) < LEAST:
        return Difference(name, unit, *means)
    parts = [sample.spread**2 / sample.count for sample in (before, after)]
    error = math.sqrt(sum(parts))
    reach = error * _t95(_freedom(parts, (before.count, after.count)))
    move = after.mean - before.mean
    return Difference(name, unit, *means, move - reach, move + reach)


def moved_rate(before: Outcome, after: Outcome) -> Difference:
    """Return how the share of runs that succeeded moved, in points of a percent.

    The interval is Agresti's and Caffo's (2000), which also holds where all runs succeeded.
    """
    rates = before.rate, after.rate
    if min(before.ended, after.ended) < LEAST:
        return Difference("Succeeded", "rate", *rates, more_is_better=True)
    shares = [((one.succeeded + 1) / (one.ended + 2), one.ended + 2) for one in (before, after)]
    error = math.sqrt(sum(share * (1 - share) / count for share, count in shares))
    move = shares[1][0] - shares[0][0]
    low, high = (100 * (move + sign * 1.96 * error) for sign in (-1, 1))
    return Difference("Succeeded", "rate", *rates, low, high, more_is_better=True)


_SECONDS = Cast(F("machine_ms"), FloatField()) / 1000.0
_FIGURES = {
    "runs": Count("id"),
    "succeeded": Count("id", filter=Q(state=RunState.SUCCEEDED)),
    "ended": Count("id", filter=_ENDED),
    "priced": Count("id", filter=_PRICED),
    "cost": Avg("cost_micros", filter=_PRICED),
    "cost_spread": StdDev("cost_micros", sample=True, filter=_PRICED),
    "seconds": Avg(_SECONDS, filter=_ENDED),
    "seconds_spread": StdDev(_SECONDS, sample=True, filter=_ENDED),
    "started": Sum("children"),
}


def _compared(pipeline: Pipeline, older: str, newer: str) -> Compared:
    before, after = (_outcome(_side(pipeline, name).aggregate(**_FIGURES)) for name in (older, newer))
    differences = (
        moved_rate(before, after),
        difference("Cost per run", before.cost, after.cost, "money"),
        difference("Machine time", before.seconds, after.seconds, "time"),
    )
    return Compared(older, newer, before, after, differences)


def _of(pipeline: Pipeline) -> "QuerySet[Run]":
    return Run.objects.filter(pipeline=pipeline, rehearsal=False)


def _side(pipeline: Pipeline, name: str) -> "QuerySet[Run]":
    """Return the runs of a version, or those that were started from the draft as it is now."""
    if name == DRAFT:
        return _of_draft(pipeline, _of(pipeline))
    if not (name.isascii() and name.isdecimal() and len(name) < 10):
        raise NotFound
    return _of(pipeline).filter(version__number=int(name))


def _of_draft(pipeline: Pipeline, runs: "QuerySet[Run]") -> "QuerySet[Run]":
    return runs.filter(version__number=None, version__hash=content_hash(pipeline.draft.document))


def _outcome(row: Mapping[str, Any]) -> Outcome:
    def figure(name: str) -> float:
        return float(row[name] or 0)

    return Outcome(
        runs=int(figure("runs")),
        succeeded=int(figure("succeeded")),
        ended=int(figure("ended")),
        cost=Sample(int(figure("priced")), figure("cost"), figure("cost_spread")),
        seconds=Sample(int(figure("ended")), figure("seconds"), figure("seconds_spread")),
        children=int(figure("started")),
    )


def _freedom(parts: list[float], counts: tuple[int, int]) -> float:
    """Return the degrees of freedom after Welch and Satterthwaite."""
    below = sum(part**2 / (count - 1) for part, count in zip(parts, counts, strict=True))
    return sum(parts) ** 2 / below if below else min(counts) - 1


def _t95(freedom: float) -> float:
    return _T95[max(key for key in _T95 if key <= max(freedom, 1))] if freedom < 120 else 1.98
