"""What was spent between two moments, by whatever a manager asks for; the total is what the ledger says.

Costs and tokens are sums over the spans of model calls; what lost calls may have cost comes from the ledger.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import CharField, Count, F, Func, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import TruncDate

from accounts.models import Workspace
from runs.models import LedgerEntry, Span
from runs.snapshot import one_snapshot

Key = tuple[str | None, ...]
DIMENSIONS = ("pipeline", "agent", "step", "model", "tag", "day")


@dataclass(frozen=True, slots=True)
class Spending:
    """Money is micro-dollars. `cost` is None when every answered call was without a known price.

    `calls` are all that were made, also those that failed or were lost.
    """

    cost: int | None = 0
    unconfirmed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    calls: int = 0
    runs: int = 0
    unpriced: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """Whose spending, by what, from a moment until (not including) another; days are the zone's."""

    workspace: Workspace
    by: Sequence[str]
    since: dt.datetime
    until: dt.datetime
    zone: dt.tzinfo


@dataclass(frozen=True, slots=True)
class Breakdown:
    """`lines` by the asked dimensions, by day and then dearest first.

    A run with two tags counts in both of their lines and once in the total.
    """

    lines: Mapping[Key, Spending] = field(default_factory=dict)
    total: Spending = Spending()


def breakdown(question: Question) -> Breakdown:
    """Return the lines and their total from one snapshot. Four queries."""
    with one_snapshot():
        lines = _spending(question, question.by)
        total = _spending(question, ())
    order = list(question.by)

    def rank(line: tuple[Key, Spending]) -> tuple[Any, ...]:
        key, spending = line
        day = key[order.index("day")] if "day" in order else ""
        return (day, -(spending.cost or 0), [name or "" for name in key])

    return Breakdown(dict(sorted(lines.items(), key=rank)), total.get((), Spending()))


def _spending(question: Question, by: Sequence[str]) -> dict[Key, Spending]:
    lost = dict(_grouped(_lost(question), _LOST, by, question.zone, _LOST_SUMS))
    found = {
        key: _of(row, lost.get(key, {})) for key, row in _grouped(_spans(question), _SPANS, by, question.zone, _SUMS)
    }
    return found | {key: _of({}, row) for key, row in lost.items() if key not in found}


def _of(spans: Mapping[str, Any], lost: Mapping[str, Any]) -> Spending:
    """Return one line. A line of lost calls alone has runs but no calls: their spans were never written."""
    unpriced = spans.get("unpriced", 0)
    return Spending(
        cost=None if unpriced and not spans["priced"] else spans.get("cost") or 0,
        unconfirmed=lost.get("unconfirmed") or 0,
        input_tokens=spans.get("input") or 0,
        output_tokens=spans.get("output") or 0,
        calls=spans.get("calls", 0),
        runs=spans.get("runs") or lost.get("runs", 0),
        unpriced=unpriced,
    )


def _spans(question: Question) -> QuerySet[Span]:
    return Span.objects.filter(
        workspace=question.workspace, model__isnull=False, end__gte=question.since, end__lt=question.until
    ).order_by()


def _lost(question: Question) -> QuerySet[LedgerEntry]:
    return LedgerEntry.objects.filter(
        run__workspace=question.workspace,
        run__unconfirmed_micros__gt=0,
        kind=LedgerEntry.Kind.UNCONFIRMED,
        at__gte=question.since,
        at__lt=question.until,
    ).order_by()


class _EachTag(Func):
    """A row for each of a run's tags, and one without where it has none."""

    template = "unnest(coalesce(nullif(%(expressions)s, '{}'), array[null]::varchar[]))"
    set_returning = True
    output_field = CharField()


def _text(path: str, pattern: str) -> Func:
    """Return a ledger entry's path (path@attempt) without what matches."""
    return Func(F(path), Value(pattern), Value(""), Value("g"), function="regexp_replace", output_field=CharField())


_SAME_STEP = Span.objects.filter(run=OuterRef("run"), path=OuterRef("at_path"), agent__isnull=False).values("agent")
_SPANS: Mapping[str, Any] = {
    "pipeline": F("pipeline__slug"),
    "agent": F("agent"),
    "step": F("node"),
    "model": F("model"),
    "tag": _EachTag(F("run__tags")),
    "day": "end",
}
_LOST: Mapping[str, Any] = {
    "pipeline": F("run__pipeline__slug"),
    "agent": Subquery(_SAME_STEP[:1]),
    "step": _text("path", r"^.*\.|@\d+$"),
    "model": F("model"),
    "tag": _EachTag(F("run__tags")),
    "day": "at",
}
_SUMS: Mapping[str, Any] = {
    "cost": Sum("cost_micros"),
    "priced": Count("cost_micros"),
    "unpriced": Count("id", filter=Q(status="ok", cost_micros=None)),
    "input": Sum("input_tokens"),
    "output": Sum("output_tokens"),
    "calls": Count("id"),
    "runs": Count("run", distinct=True),
}
_LOST_SUMS: Mapping[str, Any] = {"unconfirmed": Sum("amount_micros"), "runs": Count("run", distinct=True)}


def _grouped(
    rows: "QuerySet[Any]", names: Mapping[str, Any], by: Sequence[str], zone: dt.tzinfo, sums: Mapping[str, Any]
) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    """Yield the sums of each group; without dimensions there is one, of all rows."""
    if not by:
        yield (), rows.aggregate(**sums)
        return
    rows = rows.annotate(at_path=_text("path", r"@\d+$")) if names is _LOST else rows
    keys = {f"by_{name}": TruncDate(names[name], tzinfo=zone) if name == "day" else names[name] for name in by}
    for row in rows.values(**keys).annotate(**sums).values(*keys, *sums):
        yield tuple(_shown(row[key]) for key in keys), row


def _shown(value: Any) -> str | None:
    return value.isoformat() if isinstance(value, dt.date) else value
