"""Spans, ledger, runs and the costs that managers read are one sum, whatever happened to the calls."""

import csv
import io
import re

import pytest
from django.db.models import Sum
from django.test import Client

from pipelines import budgets
from pipelines.budgets import BudgetFields
from pipelines.graph.money import micros
from runs import services
from runs.models import BudgetCounter, Call, LedgerEntry, Run, Span
from runs.spending import DIMENSIONS, booking
from runs.spending.filters import SPLITS
from tests.faults.stage import Stage, books_balance
from tests.faults.test_limits import one_step
from tests.people import acting, bearer, signed_in_as

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
    for dimension in (*DIMENSIONS, "pipeline,agent,step,model,day"):
        found = Client().get(f"/api/v1/costs?group_by={dimension}", headers=headers).json()
        for lines in ([found["total"]], found["items"]):
            assert sum(micros(line["cost_usd"]) for line in lines) == cost, dimension
            assert sum(micros(line["unconfirmed_usd"]) for line in lines) == lost, dimension
            assert sum(line["calls"] for line in lines) == Call.objects.filter(kind="model").count(), dimension
        assert found["total"]["input_tokens"] == sum(run.input_tokens for run in runs)
        assert found["total"]["runs"] == Run.objects.count()


def a_mixed_workload(stage: Stage) -> list[Run]:
    """Have runs retry, repair, fall back, fail, be cancelled, be cut off by a crash, and take a kept result."""
    slow, poor = stage.chain(2, 1500), stage.chain(3, 0)
    kept = one_step(stage, "kept", cache={"mode": "workspace"})
    careful = one_step(stage, "careful", on_error={"fallback": [{"model": "stub/stub-200ms"}]})
    first = stage.worker("w1")
    bad = [{"kind": kind, "times": 1, "match": "run=bad", "retry_after": "0"} for kind in ("429", "malformed")]
    others = [{"kind": "400", "times": 1, "match": "run=worse"}, {"kind": "400", "times": 1, "match": "falling"}]
    stage.models.ask("/admin/script", bad + others)
    crashed = stage.start(slow, "crash")
    stage.wait_for_call("a2", "crash")
    first.kill()
    stage.worker("w2")
    stage.wait(crashed, seconds=60)
    cancelled = stage.start(slow, "stopped")
    stage.wait_for_call("a2", "stopped")
    services.cancel(stage.composer, cancelled, "changed my mind")
    stage.wait(stage.start(kept, "twice"))
    runs = [stage.start(poor, "bad"), stage.start(poor, "worse"), stage.start(kept, "twice")]
    return [stage.wait(run, seconds=60) for run in (crashed, cancelled, *runs, stage.start(careful, "falling"))]


def on_the_page(stage: Stage, query: str) -> int:
    """Return what the page of costs shows as the whole, in the row below its table, once its lines sum to it."""
    page = signed_in_as(stage.team.carol).get(f"/costs/{query}").content.decode()
    table = page.split('id="rows"')[1].split("</table>")[0]
    *lines, total = [int(micros) for micros in re.findall(r'href="[^"]+figure=cost[^"]*" data-micros="(\d+)"', table)]
    assert sum(lines) == total
    return total


def test_dashboards_and_sheets_say_what_the_ledger_says(stage: Stage) -> None:
    states = [run.state for run in a_mixed_workload(stage)]
    assert states == ["succeeded", "cancelled", "succeeded", "failed", "succeeded", "succeeded"]
    entries = {
        kind: LedgerEntry.objects.filter(kind=kind).aggregate(sum=Sum("amount_micros"))["sum"]
        for kind in ("settled", "unconfirmed", "cache_hit")
    }
    assert all(entries.values()), "there is some of each"
    assert Span.objects.aggregate(sum=Sum("cost_micros"))["sum"] == entries["settled"]
    tables = [
        *((f"movers?by={by}", "cost_usd", "settled") for by in SPLITS if by != "tag"),
        ("chargeback?", "charged_usd", "settled"),
        ("rise?", "change_usd", "settled"),
        ("runs?", "cost_usd", "settled"),
        ("runs?figure=unconfirmed", "unconfirmed_usd", "unconfirmed"),
        ("runs?figure=saved", "saved_usd", "cache_hit"),
        ("savings?", "saved_usd", "cache_hit"),
    ]
    headers = bearer(stage.team.carol, stage.team.workspace)
    for _ in range(2):
        for address, column, kind in tables:
            found = Client().get(f"/api/v1/costs/{address}", headers=headers).json()["items"]
            sheet = Client().get(f"/api/v1/costs/{address}&format=csv", headers=headers).getvalue().decode()
            for rows in (found, list(csv.DictReader(io.StringIO(sheet)))):
                assert sum(micros(row[column]) for row in rows) == entries[kind], address
        for by in SPLITS:
            assert on_the_page(stage, f"?by={by}") == entries["settled"], by
        wasted = Client().get("/api/v1/costs/waste", headers=headers).json()["items"]
        assert {row["kind"] for row in wasted} >= {"retried", "cancelled"}
        for kind in ("retried", "repaired"):
            parts = Client().get(f"/api/v1/costs/runs?figure={kind}", headers=headers).json()["items"]
            lines = [row for row in wasted if row["kind"] == kind]
            assert sum(micros(row[f"{kind}_usd"]) for row in parts) == sum(micros(row["cost_usd"]) for row in lines)
        booking.rebuild(stage.team.workspace)
