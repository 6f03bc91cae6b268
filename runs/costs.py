"""What the pages tell of spending, in the workspace's own days and months; `runs.spending` adds it up."""

import datetime as dt
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from accounts.models import Workspace
from pipelines.models import Budget
from runs.behind import names_of
from runs.models import BudgetCounter
from runs.spending import Question, Spending, ask, below
from runs.spending import by_hour as spent_by_hour

MONTH = 31
LAST_MOMENT = dt.datetime(2200, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Spend:
    """Money is micro-dollars. `micros` is None when every call was without a known price."""

    micros: int | None = 0
    calls: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Cap:
    """A budget and what its period has used; `max_micros` is with what a manager allowed this period beyond it.

    `is_whole` says that it is about all that the workspace spends, and not about a pipeline or a tag.
    """

    name: str
    is_whole: bool
    period: str
    max_micros: int
    spent_micros: int
    reserved_micros: int

    @property
    def left_micros(self) -> int:
        return max(0, self.max_micros - self.spent_micros - self.reserved_micros)


@dataclass(frozen=True, slots=True)
class Period:
    """The starts of the workspace's day and month around a moment."""

    zone: zoneinfo.ZoneInfo
    today: dt.datetime
    month: dt.datetime

    @classmethod
    def around(cls, workspace: Workspace, now: dt.datetime) -> "Period":
        zone = zoneinfo.ZoneInfo(workspace.zone)
        midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
        return cls(zone, midnight, midnight.replace(day=1))


def today(workspace: Workspace, now: dt.datetime) -> tuple[Spend, Cap | None]:
    """Return today's spend and the workspace's daily budget, if it has one."""
    period = Period.around(workspace, now)
    spend = since(workspace, period.today)
    daily = Budget.objects.filter(workspace=workspace, pipeline=None, tag=None, period="day").first()
    if daily is None:
        return spend, None
    counter = BudgetCounter.objects.filter(budget=daily, period_start=period.today.date()).first()
    return spend, _with(daily, counter or BudgetCounter(spent_micros=spend.micros or 0))


def since(workspace: Workspace, start: dt.datetime) -> Spend:
    """Return what was spent from a moment until now."""
    return _spend(ask(_question(workspace, start)).total)


def between(workspace: Workspace, since: dt.datetime, until: dt.datetime) -> Spend:
    """Return what was spent between two moments."""
    return _spend(ask(Question(workspace, (), since, until, zoneinfo.ZoneInfo(workspace.zone))).total)


def by_pipeline(workspace: Workspace, since: dt.datetime, until: dt.datetime) -> list[tuple[str, int]]:
    """Return the names of pipelines and what they cost between two moments, the dearest first."""
    question = Question(workspace, ("pipeline",), since, until, zoneinfo.ZoneInfo(workspace.zone), with_total=False)
    names = names_of(workspace)
    return [(names.get(slug or "", slug or ""), one.cost) for (slug,), one in ask(question).lines.items() if one.cost]


def by_hour(workspace: Workspace, now: dt.datetime) -> list[int]:
    """Return today's spend in micro-dollars for each of the 24 hours."""
    period = Period.around(workspace, now)
    return spent_by_hour(workspace, (period.today, now + dt.timedelta(days=1)), period.zone)


def caps(workspace: Workspace, period: Period, *, whole_workspace: bool = False) -> list[Cap]:
    """Return the workspace's budgets with what this day or month has used of them."""
    budgets = (
        Budget.objects.filter(workspace=workspace)
        .select_related("pipeline", "workspace")
        .order_by("pipeline__name", "tag", "period")
    )
    if whole_workspace:
        budgets = budgets.filter(pipeline=None, tag=None)
    starts = {"day": period.today.date(), "month": period.month.date()}
    counters = {
        (counter.budget_id, counter.period_start): counter
        for counter in BudgetCounter.objects.filter(budget__in=budgets, period_start__in=set(starts.values()))
    }
    return [_cap(budget, counters.get((budget.pk, starts[budget.period])), period) for budget in budgets]


def name_of(budget: Budget) -> str:
    """Return whose a budget is, as pages say it."""
    if budget.pipeline:
        return budget.pipeline.name
    return "Workspace" if budget.tag is None else f"Tag {budget.tag}"


def only_of(budget: Budget) -> dict[str, str | None]:
    """Return which spending a budget is about, as a question to the books keeps it.

    Of a pipeline's that is its own runs' alone: `below` knows that of the runs which its runs started.
    """
    if budget.pipeline:
        return {"pipeline": budget.pipeline.slug}
    return {} if budget.tag is None else {"tag": budget.tag}


def _cap(budget: Budget, counter: BudgetCounter | None, period: Period) -> Cap:
    """Return a budget with what its counter says; its first call makes the counter, and until then the spans know."""
    if counter is None:
        start = period.today if budget.period == "day" else period.month
        spent = ask(_question(budget.workspace, start, only=only_of(budget))).total.cost or 0
        if budget.pipeline:
            days = below.by_day(budget.workspace, [budget.pipeline.pk], start, period.zone)
            spent += sum(days.get(budget.pipeline.slug, {}).values())
        counter = BudgetCounter(spent_micros=spent)
    return _with(budget, counter)


def _with(budget: Budget, counter: BudgetCounter) -> Cap:
    return Cap(
        name=name_of(budget),
        is_whole=budget.pipeline_id is None and budget.tag is None,
        period=budget.period,
        max_micros=budget.max_cost_micros + counter.extra_micros,
        spent_micros=counter.spent_micros,
        reserved_micros=counter.reserved_micros,
    )


def _question(
    workspace: Workspace, start: dt.datetime, by: Sequence[str] = (), only: Mapping[str, str | None] | None = None
) -> Question:
    """Return the question what was spent since; nothing lies in the future, so it has no end."""
    return Question(workspace, by, start, LAST_MOMENT, zoneinfo.ZoneInfo(workspace.zone), only or {}, with_total=not by)


def _spend(found: Spending) -> Spend:
    return Spend(found.cost, found.calls, found.unpriced, found.input_tokens, found.output_tokens)
