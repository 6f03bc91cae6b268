"""Calls are held to the day and month budgets of their workspace and pipeline, whoever asks at the same moment."""

import asyncio
import datetime as dt
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from pipelines.models import Budget, BudgetChange, Pipeline
from runs import allowance, claims, store
from runs.allowance import Held, Wanted
from runs.effects import AddMoney
from runs.models import BudgetCounter, BudgetHold, Call, Run, Span
from tests.people import a_workspace
from tests.runs.builders import AT, a_commit, a_connection, a_run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_day]


@sync_to_async
def a_capped_run(zone: str = "UTC", **caps: int) -> Run:
    """Return a run with the tags a and b whose workspace has these caps: workspace_day=1000, pipeline_month=500,
    a_day=300 (of the tag a), in micro-dollars."""
    run = a_run(a_workspace("acme", zone=zone), owner="w/1", epoch=1, tags=["a", "b"])
    for name, cap in caps.items():
        add_budget(run, name, cap)
    return run


def add_budget(run: Run, name: str, cap: int, **fields: Any) -> Budget:
    scope, period = name.split("_")
    pipeline = run.pipeline if scope == "pipeline" else None
    tag = scope if scope not in ("workspace", "pipeline") else None
    return Budget.objects.create(
        workspace=run.workspace, pipeline=pipeline, tag=tag, period=period, max_cost_micros=cap, **fields
    )


def a_call(run: Run, n: int = 1, micros: int | None = 100, **fields: Any) -> Wanted:
    return Wanted(
        **{"run_id": str(run.pk), "epoch": 1, "call": f"a@1/{n}", "model": "stub/m", "micros": micros, **fields}
    )


async def hold(*wanted: Wanted) -> list[Held]:
    async with await a_connection() as connection:
        return [await allowance.hold(connection, one) for one in wanted]


async def settle(run: Run, revision: int, *closed: dict[str, Any]) -> None:
    rows = [{"run_id": str(run.pk), "cost_micros": None, "lost": False, **row} for row in closed]
    async with await a_connection() as connection:
        assert await store.write(connection, [a_commit(run, owner="w/1", epoch=1, revision=revision, holds=rows)])


@sync_to_async
def counters() -> dict[str, tuple[int, int]]:
    """Return (spent, reserved) by scope and period."""
    rows = BudgetCounter.objects.select_related("budget")
    scopes = {c: "pipeline" if c.budget.pipeline_id else c.budget.tag or "workspace" for c in rows}
    return {f"{scopes[c]}_{c.budget.period}": (c.spent_micros, c.reserved_micros) for c in rows}


async def test_a_run_without_budgets_holds_nothing() -> None:
    run = await a_capped_run()
    assert await hold(a_call(run), a_call(run, 2, None)) == [Held(), Held()]
    assert not await BudgetHold.objects.aexists()


async def test_a_call_is_held_by_every_budget_over_its_run() -> None:
    run = await a_capped_run(workspace_day=1000, workspace_month=5000, pipeline_day=300, pipeline_month=900)
    assert await hold(a_call(run)) == [Held()]
    assert set((await counters()).values()) == {(0, 100)}
    assert await BudgetHold.objects.acount() == 4


async def test_a_budget_of_another_pipeline_is_not_touched() -> None:
    run = await a_capped_run(workspace_day=1000)
    other = await sync_to_async(a_run)(run.workspace, owner="w/1", epoch=1)
    await sync_to_async(add_budget)(other, "pipeline_day", 50)
    assert (await hold(a_call(run)))[0].refusal is None
    assert await counters() == {"workspace_day": (0, 100)}


async def test_sixteen_connections_at_once_never_pass_the_cap() -> None:
    run = await a_capped_run(workspace_day=1000, pipeline_month=1700)

    async def caller(n: int) -> list[int]:
        answers = await hold(*(a_call(run, 100 * n + k, 90) for k in range(8)))
        return [answer.refusal is None for answer in answers]

    granted = sum(sum(answers) for answers in await asyncio.gather(*(caller(n) for n in range(16))))
    assert granted == 11  # of 128: the twelfth would make 1,080 of 1,000
    assert await counters() == {"workspace_day": (0, 990), "pipeline_month": (0, 990)}
    assert await BudgetHold.objects.acount() == 22


async def test_a_run_with_several_tags_is_held_by_the_budget_of_each() -> None:
    run = await a_capped_run(a_day=300, b_month=250, c_day=50, workspace_day=1000)
    first, second, third = await hold(a_call(run, 1), a_call(run, 2), a_call(run, 3))
    assert (first, second) == (Held(), Held())
    assert third.refusal is not None
    assert third.refusal.code == "tag_cap"
    assert "$0.00005 is left of the $0.00025 that runs with the tag b may spend in" in third.refusal.message
    assert third.beyond is not None
    assert third.beyond.cap.startswith("budget:")
    assert await counters() == {"a_day": (0, 200), "b_month": (0, 200), "workspace_day": (0, 200)}, "all or nothing"


async def test_the_budget_of_a_tag_leaves_runs_without_it_alone() -> None:
    run = await a_capped_run(a_day=50)
    other = await sync_to_async(a_run)(run.workspace, owner="w/1", epoch=1, tags=["ab"])
    assert await hold(a_call(other)) == [Held()]
    async with await a_connection() as connection:
        assert await allowance.budgeted(connection, [str(run.pk), str(other.pk)]) == {str(run.pk)}


async def test_a_refusal_names_the_narrowest_budget_first() -> None:
    run = await a_capped_run(workspace_day=50, a_day=50, pipeline_day=50)
    codes = []
    for scope in ("pipeline", "tag", "workspace"):
        (answer,) = await hold(a_call(run))
        assert answer.refusal is not None
        codes.append(answer.refusal.code)
        narrowest = {"pipeline": {"pipeline": run.pipeline}, "tag": {"tag": "a"}}.get(scope, {})
        await Budget.objects.filter(**narrowest).adelete()
    assert codes == ["pipeline_cap", "tag_cap", "workspace_cap"]


async def test_sixteen_calls_of_two_runs_at_once_never_pass_the_cap_of_a_tag() -> None:
    """One run has both tags and the other one of them: whoever comes first, no counter passes its cap or waits for
    another in a circle."""
    run = await a_capped_run(a_day=1000, b_day=600)
    other = await sync_to_async(a_run)(run.workspace, owner="w/1", epoch=1, tags=["a"])

    async def caller(n: int) -> list[bool]:
        mine = run if n % 2 else other
        answers = await hold(*(a_call(mine, 100 * n + k, 90) for k in range(4)))
        return [answer.refusal is None for answer in answers]

    granted = sum(sum(answers) for answers in await asyncio.gather(*(caller(n) for n in range(16))))
    assert granted == 11, "of 64: the twelfth would make 1,080 of 1,000"
    found = await counters()
    assert found["a_day"] == (0, 990)
    of_both = await BudgetHold.objects.filter(budget__tag="b").acount()
    assert found.get("b_day", (0, 0)) == (0, 90 * of_both)
    assert of_both <= 6
    assert await BudgetHold.objects.acount() == granted + of_both


async def test_the_budget_of_a_tag_made_at_noon_knows_what_the_morning_cost() -> None:
    run = await a_capped_run()
    other = await sync_to_async(a_run)(run.workspace, owner="w/1", epoch=1, tags=["c"])
    now = dt.datetime.now(dt.UTC)
    for n, (mine, micros) in enumerate([(run, 400), (run, 300), (other, 9000)]):
        await Span.objects.acreate(
            run=mine, workspace=mine.workspace, pipeline=mine.pipeline, span_id=f"s{n}", name="chat m", model="stub/m",
            start=now, end=now, cost_micros=micros,
        )  # fmt: skip
    await _journal(run, "b@1/1", "started")
    await _journal(other, "b@1/1", "started")
    await sync_to_async(add_budget)(run, "a_month", 850)
    (answer,) = await hold(a_call(run))
    assert answer.refusal is not None
    assert "$0.00005 is left" in answer.refusal.message, "850 without the 700 spent and the 100 under way"


async def test_a_soft_budget_of_a_tag_alerts_with_its_tag() -> None:
    run = await a_capped_run()
    await sync_to_async(add_budget)(run, "a_day", 100, hard=False, alert_at=[0.5])
    await hold(a_call(run))
    await settle(run, 1, {"call": "a@1/1", "cost_micros": 60})
    (answer,) = await hold(a_call(run, 2))
    assert answer.refusal is None
    assert [(a.payload["scope"], a.payload["tag"], a.share) for a in answer.alerts] == [("tag", "a", 0.5)]


async def test_calls_that_hold_and_settle_at_once_leave_the_counters_right() -> None:
    run = await a_capped_run(workspace_day=10_000, workspace_month=10_000, pipeline_day=10_000)
    others = [await sync_to_async(a_run)(run.workspace, owner="w/1", epoch=1) for _ in range(7)]

    async def worker(mine: Run) -> None:
        for n in range(1, 11):
            assert (await hold(a_call(mine, n, 70)))[0].refusal is None
            await settle(mine, n, {"call": f"a@1/{n}", "cost_micros": 13})

    await asyncio.gather(*(worker(one) for one in [run, *others]))
    assert await counters() == {"workspace_day": (1040, 0), "workspace_month": (1040, 0), "pipeline_day": (130, 0)}
    assert not await BudgetHold.objects.aexists()


async def test_two_runs_that_settle_and_get_more_at_once_never_wait_for_each_other() -> None:
    """One closes a call of the first budget and is allowed more of the second, the other the other way round."""
    run = await a_capped_run()
    first, second = [await sync_to_async(add_budget)(run, name, 10_000) for name in ("a_day", "b_day")]
    both = [run, await sync_to_async(a_run)(run.workspace, owner="w/1", epoch=1)]
    for one, tag in zip(both, ("a", "b"), strict=True):
        await Run.objects.filter(pk=one.pk).aupdate(tags=[tag])
    await hold(*(a_call(one, n, 10) for one in both for n in range(1, 61)))
    start = (await BudgetCounter.objects.afirst()).period_start.isoformat()  # type: ignore[union-attr]

    async def go_on(mine: Run, other: Budget) -> None:
        async with await a_connection() as connection:
            for n in range(1, 61):
                closed = {"run_id": str(mine.pk), "call": f"a@1/{n}", "cost_micros": 7, "lost": False}
                more = [AddMoney(str(other.pk), start, 1), AddMoney(str(other.pk), start, 2)]
                commit = a_commit(mine, owner="w/1", epoch=1, revision=n, holds=[closed], rows=more)
                assert await store.write(connection, [commit])

    await asyncio.gather(go_on(both[0], second), go_on(both[1], first))
    extra = {c.budget_id: c.extra_micros async for c in BudgetCounter.objects.all()}
    assert extra == {first.pk: 180, second.pk: 180}
    assert await counters() == {"a_day": (420, 0), "b_day": (420, 0)}


async def test_more_for_a_budget_is_a_line_of_its_history_and_of_no_other_once_it_is_gone() -> None:
    run = await a_capped_run(workspace_day=100)
    above = [["outer", "sha256:0"], ["top", "sha256:1"]]
    await Run.objects.filter(pk=run.pk).aupdate(origin={"ancestors": above})
    await hold(a_call(run))
    budget = await Budget.objects.aget()
    start = (await BudgetCounter.objects.aget()).period_start.isoformat()
    for revision, by in ((1, "carol@example.com"), (2, "nobody@example.com")):
        more = AddMoney(str(budget.pk), start, 2_000_000, by, "why " * 100)
        async with await a_connection() as connection:
            await store.write(connection, [a_commit(run, owner="w/1", epoch=1, revision=revision, rows=[more])])
        await Budget.objects.all().adelete()
    (line,) = [line async for line in BudgetChange.objects.all()]
    assert (line.scope, line.act, line.was_micros, line.cap_micros) == ("workspace/day", "allowed", 100, 2_000_000)
    assert line.reason.endswith("why  · asked by run #1 of Pipeline")
    assert len(line.reason) <= 400
    asking = await Pipeline.objects.aget(pk=run.pipeline_id)
    assert line.terms == {"of": [asking.slug, "outer", "top"]}


async def test_a_refusal_names_scope_period_cap_and_what_is_left() -> None:
    run = await a_capped_run(workspace_day=1000, pipeline_month=250)
    _, _, third = await hold(a_call(run, 1), a_call(run, 2), a_call(run, 3))
    assert third.refusal is not None
    assert third.refusal.code == "pipeline_cap"
    month = f"{dt.datetime.now(dt.UTC):%B %Y}"
    assert third.refusal.message == (
        f"The next call may cost $0.0001; $0.00005 is left of the $0.00025 that the pipeline Pipeline may spend "
        f"in {month}. Raise the budget, or start a new run later."
    )
    assert await counters() == {"workspace_day": (0, 200), "pipeline_month": (0, 200)}, "all or nothing"


async def test_the_workspaces_own_cap_refuses_as_such() -> None:
    run = await a_capped_run(workspace_day=90)
    (answer,) = await hold(a_call(run))
    assert answer.refusal is not None
    assert answer.refusal.code == "workspace_cap"
    assert "that Acme may spend on" in answer.refusal.message


async def test_a_call_without_a_known_price_is_refused_by_a_hard_budget_only() -> None:
    run = await a_capped_run()
    await sync_to_async(add_budget)(run, "workspace_month", 10, hard=False)
    assert await hold(a_call(run, 1, None)) == [Held()]
    await sync_to_async(add_budget)(run, "workspace_day", 1000)
    (answer,) = await hold(a_call(run, 2, None))
    assert answer.refusal is not None
    assert answer.refusal.code == "price_unknown"
    assert "stub/m" in answer.refusal.message


async def test_a_soft_budget_counts_but_does_not_refuse() -> None:
    run = await a_capped_run()
    await sync_to_async(add_budget)(run, "workspace_day", 10, hard=False)
    assert (await hold(a_call(run)))[0].refusal is None
    assert await counters() == {"workspace_day": (0, 100)}


async def test_a_call_asked_for_twice_is_held_once() -> None:
    """The answer to the first asking was lost; the second must not be refused by what the first one took."""
    run = await a_capped_run(workspace_day=100)
    assert await hold(a_call(run), a_call(run)) == [Held(), Held()]
    assert await counters() == {"workspace_day": (0, 100)}


async def test_a_former_owner_holds_nothing() -> None:
    run = await a_capped_run(workspace_day=100)
    assert await hold(a_call(run, epoch=0)) == [Held()]
    assert not await BudgetHold.objects.aexists()


@pytest.mark.parametrize(
    ("closed", "spent"),
    [
        ({"cost_micros": 30}, 30),
        ({"cost_micros": 130}, 130),
        ({"cost_micros": None}, 0),
        ({"lost": True}, 100),
    ],
)
async def test_a_settled_call_moves_its_counters_with_the_commit(closed: dict[str, Any], spent: int) -> None:
    run = await a_capped_run(workspace_day=1000, pipeline_day=1000)
    await hold(a_call(run))
    await settle(run, 1, {"call": "a@1/1", **closed})
    await settle(run, 2, {"call": "a@1/1", **closed})
    assert await counters() == {"workspace_day": (spent, 0), "pipeline_day": (spent, 0)}
    assert not await BudgetHold.objects.aexists()


async def test_a_fenced_commit_settles_nothing() -> None:
    run = await a_capped_run(workspace_day=1000)
    await hold(a_call(run))
    row = {"run_id": str(run.pk), "call": "a@1/1", "cost_micros": 5, "lost": False}
    async with await a_connection() as connection:
        assert await store.write(connection, [a_commit(run, owner="w/2", epoch=1, holds=[row])]) == {}
    assert await counters() == {"workspace_day": (0, 100)}


@pytest.mark.parametrize(("zone", "day"), [("Pacific/Kiritimati", 1), ("Pacific/Pago_Pago", -1), ("UTC", 0)])
async def test_days_and_months_are_those_of_the_workspaces_zone(zone: str, day: int) -> None:
    import zoneinfo

    run = await a_capped_run(zone, workspace_day=1000, workspace_month=1000)
    await hold(a_call(run))
    today = dt.datetime.now(zoneinfo.ZoneInfo(zone)).date()
    starts = {c.budget.period: c.period_start async for c in BudgetCounter.objects.select_related("budget")}
    assert starts == {"day": today, "month": today.replace(day=1)}


async def test_a_new_day_begins_with_a_counter_of_its_own() -> None:
    run = await a_capped_run(workspace_day=150, workspace_month=1000)
    await hold(a_call(run))
    yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    day = BudgetCounter.objects.filter(budget__period="day")
    await day.aupdate(period_start=yesterday)
    await BudgetHold.objects.filter(budget__period="day").aupdate(period_start=yesterday)
    assert (await hold(a_call(run, 2)))[0].refusal is None
    await settle(run, 1, {"call": "a@1/1", "cost_micros": 20})
    found = {c.period_start: (c.spent_micros, c.reserved_micros) async for c in day}
    assert found[yesterday] == (20, 0), "a call counts in the day in which it was made"
    assert set(found.values()) == {(20, 0), (0, 100)}


async def test_a_budget_made_at_noon_knows_what_the_morning_cost() -> None:
    run = await a_capped_run()
    now = dt.datetime.now(dt.UTC)
    for n, (micros, when) in enumerate([(400, now), (300, now), (9000, now - dt.timedelta(days=40))]):
        await Span.objects.acreate(
            run=run, workspace=run.workspace, pipeline=run.pipeline, span_id=f"s{n}", name="chat m", model="stub/m",
            start=when, end=when, cost_micros=micros,
        )  # fmt: skip
    lost = {"path": "a", "attempt": 1, "n": 1, "kind": "model", "name": "stub/m", "state": "lost"}
    await Call.objects.acreate(
        run=run, key="a@1/9", **lost, request_hash="", idempotency_key="", reserved_micros=50, started_at=now
    )
    await Run.objects.filter(pk=run.pk).aupdate(unconfirmed_micros=50)
    await sync_to_async(add_budget)(run, "pipeline_month", 800)
    (answer,) = await hold(a_call(run))
    assert answer.refusal is not None
    assert "$0.00005 is left" in answer.refusal.message


async def test_a_budget_holds_what_is_under_way_when_it_is_made() -> None:
    run = await a_capped_run()
    await _journal(run, "b@1/1", "started")
    await sync_to_async(add_budget)(run, "workspace_day", 1000)
    await hold(a_call(run))
    assert await counters() == {"workspace_day": (0, 200)}
    await settle(run, 1, {"call": "b@1/1", "cost_micros": 60})
    assert await counters() == {"workspace_day": (60, 100)}


async def test_each_alert_of_a_budget_is_given_once_in_its_period() -> None:
    run = await a_capped_run()
    budget = await sync_to_async(add_budget)(run, "workspace_day", 1000, alert_at=[0.5, 0.8, 1.0])
    told = []
    for n in range(1, 12):
        (answer,) = await hold(a_call(run, n, 10))
        told.append([alert.share for alert in answer.alerts])
        await settle(run, n, {"call": f"a@1/{n}", "cost_micros": 90})
    assert [shares for shares in told if shares] == [[0.5], [0.8]]
    assert told.index([0.5]) == 6, "the sixth call made it 540"
    (answer,) = await hold(a_call(run, 12, 5))
    assert answer.refusal is None
    await settle(run, 12, {"call": "a@1/12", "cost_micros": 20})
    answers = await hold(a_call(run, 13), a_call(run, 14))
    assert [[alert.share for alert in answer.alerts] for answer in answers] == [[1.0], []]
    assert answers[0].alerts[0].payload == {
        "scope": "workspace",
        "period": "day",
        "period_start": dt.datetime.now(dt.UTC).date().isoformat(),
        "at": 1.0,
        "spent_usd": "0.00101",
        "cap_usd": "0.001",
    }
    assert answers[1].refusal is not None
    await Budget.objects.filter(pk=budget.pk).aupdate(max_cost_micros=2000)
    await hold(a_call(run, 15))
    await settle(run, 13, {"call": "a@1/15", "cost_micros": 700})
    assert [alert.share for alert in (await hold(a_call(run, 16)))[0].alerts] == [0.8], "of the raised cap"


async def test_a_removed_budget_holds_nothing_back() -> None:
    run = await a_capped_run(workspace_day=100)
    await hold(a_call(run))
    await sync_to_async(Budget.objects.get().delete)()
    assert await hold(a_call(run, 2)) == [Held()]
    await settle(run, 1, {"call": "a@1/1", "cost_micros": 20})
    assert not await BudgetHold.objects.aexists()


async def test_a_claim_says_whether_a_budget_covers_the_run() -> None:
    run = await a_capped_run()
    await Run.objects.filter(pk=run.pk).aupdate(owner=None)
    free = await _claimed(run)
    assert not free.budgeted
    async with await a_connection() as connection:
        assert await allowance.budgeted(connection, [str(run.pk)]) == set()
        await sync_to_async(add_budget)(run, "pipeline_day", 10)
        assert await allowance.budgeted(connection, [str(run.pk)]) == {str(run.pk)}


async def test_a_claim_gives_back_what_was_held_for_calls_never_announced() -> None:
    run = await a_capped_run(workspace_day=1000)
    await hold(a_call(run, 1), a_call(run, 2, 30))
    await _journal(run, "a@1/2", "started")
    await Run.objects.filter(pk=run.pk).aupdate(owner="dead/1", lease_until=AT)
    assert (await _claimed(run)).budgeted
    assert await counters() == {"workspace_day": (0, 30)}, "the announced call is settled by the new owner's commit"


@pytest.mark.parametrize(
    ("state", "cost", "counter"),
    [
        ("lost", None, (100, 100)),
        ("finished", 90, (90, 100)),
        ("finished", None, (0, 100)),
        ("failed", None, (0, 100)),
        ("started", None, (0, 200)),
    ],
)
async def test_a_claim_counts_what_was_answered_before_its_run_knew_of_the_budget(
    state: str, cost: int | None, counter: tuple[int, int]
) -> None:
    """A budget made meanwhile holds the call for another run's first one; the answer's commit closes no hold yet."""
    run = await a_capped_run()
    await _journal(run, "a@1/1", "started")
    other = await sync_to_async(a_run)(run.workspace, owner="w/2", epoch=1)
    await sync_to_async(add_budget)(run, "workspace_day", 1000)
    await hold(a_call(other))
    assert await counters() == {"workspace_day": (0, 200)}
    await Call.objects.filter(run=run).aupdate(state=state, cost_micros=cost)
    await Run.objects.filter(pk=run.pk).aupdate(owner=None)
    await _claimed(run)
    assert await counters() == {"workspace_day": counter}
    await Run.objects.filter(pk=run.pk).aupdate(owner=None, lease_until=None)
    await _claimed(run)
    assert await counters() == {"workspace_day": counter}, "counted once"


@pytest.mark.parametrize(
    ("state", "cost", "counter"),
    [("lost", None, (100, 0)), ("started", None, (100, 0)), ("finished", 7, (7, 0)), (None, None, (0, 0))],
)
async def test_the_holds_of_a_run_that_ended_are_closed(
    state: str | None, cost: int | None, counter: tuple[int, int]
) -> None:
    run = await a_capped_run(workspace_day=1000)
    await hold(a_call(run))
    if state:
        await _journal(run, "a@1/1", state, cost)
    await sync_to_async(allowance.sweep)()
    assert await counters() == {"workspace_day": (0, 100)}, "it has not ended yet"
    await Run.objects.filter(pk=run.pk).aupdate(owner=None, state="failed")
    await sync_to_async(allowance.sweep)()
    assert await counters() == {"workspace_day": counter}
    assert not await BudgetHold.objects.aexists()


async def _claimed(run: Run) -> claims.Claimed:
    async with await a_connection() as connection:
        claimed = await claims.claim(connection, claims.Claim(str(run.pk), "w/9", 30, alone=True))
    assert claimed is not None
    return claimed


async def _journal(run: Run, key: str, state: str, cost: int | None = None) -> None:
    await Call.objects.acreate(
        run=run, key=key, path="a", attempt=1, n=1, kind="model", name="stub/m", state=state, request_hash="",
        idempotency_key="", reserved_micros=100, cost_micros=cost, started_at=AT,
    )  # fmt: skip
