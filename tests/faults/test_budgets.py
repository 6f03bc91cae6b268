"""The budgets of days and months hold across runs and workers, and their counters survive the death of a worker."""

from typing import Any

import pytest

from pipelines import budgets
from pipelines.budgets import BudgetFields
from pipelines.graph.money import dollars
from pipelines.models import Pipeline
from runs.models import BudgetCounter, BudgetHold, Call, Event, Run
from tests.conftest import wait_for
from tests.faults.stage import Stage, books_balance
from tests.people import acting

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


def a_budget(stage: Stage, cap: str, period: str = "day", **fields: Any) -> None:
    budgets.put(acting(stage.team.carol), BudgetFields(period, cap, **fields))


def fan(stage: Stage, slug: str, width: int) -> Pipeline:
    """Publish `width` agents at once, each of which may be refused without stopping the others."""
    agent = stage.agent(f"{slug}-writer", 200)
    nodes: dict[str, Any] = {"start": {"kind": "input"}, "end": {"kind": "output", "value": "done"}}
    names = [f"b{k}" for k in range(width)]
    for name in names:
        nodes[name] = {"kind": "agent", "agent": agent, "prompt": f"[run=${{input.run}} step={name}]"}
    edges = [edge for name in names for edge in (f"start>{name}", f"{name}>end")]
    return stage.pipeline(slug, nodes, edges)


def counter(period: str = "day") -> BudgetCounter:
    return BudgetCounter.objects.get(budget__period=period)


def test_a_run_over_its_workspaces_day_stops_with_a_receipt(stage: Stage) -> None:
    a_budget(stage, "0.0012")
    pipeline = stage.chain(8, 0)
    stage.worker("w1")
    run = stage.wait(stage.start(pipeline))
    assert (run.state, run.reason) == ("failed", "budget")
    assert run.error["class"] == "budget"
    assert run.error["code"] == "workspace_cap"
    assert "left of the $0.0012 that Acme may spend on" in run.error["message"]
    assert 0 < run.cost_micros <= 1200
    assert (counter().spent_micros, counter().reserved_micros) == (run.cost_micros, 0)
    assert books_balance(run)
    again = stage.wait(stage.start(pipeline, "r2"))
    assert again.reason == "budget", "the next run of the day has only what is left"
    assert counter().spent_micros == run.cost_micros + again.cost_micros <= 1200


def test_two_runs_at_once_never_pass_one_cap(stage: Stage) -> None:
    a_budget(stage, "0.0030")
    a_budget(stage, "0.0100", period="month")
    pipelines = [fan(stage, slug, 8) for slug in ("one", "two")]
    for name in ("w1", "w2"):
        stage.worker(name)
    runs = [stage.start(pipeline, marker) for pipeline, marker in zip(pipelines, ("r1", "r2"), strict=True)]
    most = 0

    def ended() -> bool:
        nonlocal most
        used = [c.spent_micros + c.reserved_micros for c in BudgetCounter.objects.filter(budget__period="day")]
        most = max([most, *used])
        return not Run.objects.exclude(state__in=("failed", "succeeded"), owner=None).exists()

    wait_for(ended, 40, stage.logs)
    cost = sum(Run.objects.get(pk=run.pk).cost_micros + Run.objects.get(pk=run.pk).unconfirmed_micros for run in runs)
    assert 0 < cost <= most <= 3000
    assert {Run.objects.get(pk=run.pk).reason for run in runs} == {"budget"}
    assert all(books_balance(run) for run in runs)
    for period in ("day", "month"):
        assert (counter(period).spent_micros, counter(period).reserved_micros) == (cost, 0)


def test_a_worker_killed_while_it_holds_leaves_the_counter_right(stage: Stage) -> None:
    a_budget(stage, "1.00")
    first = stage.worker("w1")
    run = stage.start(stage.chain(3, 1500))
    stage.wait_for_call("a2")
    first.kill()
    assert counter().reserved_micros > 0, "what was under way may have cost something"
    stage.worker("w2")
    run = stage.wait(run)
    assert run.state == "succeeded"
    assert run.unconfirmed_micros > 0
    assert (counter().spent_micros, counter().reserved_micros) == (run.cost_micros + run.unconfirmed_micros, 0)
    assert not BudgetHold.objects.exists()
    assert books_balance(run)


def test_calls_that_fail_give_back_what_they_held(stage: Stage) -> None:
    a_budget(stage, "1.00")
    stage.models.ask("/admin/script", [{"kind": "429", "times": 2, "retry_after": "0"}])
    pipeline = stage.chain(2, 0)
    stage.worker("w1")
    run = stage.wait(stage.start(pipeline))
    assert run.state == "succeeded"
    assert stage.asked()["a1"] == 3
    assert (counter().spent_micros, counter().reserved_micros) == (run.cost_micros, 0)
    assert not BudgetHold.objects.exists()


def test_a_call_that_the_runs_own_cap_refuses_is_not_held(stage: Stage) -> None:
    a_budget(stage, "1.00")
    agent = stage.agent("writer")
    nodes = {
        "start": {"kind": "input"},
        "a1": {"kind": "agent", "agent": agent, "prompt": "[run=${input.run} step=a1]"},
        "end": {"kind": "output", "value": "${steps.a1.output}"},
    }
    pipeline = stage.pipeline("poor", nodes, ["start>a1", "a1>end"], budget={"max_cost_usd": "0.000001"})
    stage.worker("w1")
    run = stage.wait(stage.start(pipeline))
    assert (run.reason, run.error["code"]) == ("budget", "run_cap")
    wait_for(lambda: not BudgetHold.objects.exists(), 5)
    assert (counter().spent_micros, counter().reserved_micros) == (0, 0)


def test_what_a_call_did_not_use_is_there_for_the_next_one(stage: Stage) -> None:
    """The budget has room for what the first call cost and the second may cost, not for what both may cost."""
    pipeline = stage.chain(2, 0)
    stage.worker("w1")
    known = {call.path: call for call in Call.objects.filter(run=stage.wait(stage.start(pipeline)))}
    used = sum(call.cost_micros or 0 for call in known.values())
    room = (known["a1"].cost_micros or 0) + known["a2"].reserved_micros
    assert room < known["a1"].reserved_micros + known["a2"].reserved_micros
    a_budget(stage, dollars(used + room) or "")
    assert stage.wait(stage.start(pipeline)).state == "succeeded"
    again = stage.wait(stage.start(pipeline))
    assert (again.state, again.reason) == ("failed", "budget")


def test_a_budget_set_while_a_run_is_under_way_binds_it(stage: Stage) -> None:
    stage.worker("w1")
    run = stage.start(stage.chain(8, 1500))
    stage.wait_for_call("a1")
    a_budget(stage, "0.0001")
    run = stage.wait(run)
    assert (run.state, run.reason) == ("failed", "budget")
    assert len(stage.asked()) < 8
    assert counter().spent_micros > 0, "what the run had spent before counts"


def test_a_share_of_the_budget_that_is_used_up_is_told_once(stage: Stage) -> None:
    a_budget(stage, "0.0020", alert_at=(0.25,))
    pipeline = stage.chain(6, 0)
    stage.worker("w1")
    run = stage.wait(stage.start(pipeline))
    (alert,) = Event.objects.filter(run=run, type="budget_alert")
    assert alert.payload["at"] == 0.25
    assert alert.payload["cap_usd"] == "0.002"
