"""Budgets of tags hold across runs and workers, and a new price reaches the next run and not the one under way."""

import pytest

from approvals import services
from approvals.models import Approval
from approvals.policy import Decision
from pipelines import budgets
from pipelines.library import price_changes
from pipelines.library.price_changes import PriceFields
from pipelines.models import Connection, Pipeline
from runs.models import BudgetCounter, Run
from runs.services import Order, start_run
from tests.faults.stage import Stage, books_balance
from tests.faults.test_budgets import a_budget, fan, most_used_until_all_end
from tests.people import acting

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


def tagged(stage: Stage, pipeline: Pipeline, marker: str, *tags: str) -> Run:
    return start_run(stage.composer, pipeline, Order({"run": marker}, tags=tags))


def test_two_runs_of_a_tag_at_once_never_pass_its_cap(stage: Stage) -> None:
    """Sixteen calls of each want to go at once, by two workers; another run without the tag is not held back."""
    a_budget(stage, "0.0030", period="month", tag="research")
    for name in ("w1", "w2"):
        stage.worker(name)
    runs = [tagged(stage, fan(stage, slug, 16), marker, "research") for slug, marker in (("one", "r1"), ("two", "r2"))]
    free = tagged(stage, stage.chain(2, 0), "r3", "other")
    most = most_used_until_all_end(stage, "month")
    found = [Run.objects.get(pk=run.pk) for run in runs]
    cost = sum(run.cost_micros + run.unconfirmed_micros for run in found)
    assert 0 < cost <= most <= 3000
    assert {run.error["code"] for run in found} == {"tag_cap"}
    assert Run.objects.get(pk=free.pk).state == "succeeded"
    counter = BudgetCounter.objects.get()
    assert (counter.spent_micros, counter.reserved_micros) == (cost, 0)
    assert all(books_balance(run) for run in found)


def test_a_tags_month_that_is_spent_asks_a_manager_and_goes_on_with_two_dollars_more(stage: Stage) -> None:
    carol = acting(stage.team.carol)
    a_budget(stage, "0.000001", period="month", tag="research", on_exceed="ask_human")
    stage.worker("w1")
    run = stage.wait(tagged(stage, stage.chain(2, 0), "r1", "research"), "waiting")
    question = Approval.objects.get(run=run, state="open")
    assert (question.kind, question.roles) == ("budget", ["manager"])
    assert question.title.startswith("The tag's budget has reached its cap: allow $")
    assert question.show["cap"] == "tag_cap"
    yes = Decision("approve", payload_hash=question.payload_hash, payload={"add_usd": "2"}, reason="The fair")
    services.decide(carol, question.pk, yes)
    run = stage.wait(run)
    assert run.state == "succeeded", stage.explain(run)
    counter = BudgetCounter.objects.get()
    assert (counter.extra_micros, counter.spent_micros) == (2_000_000, run.cost_micros)
    assert (counter.period_start.day, counter.reserved_micros) == (1, 0)
    line = budgets.history(carol)[0]
    assert (line.act, line.scope, line.was_micros, line.cap_micros) == ("allowed", "tag research/month", 1, 2_000_000)
    assert (line.by, line.reason) == (stage.team.carol, f"The fair · asked by run #{run.number} of {run.pipeline.name}")


def test_a_price_set_while_a_run_is_under_way_reaches_the_next_one(stage: Stage) -> None:
    """The version is not published again: what it locked was the price of its own day."""
    pipeline = stage.chain(2, 1500)
    first = stage.worker("w1")
    before = stage.start(pipeline, "r1")
    stage.wait_for_call("a1")
    stub = Connection.objects.get(name="stub")
    doubled = PriceFields("stub-1500ms", "2.00", "8.00", reason="The list of the new year")
    price_changes.set_price(acting(stage.team.carol), stub, doubled)
    first.kill()
    stage.worker("w2")
    before = stage.wait(before)
    assert before.prices == {}, "its second owner keeps what its first one found"
    after = stage.wait(stage.start(pipeline, "r2"))
    paid = {run.pk: _per_token(run) for run in (before, after)}
    assert paid[after.pk] == pytest.approx(2 * paid[before.pk], rel=0.02)
    assert books_balance(after)


def _per_token(run: Run) -> float:
    assert run.state == "succeeded"
    return run.cost_micros / (run.input_tokens + 4 * run.output_tokens)
