"""Spans, ledger, runs and the costs that managers read are one sum, whatever happened to the calls."""

import pytest
from django.db.models import Sum
from django.test import Client

from pipelines import budgets
from pipelines.budgets import BudgetFields
from pipelines.graph.money import micros
from runs.models import BudgetCounter, Call, LedgerEntry, Run, Span
from tests.faults.stage import Stage, books_balance
from tests.people import acting, bearer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


def test_every_sum_agrees_after_retries_failures_and_a_crash(stage: Stage) -> None:
    budgets.put(acting(stage.team.carol), BudgetFields("month", "5.00"))
    slow, poor = stage.chain(3, 1500), stage.chain(4, 0)
    first = stage.worker("w1")
    bad = [{"kind": kind, "times": 1, "match": "run=bad", "retry_after": "0"} for kind in ("429", "malformed")]
    others_too = [
        {"kind": kind, "times": 1, "match": f"run={run}"} for kind, run in (("400", "worse"), ("no_usage", "fine"))
    ]
    stage.models.ask("/admin/script", bad + others_too)
    crashed = stage.start(slow, "crash")
    others = [stage.start(poor, marker) for marker in ("bad", "worse", "fine")]
    stage.wait_for_call("a2", "crash")
    first.kill()
    stage.worker("w2")
    runs = [stage.wait(run, seconds=60) for run in (crashed, *others)]
    assert [run.state for run in runs] == ["succeeded", "succeeded", "failed", "succeeded"]
    assert all(books_balance(run) for run in runs)

    cost = sum(run.cost_micros for run in runs)
    lost = sum(run.unconfirmed_micros for run in runs)
    settled = LedgerEntry.objects.filter(kind="settled").aggregate(sum=Sum("amount_micros"))["sum"]
    unconfirmed = LedgerEntry.objects.filter(kind="unconfirmed").aggregate(sum=Sum("amount_micros"))["sum"]
    spans = Span.objects.aggregate(sum=Sum("cost_micros"))["sum"]
    assert cost == settled == spans > 0
    assert lost == unconfirmed > 0
    counter = BudgetCounter.objects.get()
    assert (counter.spent_micros, counter.reserved_micros) == (cost + lost, 0)

    headers = bearer(stage.team.carol, stage.team.workspace)
    for dimension in ("pipeline", "agent", "step", "model", "day", "tag", "pipeline,agent,step,model,day"):
        found = Client().get(f"/api/v1/costs?group_by={dimension}", headers=headers).json()
        for lines in ([found["total"]], found["items"]):
            assert sum(micros(line["cost_usd"]) for line in lines) == cost, dimension
            assert sum(micros(line["unconfirmed_usd"]) for line in lines) == lost, dimension
            assert sum(line["calls"] for line in lines) == Call.objects.filter(kind="model").count(), dimension
        assert found["total"]["input_tokens"] == sum(run.input_tokens for run in runs)
        assert found["total"]["runs"] == Run.objects.count()
