"""Caps over a day or a month, for a workspace, a pipeline or a tag; `runs.allowance` holds calls to them.

Whatever loosens a cap needs a reason. Everything that is done to one stands in its history and in the audit log.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Case, F, QuerySet, Value, When

from accounts import audit
from accounts.access import Actor, Capability, get, hidden_from, require, scoped
from accounts.errors import Invalid, NotFound
from accounts.models import Workspace
from pipelines.graph.model import DEFAULT_ALERTS, Json
from pipelines.graph.money import dollars, micros
from pipelines.models import ON_EXCEED, Budget, BudgetChange, Pipeline

LONGEST_REASON = 400
LONGEST_TAG = 63
MOST = 2**63 - 1
Act = BudgetChange.Act


@dataclass(frozen=True, slots=True)
class BudgetFields:
    """`pipeline` is a slug, `tag` one of the runs' tags; with neither the budget is the whole workspace's.

    `alert_at` are shares of the cap in (0, 1]. A budget that is not `hard` only alerts. `on_exceed` says what happens
    to a step that a hard one refuses a call. `reason` is needed to raise a cap or to soften it.
    """

    period: str
    max_cost_usd: str
    pipeline: str | None = None
    hard: bool = True
    alert_at: tuple[float, ...] = DEFAULT_ALERTS
    on_exceed: str = "stop"
    tag: str | None = None
    reason: str = ""


def listed(actor: Actor) -> QuerySet[Budget]:
    """Return the workspace's budgets with their pipelines."""
    return scoped(Budget, actor).select_related("pipeline")


def history(actor: Actor) -> QuerySet[BudgetChange]:
    """Return what was done to the workspace's budgets, newest first, without those of pipelines kept from the actor.

    Each row's `why` is its reason; "" where a run of such a pipeline asked for more.
    """
    rows = scoped(BudgetChange, actor).select_related("by").order_by("-id")
    hidden = list(hidden_from(actor).values())
    if not hidden:
        return rows.annotate(why=F("reason"))
    asked = When(terms__of__has_any_keys=hidden, then=Value(""))
    rows = rows.exclude(scope__regex=rf"^pipeline ({'|'.join(map(re.escape, hidden))})/")
    return rows.annotate(why=Case(asked, default=F("reason")))


@transaction.atomic
def put(actor: Actor, fields: BudgetFields) -> Budget:
    """Set the budget of this scope and period, instead of the one before.

    Raises Forbidden, NotFound, Invalid naming the field, `reason_needed` where it would loosen the cap without one.
    """
    require(actor, Capability.MANAGE)
    _check(fields)
    Workspace.objects.select_for_update(no_key=True).get(pk=actor.workspace.pk)  # two new budgets of one scope
    pipeline = get(Pipeline, actor, slug=fields.pipeline) if fields.pipeline is not None else None
    scope = {"workspace": actor.workspace, "pipeline": pipeline, "tag": fields.tag, "period": fields.period}
    before = Budget.objects.select_for_update(of=("self",)).filter(**scope).first()
    now = Budget(
        **scope,
        max_cost_micros=cap_of(fields.max_cost_usd),
        hard=fields.hard,
        on_exceed=fields.on_exceed,
        alert_at=sorted(set(fields.alert_at)),
    )
    reason = checked_reason(fields.reason, is_needed=before is not None and _loosens(before, now))
    if before is not None:
        now.pk, now._state.adding = before.pk, False
    now.save()
    _note(actor, now, before, reason)
    return now


@transaction.atomic
def remove(actor: Actor, budget: Budget, reason: str = "") -> None:
    """Take a budget away: from now on nothing is held to it.

    It is judged as it is by then, not as it was read: raises Invalid `reason_needed` for a hard one without, NotFound.
    """
    require(actor, Capability.MANAGE)
    rows = Budget.objects.select_for_update(of=("self",)).select_related("pipeline")
    now = rows.filter(pk=budget.pk).first()  # locked, so that a counter that begins just now is gone with it
    if now is None:
        raise NotFound
    reason = checked_reason(reason, is_needed=now.hard)
    keep(actor, target(now), Act.REMOVED, now.max_cost_micros, None, reason)
    tell(actor, now, "budget.removed", {}, reason)
    now.delete()


def target(budget: Budget) -> str:
    """Return what people call a budget: "workspace/day", "pipeline brief/month", "tag research/month"."""
    if budget.pipeline is not None:
        scope = f"pipeline {budget.pipeline.slug}"
    else:
        scope = "workspace" if budget.tag is None else f"tag {budget.tag}"
    return f"{scope}/{budget.period}"


def keep(actor: Actor, scope: str, act: str, was: int | None, cap: int | None, reason: str, **terms: Json) -> None:
    """Write one line of the history."""
    BudgetChange.objects.create(
        workspace=actor.workspace,
        scope=scope,
        act=act,
        was_micros=was,
        cap_micros=cap,
        terms=terms,
        reason=reason,
        by=actor.user,
    )


def tell(actor: Actor, budget: Budget, act: str, told: Mapping[str, Json], reason: str) -> None:
    """Say in the audit log what was done to a budget.

    Why is told of one that is no pipeline's: who reads that log need not see the pipeline, and the history has it.
    """
    why = {} if budget.pipeline else {"reason": reason}
    audit.record(actor.workspace, actor.user, act, target(budget), {**told, **why})


def cap_of(amount: str, where: str = "/max_cost_usd") -> int:
    """Return an amount of dollars above zero in micro-dollars; Invalid."""
    try:
        cap = micros(amount)
    except ValueError as error:
        raise Invalid(str(error), where=where) from None
    if not 0 < cap <= MOST:
        raise Invalid('The amount must be more than $0, as text like "50.00".', where=where)
    return cap


def checked_reason(reason: str, *, is_needed: bool) -> str:
    """Return a reason without blanks around it; Invalid `reason_needed` where there must be one."""
    reason = " ".join(reason.split())
    if "\x00" in reason or len(reason) > LONGEST_REASON:
        raise Invalid(f"A reason is text of at most {LONGEST_REASON} characters.", where="/reason")
    if is_needed and not reason:
        raise Invalid("Say why: whoever looks after the money reads it later.", code="reason_needed", where="/reason")
    return reason


def _note(actor: Actor, now: Budget, before: Budget | None, reason: str) -> None:
    was, cap = before.max_cost_micros if before else None, now.max_cost_micros
    terms: dict[str, Json] = {"hard": now.hard, "on_exceed": now.on_exceed}
    keep(actor, target(now), _act(before, now), was, cap, reason, **terms)
    tell(actor, now, "budget.set", {"max_cost_usd": dollars(cap), "was_usd": dollars(was), **terms}, reason)


def _act(before: Budget | None, now: Budget) -> str:
    if before is None:
        return Act.SET
    if now.max_cost_micros == before.max_cost_micros:
        return Act.CHANGED
    return Act.RAISED if now.max_cost_micros > before.max_cost_micros else Act.LOWERED


def _loosens(before: Budget, now: Budget) -> bool:
    return now.max_cost_micros > before.max_cost_micros or (before.hard and not now.hard)


def _check(fields: BudgetFields) -> None:
    if fields.period not in ("day", "month"):
        raise Invalid(f"The period is day or month, not {fields.period[:40]!r}.", where="/period")
    if fields.on_exceed not in ON_EXCEED:
        raise Invalid(f"on_exceed is {', '.join(ON_EXCEED)}, not {fields.on_exceed[:40]!r}.", where="/on_exceed")
    for index, share in enumerate(fields.alert_at):
        if not 0 < share <= 1:
            raise Invalid("An alert is a share of the cap: more than 0, at most 1.", where=f"/alert_at/{index}")
    if fields.tag is None:
        return
    if fields.pipeline is not None:
        raise Invalid("A budget is a pipeline's or a tag's, not both.", where="/tag")
    if not fields.tag.strip() or "\x00" in fields.tag or len(fields.tag) > LONGEST_TAG:
        raise Invalid(f"A tag is text of at most {LONGEST_TAG} characters, as runs carry it.", where="/tag")
