"""How agents and models did lately: runs, cost, time and failures, from the spans of their calls."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Aggregate, CharField, Count, DurationField, F, Func, Q, QuerySet, Sum, Value

from accounts.models import Workspace
from runs.models import Span

DAYS = 14
# A median needs no more, and a busy workspace makes so many within minutes.
NEWEST_CALLS = 5_000


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one agent, or one version of it, in the last 14 days. `micros` is None where every call was unpriced."""

    agent: str = ""
    runs: int = 0
    calls: int = 0
    micros: int | None = 0
    unpriced: int = 0
    failed: int = 0
    median: float | None = None
    p95: float | None = None

    @property
    def per_call_micros(self) -> int | None:
        """What a call with a known price cost on average; None where there was none."""
        priced = self.calls - self.unpriced - self.failed
        return self.micros // priced if self.micros is not None and priced > 0 else None

    @property
    def number(self) -> int:
        """The version, where the figures are those of one."""
        number = self.agent.partition("@")[2]
        return int(number) if number.isdecimal() else 0


class _Percentile(Aggregate):
    function = "PERCENTILE_CONT"
    template = "%(function)s(%(fraction)s) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = DurationField()


def by_agent(workspace: Workspace, now: dt.datetime) -> dict[str, Figures]:
    """Return by slug what each agent did. One query."""
    rows = _calls(workspace, now).annotate(slug=_slug()).values("slug").annotate(**_sums())
    return {row["slug"]: _figures(row["slug"], row) for row in rows}


def of_agent(workspace: Workspace, slug: str, now: dt.datetime) -> tuple[Figures, list[Figures]]:
    """Return what one agent did, in all its versions together and in each. Two queries."""
    calls = _calls(workspace, now).filter(agent__startswith=f"{slug}@")
    whole = _figures(slug, calls.aggregate(**_sums(), **_times()))
    rows = calls.values("agent").annotate(**_sums(), **_times())
    return whole, [_figures(str(row["agent"]), row) for row in rows]


def seconds_by_model(workspace: Workspace) -> dict[str, float]:
    """Return by model how long half of its calls took at most, among the workspace's newest calls. One query."""
    newest = Span.objects.filter(workspace=workspace, model__isnull=False).order_by("-end")[:NEWEST_CALLS]
    rows = Span.objects.filter(pk__in=newest.values("pk"), status="ok").order_by().values("model")
    found = rows.annotate(half=_Percentile(F("end") - F("start"), fraction="0.5"))
    return {str(row["model"]): row["half"].total_seconds() for row in found}


def _calls(workspace: Workspace, now: dt.datetime) -> "QuerySet[Span]":
    since = now - dt.timedelta(days=DAYS)
    spans = Span.objects.filter(workspace=workspace, model__isnull=False, agent__isnull=False, end__gte=since)
    return spans.order_by()


def _slug() -> Func:
    return Func("agent", Value("@"), Value(1), function="split_part", output_field=CharField())


def _sums() -> dict[str, Any]:
    return {
        "runs": Count("run", distinct=True),
        "calls": Count("id"),
        "micros": Sum("cost_micros"),
        "unpriced": Count("id", filter=Q(cost_micros=None, status="ok")),
        "failed": Count("id", filter=~Q(status="ok")),
    }


def _times() -> dict[str, Any]:
    took = F("end") - F("start")
    return {name: _Percentile(took, fraction=part) for name, part in (("median", "0.5"), ("p95", "0.95"))}


def _figures(agent: str, row: Mapping[str, Any]) -> Figures:
    unpriced, micros = row["unpriced"], row["micros"]
    median, p95 = row.get("median"), row.get("p95")
    return Figures(
        agent=agent,
        runs=row["runs"],
        calls=row["calls"],
        micros=None if unpriced and micros is None else micros or 0,
        unpriced=unpriced,
        failed=row["failed"],
        median=median.total_seconds() if median is not None else None,
        p95=p95.total_seconds() if p95 is not None else None,
    )
