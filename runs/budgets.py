"""Where each budget stands in its present period, and money that a manager allows for that period alone."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.access import Actor, Capability, require
from accounts.errors import Conflict
from pipelines import budgets
from pipelines.graph.model import Json
from pipelines.graph.money import dollars
from pipelines.models import Budget, BudgetChange
from runs import costs
from runs.models import BudgetCounter
from runs.spending import Question, ask, below


@dataclass(frozen=True, slots=True)
class Standing:
    """A budget in its present period, money in micro-dollars. `extra` was allowed for this period beyond the cap.

    `by_day` is what each day of a month has spent so far, `days` how many the month has; a day's budget has neither.
    """

    budget: Budget
    name: str
    start: dt.date
    extra: int
    spent: int
    reserved: int
    by_day: Sequence[int] = ()
    days: int = 0

    @property
    def cap(self) -> int:
        return self.budget.max_cost_micros + self.extra

    @property
    def left(self) -> int:
        return max(0, self.cap - self.spent - self.reserved)

    @property
    def over(self) -> int:
        return max(0, self.spent - self.cap)

    @property
    def used_up_on(self) -> dt.date | None:
        """The day of this month on which the cap will be spent if each day costs as the days so far did; None where
        it is spent already, or will not be. The running day counts as a whole one, so that a morning does not
        promise too much."""
        if not self.by_day or not 0 < self.spent < self.cap:
            return None
        day = -(-self.cap * len(self.by_day) // self.spent)
        return self.start + dt.timedelta(days=day - 1) if day <= self.days else None


def standings(actor: Actor, now: dt.datetime) -> list[Standing]:
    """Return every budget of the workspace with what its period has used: its own first."""
    require(actor, Capability.READ)
    period = costs.Period.around(actor.workspace, now)
    rows = sorted(budgets.listed(actor), key=_place)
    starts = {"day": period.today.date(), "month": period.month.date()}
    counters = {
        (one.budget_id, one.period_start): one
        for one in BudgetCounter.objects.filter(budget__in=rows, period_start__in=set(starts.values()))
    }
    spent = _by_day(actor, rows, period)
    return [_standing(row, counters.get((row.pk, starts[row.period])), spent, period) for row in rows]


@transaction.atomic
def allow_more(actor: Actor, budget: Budget, amount_usd: str, reason: str) -> int:
    """Allow a budget more in its present period alone; return micro-dollars added. It counts for the next call.

    Raises Forbidden, Invalid (`reason_needed`), Conflict `budget_unused` while nothing of the period is used.
    """
    require(actor, Capability.MANAGE)
    amount = budgets.cap_of(amount_usd, "/add_usd")
    reason = budgets.checked_reason(reason, is_needed=True)
    start = period_start(budget)
    counter = BudgetCounter.objects.select_for_update().filter(budget=budget, period_start=start).first()
    if counter is None:
        message = f"Nothing of this {budget.period} is used yet. Raise the cap itself instead."
        raise Conflict(message, code="budget_unused")
    if budget.max_cost_micros + counter.extra_micros + amount > budgets.MOST:
        raise Conflict("That is more than can be counted.", code="budget_unused")
    BudgetCounter.objects.filter(pk=counter.pk).update(extra_micros=F("extra_micros") + amount)
    budgets.keep(actor, budgets.target(budget), BudgetChange.Act.ALLOWED, budget.max_cost_micros, amount, reason)
    told: dict[str, Json] = {"add_usd": dollars(amount), "period_start": start.isoformat()}
    budgets.tell(actor, budget, "budget.allowed", told, reason)
    return amount


def period_start(budget: Budget) -> dt.date:
    """Return the first day of the budget's present period, in the workspace's zone."""
    period = costs.Period.around(budget.workspace, timezone.now())
    return (period.today if budget.period == "day" else period.month).date()


def _place(budget: Budget) -> tuple[int, str, str]:
    scope = 1 if budget.pipeline else 0 if budget.tag is None else 2
    return (scope, costs.name_of(budget).casefold(), budget.period)


ByDay = Mapping[tuple[str, str | None], Mapping[str, int]]
"""The month's spend by (dimension, its value) and by day; ("", None) is all of it."""


def _by_day(actor: Actor, rows: Sequence[Budget], period: costs.Period) -> ByDay:
    """Return what the burn-down needs: a question for each kind of budget, and one for runs below pipelines."""
    found: dict[tuple[str, str | None], dict[str, int]] = {}
    for dimension in sorted({_key(row)[0] for row in rows}):
        by = (dimension, "day") if dimension else ("day",)
        question = Question(actor.workspace, by, period.month, costs.LAST_MOMENT, period.zone, with_total=False)
        for key, spending in ask(question).lines.items():
            name = (dimension, key[0] if dimension else None)
            found.setdefault(name, {})[str(key[-1])] = spending.cost or 0
    of = [row.pipeline_id for row in rows if row.pipeline_id]
    for slug, days in below.by_day(actor.workspace, of, period.month, period.zone).items():
        own = found.setdefault(("pipeline", slug), {})
        for day, micros in days.items():
            own[day] = own.get(day, 0) + micros
    return found


def _key(budget: Budget) -> tuple[str, str | None]:
    return next(iter(costs.only_of(budget).items()), ("", None))


def _standing(budget: Budget, counter: BudgetCounter | None, by_day: ByDay, period: costs.Period) -> Standing:
    """A period that no call has begun has no counter yet; then the books know what a new budget begins with."""
    today, month = period.today.date(), period.month.date()
    own = by_day.get(_key(budget), {})
    days = [own.get(str(month + dt.timedelta(days=n)), 0) for n in range((today - month).days + 1)]
    is_month = budget.period == "month"
    if counter is None:
        counter = BudgetCounter(spent_micros=sum(days) if is_month else days[-1])
    return Standing(
        budget=budget,
        name=costs.name_of(budget),
        start=month if is_month else today,
        extra=counter.extra_micros,
        spent=counter.spent_micros,
        reserved=counter.reserved_micros,
        by_day=days if is_month else (),
        days=((month + dt.timedelta(days=32)).replace(day=1) - month).days if is_month else 0,
    )
