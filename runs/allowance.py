"""What a workspace, a pipeline and a tag may still spend in a day or a month; calls are held to it beforehand.

A pipeline's budget holds what its runs spend and what all runs below them do, whatever pipelines those are of.

A budget's period has one counter, moved only here and by the commit that settles a call. Whoever moves several counters
locks them after the run, in the order of their ids and in one statement of a transaction, so that no two can wait for
each other. Raw SQL: this is the hot path of runs that have such a budget, and one round trip.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import db
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from pipelines.graph.model import Json
from pipelines.graph.money import dollars
from runs.effects import AddMoney, Row, RunFacts
from runs.engine.budget import PERIOD, Refusal
from runs.engine.decision import Event
from runs.engine.facts import ErrorClass, StepError


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model call about to be announced by the run's owner at `epoch`. `micros` is None when its price is unknown."""

    run_id: str
    epoch: int
    call: str
    model: str
    micros: int | None


@dataclass(frozen=True, slots=True)
class Period:
    """A budget's present period, in micro-dollars; without `pipeline` (its name) and `tag` it is the whole workspace's.

    `spent` is settled, `used` is that and what open calls hold. `is_above`: it is of a pipeline above the run's own.
    """

    budget_id: str
    workspace: str
    pipeline: str | None
    tag: str | None
    period: str
    start: dt.date
    cap: int
    spent: int
    used: int
    is_above: bool

    @property
    def scope(self) -> str:
        if self.pipeline is not None:
            return "pipeline"
        return "workspace" if self.tag is None else "tag"

    @property
    def left(self) -> int:
        return max(0, self.cap - self.used)

    @property
    def words(self) -> str:
        """Whose money of which days: "the $5 that Acme may spend on 20 November 2026"."""
        named = {"workspace": self.workspace, "pipeline": f"the pipeline {self.pipeline}"}
        whose = named.get(self.scope, f"runs with the tag {self.tag}")
        when = f"on {self.start.day} {self.start:%B %Y}" if self.period == "day" else f"in {self.start:%B %Y}"
        return f"the ${dollars(self.cap)} that {whose} may spend {when}"


@dataclass(frozen=True, slots=True)
class Alert:
    """A share of a budget was crossed since somebody last looked: told once in its period."""

    period: Period
    share: float

    @property
    def payload(self) -> dict[str, Json]:
        return {
            "scope": self.period.scope,
            **({"tag": self.period.tag} if self.period.tag is not None else {}),
            **({"pipeline": self.period.pipeline} if self.period.pipeline is not None else {}),
            "period": self.period.period,
            "period_start": self.period.start.isoformat(),
            "at": self.share,
            "spent_usd": dollars(self.period.spent),
            "cap_usd": dollars(self.period.cap),
        }


@dataclass(frozen=True, slots=True)
class Held:
    """The answer: `refusal` None says that the call may be announced and, where a budget covers it, is held.

    `beyond` says of a refusal which budget it was and what is to be done.
    """

    refusal: StepError | None = None
    beyond: Refusal | None = None
    alerts: tuple[Alert, ...] = ()


# Each budget over the run `r` once, also where its pipeline stands above the run several times.
_COVERS = """b.workspace_id = r.workspace_id and (b.tag is null or b.tag = any(r.tags))
  and (b.pipeline_id is null or b.pipeline_id = r.pipeline_id or b.pipeline_id = any(r.above))"""
_DUE = f"""
  select b.id as budget_id, b.workspace_id, b.pipeline_id, b.tag, w.name as workspace, p.name as pipeline, b.period,
    b.max_cost_micros as cap, b.hard, b.on_exceed, b.alert_at, b.pipeline_id <> r.pipeline_id as is_above,
    date_trunc(b.period, now() at time zone w.zone)::date as start,
    date_trunc(b.period, now() at time zone w.zone) at time zone w.zone as opened
  from runs_run r
  join accounts_workspace w on w.id = r.workspace_id
  join pipelines_budget b on {_COVERS}
  left join pipelines_pipeline p on p.id = b.pipeline_id
  where r.id = %(run)s and r.epoch = %(epoch)s
"""

# All or nothing: a call is held by every budget over it, or by none when one refuses or has no counter yet. A call
# that is held already (its answer was lost on the way) is not held again.
_HOLD = f"""
with due as materialized ({_DUE}),
counter as materialized (
  select c.id, c.budget_id, c.period_start, c.spent_micros as spent, c.spent_micros + c.reserved_micros as used,
    c.alerted_micros as alerted, c.full_micros as told, d.cap + c.extra_micros as cap, d.hard, d.alert_at
  from runs_budgetcounter c join due d on d.budget_id = c.budget_id and d.start = c.period_start
  order by c.id for update of c
),
judged as materialized (
  select counter.*, hard and (%(micros)s::bigint is null or used + %(micros)s::bigint > cap) and not exists (
      select from runs_budgethold h where h.run_id = %(run)s and h.call = %(call)s) as refuses
  from counter
),
ended as materialized (
  select judged.*, refuses and %(micros)s::bigint is not null and told <> cap and 1 = any(alert_at)
    and not (alerted >= cap) as at_end
  from judged
),
news as materialized (
  select ended.*, array(
    select share from unnest(alert_at) share
    where (share * cap > alerted and share * cap <= spent and not (share = 1 and told = cap)) or (at_end and share = 1)
    order by share) as alerts
  from ended
),
verdict as materialized (
  select (select count(*) from judged) = (select count(*) from due) as complete,
    not exists (select from judged where refuses) as granted
),
held as (
  insert into runs_budgethold (run_id, call, budget_id, period_start, amount_micros)
  select %(run)s, %(call)s, j.budget_id, j.period_start, coalesce(%(micros)s::bigint, 0)
  from news j, verdict where verdict.complete and verdict.granted
  on conflict (run_id, call, budget_id) do nothing
  returning budget_id, period_start, amount_micros
),
moved as (
  update runs_budgetcounter c set reserved_micros = c.reserved_micros + coalesce(held.amount_micros, 0),
    alerted_micros = case when cardinality(j.alerts) = 0 then c.alerted_micros else c.spent_micros end,
    full_micros = case when 1 = any(j.alerts) then j.cap else c.full_micros end
  from verdict, news j left join held on held.budget_id = j.budget_id and held.period_start = j.period_start
  where c.id = j.id and verdict.complete and (held.budget_id is not null or cardinality(j.alerts) > 0)
)
select due.budget_id, due.workspace, due.pipeline, due.tag, due.period, due.start, coalesce(j.cap, due.cap) as cap,
  j.spent, j.used, j.id is not null as opened, coalesce(j.refuses, false) as refuses, due.on_exceed, j.alerts,
  coalesce(due.is_above, false) as is_above
from due left join news j on j.budget_id = due.budget_id
order by due.pipeline_id is null, is_above, due.pipeline, due.tag is null, due.tag, due.period
"""

# A budget made in the middle of its period knows what was spent before (what the spans of calls that began in it say,
# and what lost calls may have cost), and holds what is under way. The lock on the budget makes its removal wait, or
# find the counter too.
_OPEN = f"""
with due as materialized ({_DUE}),
unspanned as materialized (
  select due.budget_id, due.start, c.run_id, c.key as call, c.state, c.reserved_micros as micros
  from due
  join runs_run r on r.workspace_id = due.workspace_id
    and (due.pipeline_id is null or r.pipeline_id = due.pipeline_id or due.pipeline_id = any(r.above))
    and (due.tag is null or due.tag = any(r.tags)) and (r.owner is not null or r.unconfirmed_micros > 0)
  join runs_call c on c.run_id = r.id and c.kind = 'model'
    and (c.state = 'started' or (c.state = 'lost' and c.started_at >= due.opened))
  where not exists (
    select from runs_budgethold h where h.run_id = c.run_id and h.call = c.key and h.budget_id = due.budget_id)
),
opened as (
  insert into runs_budgetcounter (budget_id, period_start, spent_micros, reserved_micros, alerted_micros, full_micros,
    extra_micros)
  select b.id, due.start, (
      select coalesce(sum(s.cost_micros), 0) from runs_span s
      where s.workspace_id = due.workspace_id and s.model is not null and s."end" >= due.opened
        and s.start >= due.opened and (due.pipeline_id is null or s.pipeline_id = due.pipeline_id
          or exists (select from runs_run r where r.id = s.run_id and due.pipeline_id = any(r.above)))
        and (due.tag is null or exists (select from runs_run r where r.id = s.run_id and due.tag = any(r.tags)))
    ) + (select coalesce(sum(micros), 0) from unspanned u where u.budget_id = b.id and u.state = 'lost'),
    (select coalesce(sum(micros), 0) from unspanned u where u.budget_id = b.id and u.state = 'started'), 0, 0, 0
  from pipelines_budget b join due on due.budget_id = b.id
  order by b.id for key share of b
  on conflict (budget_id, period_start) do nothing
  returning budget_id
)
insert into runs_budgethold (run_id, call, budget_id, period_start, amount_micros)
select u.run_id, u.call, u.budget_id, u.start, u.micros from unspanned u join opened on opened.budget_id = u.budget_id
where u.state = 'started'
"""


async def hold(connection: AsyncConnection[Any], wanted: Wanted) -> Held:
    """Hold a call to every budget over its run, or say which one refuses; alerts are told either way.

    A call without a known price is refused by a hard budget and costs a soft one nothing. An owner that was fenced
    off holds nothing: its call cannot be announced any more. One statement, and another one when a period begins.
    """
    given = {
        "run": wanted.run_id,
        "epoch": wanted.epoch,
        "call": wanted.call,
        "micros": wanted.micros,
    }
    while True:
        cursor = connection.cursor(row_factory=dict_row)
        await cursor.execute(_HOLD, given, prepare=True)
        rows = await cursor.fetchall()
        if all(row["opened"] for row in rows):
            break
        await connection.execute(_OPEN, given)
    refusing = next((row for row in rows if row["refuses"]), None)
    alerts = tuple(Alert(_period(row), share) for row in rows for share in row["alerts"])
    if refusing is None:
        return Held(alerts=alerts)
    error = _refusal(_period(refusing), wanted)
    return Held(error, _beyond(_period(refusing), wanted, error, refusing["on_exceed"]), alerts)


async def budgeted(connection: AsyncConnection[Any], run_ids: Sequence[str]) -> set[str]:
    """Return which of these runs have a budget over them."""
    cursor = await connection.execute(
        f"select r.id from runs_run r where r.id = any(%s) and {IS_BUDGETED}",
        (list(run_ids),),
        prepare=True,
    )
    return {str(row[0]) for row in await cursor.fetchall()}


IS_BUDGETED = f"exists (select from pipelines_budget b where {_COVERS})"
"""Whether a budget covers the run `r`, as SQL."""


def closing(calls: str, more: str = "") -> str:
    """Return the common table expressions that close the holds of calls and move their counters.

    `calls` is a query of (run_id, call, cost_micros, lost): a lost call counts as spent with all it held, a call
    without cost gives everything back. Counters move by what the deletion returns, so a hold counts once, whoever
    closes it. `more` is a query of (budget_id, period_start, extra): what a manager allowed moves them as well.
    """
    allowed = f" union all select m.budget_id, m.period_start, 0, 0, m.extra from ({more}) m" if more else ""
    return f"""
closing as ({calls}),
closed as (
  delete from runs_budgethold h using closing x where h.run_id = x.run_id and h.call = x.call
  returning h.budget_id, h.period_start, h.amount_micros as held,
    case when x.lost then h.amount_micros else coalesce(x.cost_micros, 0) end as spent
),
counter as materialized (
  select c.id, m.held, m.spent, m.extra
  from runs_budgetcounter c join (
    select budget_id, period_start, sum(held)::bigint as held, sum(spent)::bigint as spent, sum(extra)::bigint as extra
    from (select budget_id, period_start, held, spent, 0::bigint as extra from closed{allowed}) moved group by 1, 2
  ) m on m.budget_id = c.budget_id and m.period_start = c.period_start
  order by c.id for update of c
),
counted as (
  update runs_budgetcounter c
  set reserved_micros = c.reserved_micros - counter.held, spent_micros = c.spent_micros + counter.spent,
    extra_micros = c.extra_micros + counter.extra
  from counter where c.id = counter.id
)"""


# A budget made while a call was under way holds it, and the commit with its answer may not know of the budget yet.
_LEFT_OPEN = """
  select distinct h.run_id, h.call, c.cost_micros, coalesce(c.state = 'lost', false) as lost from runs_budgethold h
  left join runs_call c on c.run_id = h.run_id and c.key = h.call
  where h.run_id = %s and c.state is distinct from 'started'
"""
_LEFT_BEHIND = """
  select distinct h.run_id, h.call, c.cost_micros, coalesce(c.state in ('started', 'lost'), false) as lost
  from runs_budgethold h left join runs_run r on r.id = h.run_id
  left join runs_call c on c.run_id = h.run_id and c.key = h.call
  where r.id is null or (r.owner is null and r.state in ('succeeded', 'failed', 'cancelled'))
"""
_LINE = """
insert into pipelines_budgetchange (workspace_id, scope, act, was_micros, cap_micros, terms, reason, by_id)
select b.workspace_id, coalesce('pipeline ' || p.slug, 'tag ' || b.tag, 'workspace') || '/' || b.period, 'allowed',
  b.max_cost_micros, %(extra)s,
  jsonb_build_object('of', jsonb_build_array(of.slug) || jsonb_path_query_array(r.origin, '$.ancestors[*][0]')),
  concat_ws(' · ', nullif(left(%(reason)s, 300), ''), left('asked by run #' || r.number || ' of ' || of.name, 90)),
  (select id from accounts_user where email = %(by)s)
from pipelines_budget b left join pipelines_pipeline p on p.id = b.pipeline_id
  join runs_run r on r.id = %(run)s join pipelines_pipeline of on of.id = r.pipeline_id
where b.id = %(budget)s
"""
_RELEASE = f"with {closing(_LEFT_OPEN)} select"
_SWEEP = f"with {closing(_LEFT_BEHIND)} select"


async def release(connection: AsyncConnection[Any], run_id: str) -> None:
    """Close what a former owner of the run left held: nothing is spent for calls that it never announced, and for those
    that have ended what they cost."""
    await connection.execute(_RELEASE, (run_id,))


def sweep() -> None:
    """Close the holds of runs that have ended without closing them: what was under way counts as spent."""
    with db.connection.cursor() as cursor:
        cursor.execute(_SWEEP)


def _period(row: dict[str, Any]) -> Period:
    names = ("workspace", "pipeline", "tag", "period", "start", "cap", "spent", "used", "is_above")
    return Period(budget_id=str(row["budget_id"]), **{name: row[name] for name in names})


def _refusal(period: Period, wanted: Wanted) -> StepError:
    if wanted.micros is None:
        message = f"The price of {wanted.model} is unknown, so the call cannot be held to {period.words}."
        return StepError(ErrorClass.BUDGET, "price_unknown", f"{message} Set its price on the connection.")
    left = "nothing" if not period.left else f"${dollars(period.left)}"
    message = f"The next call may cost ${dollars(wanted.micros)}; {left} is left of {period.words}."
    return StepError(ErrorClass.BUDGET, f"{period.scope}_cap", f"{message} Raise the budget, or start a new run later.")


def _beyond(period: Period, wanted: Wanted, error: StepError, on_exceed: str) -> Refusal:
    asked = wanted.micros or 0
    return Refusal(
        error.code,
        error.message,
        cap=f"{PERIOD}{period.budget_id}:{period.start.isoformat()}",
        what="price" if wanted.micros is None else "cost",
        short=max(0, period.used + asked - period.cap),
        limit=period.cap,
        used=period.used,
        asked=asked,
        on_exceed=on_exceed,
        whose=f"The budget of {period.pipeline}" if period.is_above else "",
    )


def more_for(event: Event, run: RunFacts) -> list[Row]:
    """Return what a manager's yes changes in the budget's present period (`budget_raised`)."""
    budget_id, _, start = str(event.payload["cap"]).removeprefix(PERIOD).partition(":")
    by, reason = str(event.payload.get("by", "")), str(event.payload.get("reason", ""))
    return [AddMoney(budget_id, start, int(event.payload["amount_micros"]), by, reason)]


def added(run_id: str, more: AddMoney) -> dict[str, Json]:
    """Return what a manager allowed as a row beside the holds that a commit closes."""
    period = {"budget_id": more.budget_id, "period_start": more.period_start}
    return {"run_id": run_id, **period, "extra": more.micros}


async def keep_line(connection: AsyncConnection[Any], run_id: str, more: AddMoney) -> None:
    """Write in the budget's history who allowed it more at whose asking; nothing once the budget is gone."""
    given = {"run": run_id, "budget": more.budget_id, "extra": more.micros, "by": more.by, "reason": more.reason}
    await connection.execute(_LINE, given)
