"""The budget of a pipeline holds what all runs below its own spend, each call once, whatever stands above it."""

import asyncio
import datetime as dt
import threading
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.utils import timezone

from pipelines.models import Budget
from runs import allowance, claims
from runs.allowance import Held
from runs.budgets import standings
from runs.costs import Period, caps
from runs.models import BudgetCounter, BudgetHold, Call, Run, Span
from tests.people import Team, a_team, a_workspace, acting
from tests.runs.builders import AT, a_connection, a_run
from tests.runs.test_allowance import a_call, add_budget, hold, settle

pytestmark = pytest.mark.django_db(transaction=True)


@sync_to_async
def below(parent: Run, path: str = "call", **fields: Any) -> Run:
    return a_run(parent.workspace, parent=parent, parent_path=path, parent_count=1, **fields)


async def claimed(run: Run) -> Run:
    """Return the run as its owner has it, at epoch 1."""
    await Run.objects.filter(pk=run.pk).aupdate(owner=None, lease_until=None, epoch=0)
    async with await a_connection() as connection:
        assert await claims.claim(connection, claims.Claim(str(run.pk), "w/1", 30, alone=True))
    return await Run.objects.aget(pk=run.pk)


async def a_chain(length: int = 2) -> list[Run]:
    """Return runs of so many pipelines, each started by the one before, the first by a person."""
    runs = [await claimed(await sync_to_async(a_run)(await sync_to_async(a_workspace)("acme")))]
    while len(runs) < length:
        runs.append(await claimed(await below(runs[-1])))
    return runs


async def counter(budget: Budget) -> tuple[int, int]:
    found = await BudgetCounter.objects.aget(budget=budget)
    return found.spent_micros, found.reserved_micros


@sync_to_async
def spent(run: Run, micros: int, at: dt.datetime | None = None) -> None:
    at = at or timezone.now()
    Span.objects.create(
        run=run, workspace_id=run.workspace_id, pipeline_id=run.pipeline_id, span_id=f"s{Span.objects.count()}",
        name="chat m", model="stub/m", start=at, end=at, cost_micros=micros,
    )  # fmt: skip


async def test_a_call_is_held_by_the_budget_of_each_pipeline_above_its_run() -> None:
    top, middle, child = await a_chain(3)
    budgets = [await sync_to_async(add_budget)(run, "pipeline_day", cap) for run, cap in ((top, 150), (middle, 900))]
    first, second = await hold(a_call(child), a_call(child, 2))
    assert first == Held()
    assert second.refusal is not None
    assert second.refusal.code == "pipeline_cap"
    assert "$0.00005 is left of the $0.00015 that the pipeline Pipeline may spend on" in second.refusal.message
    assert second.beyond is not None
    assert second.beyond.cap.startswith(f"budget:{budgets[0].pk}:")
    assert second.beyond.whose == "The budget of Pipeline"
    await settle(child, 1, {"call": "a@1/1", "cost_micros": 30})
    assert [await counter(one) for one in budgets] == [(30, 0), (30, 0)]
    assert not await BudgetHold.objects.aexists()


async def test_a_budget_of_a_pipeline_below_leaves_the_runs_above_alone() -> None:
    top, child = await a_chain()
    await sync_to_async(add_budget)(child, "pipeline_day", 50)
    assert await hold(a_call(top)) == [Held()]


async def test_a_pipeline_that_stands_twice_in_the_chain_holds_each_call_once() -> None:
    """The first calls another, which calls the first again."""
    top, middle, again = await a_chain(3)
    await Run.objects.filter(pk=again.pk).aupdate(pipeline=top.pipeline_id, above=None)
    again = await claimed(again)
    assert again.above == [middle.pipeline_id], "its own is in the row already"
    own = await claimed(await below(again))
    assert set(own.above or ()) == {top.pipeline_id, middle.pipeline_id}
    budget = await sync_to_async(add_budget)(top, "pipeline_day", 1000)
    assert await hold(a_call(again), a_call(own)) == [Held(), Held()]
    assert await counter(budget) == (0, 200)


async def test_the_own_pipelines_budget_is_named_before_one_above() -> None:
    top, child = await a_chain()
    for run in (top, child):
        await sync_to_async(add_budget)(run, "pipeline_day", 50)
    (answer,) = await hold(a_call(child))
    assert answer.beyond is not None
    own = await Budget.objects.aget(pipeline=child.pipeline_id)
    assert answer.beyond.cap.startswith(f"budget:{own.pk}:")
    assert answer.beyond.whose == ""


async def test_many_children_of_many_runs_at_once_never_pass_the_cap_above_them() -> None:
    top, *_ = await a_chain(1)
    children = [await claimed(await below(top, f"k{n}")) for n in range(16)]
    budget = await sync_to_async(add_budget)(top, "pipeline_day", 1000)

    async def caller(run: Run) -> int:
        answers = await hold(*(a_call(run, n, 90) for n in range(1, 5)))
        return sum(answer.refusal is None for answer in answers)

    granted = sum(await asyncio.gather(*map(caller, children)))
    assert granted == 11, "of 64: the twelfth would make 1,080 of 1,000"
    assert await counter(budget) == (0, 990)


async def test_runs_whose_chains_cross_never_wait_for_each_other_in_a_circle() -> None:
    """One pipeline calls the other, and elsewhere the other calls the first: both budgets hold the calls of both."""
    one, below_one = await a_chain()
    other = await claimed(await sync_to_async(a_run)(one.workspace))
    await Run.objects.filter(pk=other.pk).aupdate(pipeline=below_one.pipeline_id)
    below_other = await below(other)
    await Run.objects.filter(pk=below_other.pk).aupdate(pipeline=one.pipeline_id)
    below_other = await claimed(below_other)
    budgets = [await sync_to_async(add_budget)(run, "pipeline_day", 100_000) for run in (one, below_one)]

    async def work(run: Run) -> None:
        for n in range(1, 31):
            assert (await hold(a_call(run, n, 70)))[0].refusal is None
            await settle(run, n, {"call": f"a@1/{n}", "cost_micros": 13})

    await asyncio.wait_for(asyncio.gather(work(below_one), work(below_other)), 30)
    assert [await counter(budget) for budget in budgets] == [(780, 0), (780, 0)]


async def test_two_parents_that_share_a_child_pipeline_each_pay_for_their_own() -> None:
    one, of_one = await a_chain()
    other = await claimed(await sync_to_async(a_run)(one.workspace))
    of_other = await below(other)
    await Run.objects.filter(pk=of_other.pk).aupdate(pipeline=of_one.pipeline_id)
    of_other = await claimed(of_other)
    budgets = [await sync_to_async(add_budget)(run, "pipeline_day", 1000) for run in (one, other, of_one)]
    await hold(a_call(of_one, 1, 100), a_call(of_other, 1, 30))
    await settle(of_one, 1, {"call": "a@1/1", "cost_micros": 40})
    await settle(of_other, 1, {"call": "a@1/1", "lost": True})
    assert [await counter(one) for one in budgets] == [(40, 0), (30, 0), (70, 0)]


async def test_a_budget_made_at_noon_knows_what_runs_below_spent_lost_and_hold() -> None:
    top, middle, child = await a_chain(3)
    stranger = await sync_to_async(a_run)(top.workspace)
    for run, micros in ((top, 5), (middle, 20), (child, 300), (stranger, 9000)):
        await spent(run, micros)
    for key, state in (("b@1/1", "started"), ("b@1/2", "lost")):
        await Call.objects.acreate(
            run=child, key=key, path="b", attempt=1, n=1, kind="model", name="stub/m", state=state, request_hash="",
            idempotency_key="", reserved_micros=100, started_at=timezone.now(),
        )  # fmt: skip
    budget = await sync_to_async(add_budget)(top, "pipeline_month", 10_000)
    await hold(a_call(middle))
    assert await counter(budget) == (425, 200)
    await settle(child, 1, {"call": "b@1/1", "cost_micros": 60})
    assert await counter(budget) == (485, 100)


async def test_a_share_of_a_budget_above_is_told_with_the_name_of_its_pipeline() -> None:
    top, child = await a_chain()
    await sync_to_async(add_budget)(top, "pipeline_day", 100, alert_at=[0.5])
    await hold(a_call(child, micros=60))
    await settle(child, 1, {"call": "a@1/1", "cost_micros": 60})
    (answer,) = await hold(a_call(child, 2, 10))
    assert [(one.payload["scope"], one.payload["pipeline"], one.share) for one in answer.alerts] == [
        ("pipeline", "Pipeline", 0.5)
    ]


async def test_a_run_is_told_that_the_budget_of_a_pipeline_above_covers_it() -> None:
    top, child = await a_chain()
    other = await sync_to_async(a_run)(top.workspace)
    await sync_to_async(add_budget)(top, "pipeline_day", 10)
    async with await a_connection() as connection:
        ids = [str(run.pk) for run in (top, child, other)]
        assert await allowance.budgeted(connection, ids) == {str(top.pk), str(child.pk)}


async def test_a_run_of_a_person_and_an_item_of_its_own_for_each_have_no_pipeline_above() -> None:
    (top,) = await a_chain(1)
    item = await below(top)
    await Run.objects.filter(pk=item.pk).aupdate(pipeline=top.pipeline_id)
    assert (top.above, (await claimed(item)).above) == (None, [])


async def test_what_stands_above_a_run_stays_when_its_parent_is_gone() -> None:
    top, child = await a_chain()
    await Run.objects.filter(pk=top.pk).adelete()
    again = await claimed(child)
    assert (again.parent_id, again.above) == (None, [top.pipeline_id])


def test_a_budget_that_no_call_met_yet_stands_at_what_runs_below_spent(team: Team) -> None:
    top = a_run(team.workspace)
    child = a_run(team.workspace, parent=top, parent_path="a", parent_count=1, above=[top.pipeline_id])
    gone = a_run(team.workspace, above=[top.pipeline_id], finished_at=timezone.now() - dt.timedelta(days=40))
    for run, micros in ((top, 7), (child, 200), (a_run(team.workspace), 9000), (gone, 0)):
        spent.func(run, micros)  # type: ignore[attr-defined]
    for period in ("day", "month"):
        add_budget(top, f"pipeline_{period}", 1000)
        add_budget(child, f"pipeline_{period}", 1000)
    found = {(one.budget.pipeline_id, one.budget.period): one for one in standings(acting(team.alice), timezone.now())}
    assert {key: one.spent for key, one in found.items()} == {
        (top.pipeline_id, "day"): 207,
        (top.pipeline_id, "month"): 207,
        (child.pipeline_id, "day"): 200,
        (child.pipeline_id, "month"): 200,
    }
    assert sum(found[top.pipeline_id, "month"].by_day) == 207
    told = caps(team.workspace, Period.around(team.workspace, timezone.now()))
    assert sorted(cap.spent_micros for cap in told) == [200, 200, 207, 207]


@pytest.fixture
def team() -> Team:
    return a_team()


def test_earlier_children_learn_what_stands_above_them_without_waiting_for_one_that_is_locked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = import_module("runs.migrations.0026_pipelines_above_runs")
    monkeypatch.setattr(module, "AT_ONCE", 1)
    top = a_run()
    place, now = top.workspace, timezone.now()
    child = a_run(place, parent=top, parent_path="a", parent_count=1, finished_at=now)
    held = a_run(place, parent=child, parent_path="a", parent_count=1)
    old = a_run(place, parent=top, parent_path="b", parent_count=1, finished_at=AT - dt.timedelta(days=300))

    def fill() -> None:
        try:
            module.say_what_is_above(None, SimpleNamespace(connection=connection))
        finally:
            connection.close()

    thread = threading.Thread(target=fill)
    with transaction.atomic():
        Run.objects.select_for_update().get(pk=held.pk)
        thread.start()
        while Run.objects.get(pk=child.pk).above is None:
            thread.join(0.05)
        assert thread.is_alive()
    thread.join(20)
    assert not thread.is_alive()
    said = {run.pk: set(run.above or ()) for run in Run.objects.all()}
    assert said == {
        top.pk: set(),
        child.pk: {top.pipeline_id},
        held.pk: {top.pipeline_id, child.pipeline_id},
        old.pk: set(),
    }
