"""The budget of a pipeline holds on real workers what the runs below it spend, whoever crashes."""

import pytest

from approvals import services
from approvals.models import Approval
from approvals.policy import Decision
from pipelines.models import Budget
from runs.models import BudgetCounter, BudgetHold, Run
from tests.conftest import wait_for
from tests.faults.stage import Stage
from tests.faults.test_budgets import a_budget, most_used_until_all_end
from tests.faults.test_children import a_child, a_parent, all_is_well, beside_each_other, calling, everybody
from tests.people import acting

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


def paid(*runs: Run) -> int:
    """Return what these runs and all below them have spent or may have."""
    found = [Run.objects.get(pk=one.pk) for run in runs for one in everybody(run)]
    return sum(one.cost_micros + one.unconfirmed_micros for one in found)


def used(budget: Budget) -> tuple[int, int]:
    counter = BudgetCounter.objects.get(budget=budget)
    return counter.spent_micros, counter.reserved_micros


def test_children_of_two_runs_at_once_never_pass_the_day_of_the_pipeline_that_calls_them(stage: Stage) -> None:
    a_child(stage, 1, 200)
    pipeline = beside_each_other(stage, 8)
    budget = a_budget(stage, "0.0015", pipeline="parent")
    for name in ("w1", "w2"):
        stage.worker(name)
    runs = [stage.start(pipeline, marker) for marker in ("r1", "r2")]
    most = most_used_until_all_end(stage)
    assert 0 < paid(*runs) <= most <= 1500
    assert used(budget) == (paid(*runs), 0)
    refused = Run.objects.filter(parent__in=runs, state="failed")
    assert {run.error["code"] for run in refused} == {"pipeline_cap"}
    assert "that the pipeline parent may spend on" in refused[0].error["message"]
    assert all(all_is_well(run) for run in runs)


def test_a_worker_killed_in_a_child_leaves_the_counter_of_the_pipeline_above_right(stage: Stage) -> None:
    a_child(stage, 2)
    parent = a_parent(stage, {"call": calling("one")}, "start>call", "call>end")
    budget = a_budget(stage, "1.00", pipeline="parent")
    first = stage.worker("w1")
    run = stage.start(parent)
    stage.wait_for_call("one-c2")
    first.kill()
    assert used(budget)[1] > 0, "what was under way may have cost something"
    stage.worker("w2")
    run = stage.wait(run, seconds=60)
    assert run.state == "succeeded", stage.explain(run)
    assert Run.objects.get(parent=run).unconfirmed_micros > 0
    assert used(budget) == (paid(run), 0)
    assert not BudgetHold.objects.exists()


def test_a_budget_set_while_a_child_is_under_way_binds_it_and_knows_what_it_spent(stage: Stage) -> None:
    a_child(stage, 6, 1500)
    parent = a_parent(stage, {"call": calling("one")}, "start>call", "call>end")
    stage.worker("w1")
    run = stage.start(parent)
    stage.wait_for_call("one-c2")
    budget = a_budget(stage, "0.0001", pipeline="parent")
    run = stage.wait(run)
    assert (run.state, run.error["code"]) == ("failed", "child_failed"), stage.explain(run)
    assert len(stage.asked()) < 6
    assert used(budget) == (paid(run), 0)


def test_a_detached_child_spends_from_the_budget_of_the_pipeline_that_started_it(stage: Stage) -> None:
    a_child(stage, 1, 0)
    parent = a_parent(stage, {"call": calling("one", detached=True)}, "start>call", "call>end")
    budget = a_budget(stage, "0.000001", pipeline="parent")
    stage.worker("w1")
    run = stage.wait(stage.start(parent))
    assert run.state == "succeeded", stage.explain(run)
    child = stage.wait(Run.objects.get(parent=run))
    assert (child.state, child.error["code"]) == ("failed", "pipeline_cap")
    assert (stage.asked(), used(budget)) == ({}, (0, 0))


def test_a_child_asks_a_manager_for_more_of_the_budget_above_it_and_goes_on(stage: Stage) -> None:
    a_child(stage, 2, 0)
    parent = a_parent(stage, {"call": calling("one")}, "start>call", "call>end")
    budget = a_budget(stage, "0.000001", pipeline="parent", on_exceed="ask_human")
    stage.worker("w1")
    run = stage.start(parent)
    wait_for(lambda: Approval.objects.filter(state="open").exists(), 30, stage.logs)
    question = Approval.objects.get(state="open")
    assert (question.kind, question.run.parent_id) == ("budget", run.pk)
    assert question.title.startswith("The budget of parent has reached its cap: allow $")
    yes = Decision("approve", payload_hash=question.payload_hash, payload={"add_usd": "0.01"})
    services.decide(acting(stage.team.carol), question.pk, yes)
    run = stage.wait(run)
    assert run.state == "succeeded", stage.explain(run)
    assert BudgetCounter.objects.get(budget=budget).extra_micros == 10_000
    assert used(budget) == (paid(run), 0)
