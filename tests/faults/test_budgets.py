"""The budgets of days and months hold across runs and workers, and their counters survive the death of a worker."""

from typing import Any

import pytest

from approvals import services
from approvals.models import Approval
from approvals.policy import Decision
from pipelines import budgets
from pipelines.budgets import BudgetFields
from pipelines.graph.money import dollars
from pipelines.models import Budget, Connection, Pipeline
from runs import receipt
from runs.models import BudgetCounter, BudgetHold, Call, Event, Run, Step
from tests.conftest import wait_for
from tests.faults.stage import Stage, books_balance
from tests.people import acting

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


def a_budget(stage: Stage, cap: str, period: str = "day", **fields: Any) -> Budget:
    return budgets.put(acting(stage.team.carol), BudgetFields(period, cap, **fields))


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


def most_used_until_all_end(stage: Stage, period: str = "day") -> int:
    """Return the most that was ever spent and held of a budget of this period, in micro-dollars, once no run is left
    under way."""
    most = 0

    def ended() -> bool:
        nonlocal most
        used = [c.spent_micros + c.reserved_micros for c in BudgetCounter.objects.filter(budget__period=period)]
        most = max([most, *used])
        return not Run.objects.exclude(state__in=("failed", "succeeded"), owner=None).exists()

    wait_for(ended, 60, stage.logs)
    return most


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
    most = most_used_until_all_end(stage)
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


def test_a_workspaces_day_that_is_spent_asks_a_manager_and_goes_on_with_more(stage: Stage) -> None:
    a_budget(stage, "0.000001", on_exceed="ask_human")
    stage.worker("w1")
    run = stage.wait(stage.start(stage.chain(2, 0)), "waiting")
    question = Approval.objects.get(run=run, state="open")
    assert (question.kind, question.roles) == ("budget", ["manager"])
    assert question.title.startswith("The workspace's budget has reached its cap: allow $")
    assert stage.asked() == {}
    yes = Decision("approve", payload_hash=question.payload_hash, payload={"add_usd": "0.01"})
    services.decide(acting(stage.team.carol), question.pk, yes)
    run = stage.wait(run)
    assert run.state == "succeeded", stage.explain(run)
    assert counter().extra_micros == 10_000
    assert (counter().spent_micros, counter().reserved_micros) == (run.cost_micros, 0)
    assert books_balance(run)


def test_sixteen_calls_at_the_workspaces_cap_pass_it_by_no_cent_and_one_yes_lets_them_all_go(stage: Stage) -> None:
    """The cap has room for some of the sixteen; the others ask, and the manager's one answer is for all of them."""
    a_budget(stage, "0.0014", on_exceed="ask_human")
    stage.worker("w1")
    run = stage.start(fan(stage, "wide", 16))
    run = stage.wait(run, "waiting")
    first = counter()
    assert 0 < first.spent_micros + first.reserved_micros <= 1400
    assert 0 < len(stage.asked()) < 16
    questions = Approval.objects.filter(run=run, state="open")
    yes = Decision("approve", payload_hash=questions[0].payload_hash, payload={"add_usd": "1"})
    services.decide(acting(stage.team.carol), questions[0].pk, yes)
    run = stage.wait(run)
    assert run.state == "succeeded", stage.explain(run)
    assert set(stage.asked().values()) == {1}
    assert len(stage.asked()) == 16
    assert counter().extra_micros == 1_000_000, "one yes, one addition"
    assert (counter().spent_micros, counter().reserved_micros) == (run.cost_micros, 0)
    assert not Approval.objects.filter(run=run, state="open").exists()


@pytest.mark.parametrize("word", ["approve", "reject"])
def test_runs_that_meet_one_day_ask_one_question_and_all_have_its_answer(stage: Stage, word: str) -> None:
    a_budget(stage, "0.000001", on_exceed="ask_human")
    for name in ("w1", "w2"):
        stage.worker(name)
    pipeline = fan(stage, "wide", 2)
    runs = [stage.start(pipeline, f"r{n}") for n in range(4)]
    runs = [stage.wait(run, "waiting") for run in runs]
    wait_for(lambda: Step.objects.filter(run__in=runs, wait_reason="budget").count() == 8, 20, stage.logs)
    question = Approval.objects.get(state="open")
    said = {"payload": {"add_usd": "1"}} if word == "approve" else {"reason": "Enough."}
    services.decide(acting(stage.team.carol), question.pk, Decision(word, question.payload_hash, **said))
    runs = [stage.wait(run) for run in runs]
    assert {run.state for run in runs} == {"succeeded" if word == "approve" else "failed"}
    assert Approval.objects.count() == 1
    assert counter().extra_micros == (1_000_000 if word == "approve" else 0), "one yes, one addition"
    assert (counter().spent_micros, counter().reserved_micros) == (sum(run.cost_micros for run in runs), 0)


def test_a_no_ends_the_run_with_a_receipt_of_what_each_step_cost(stage: Stage) -> None:
    """The first call has room, the second has not."""
    pipeline = stage.chain(2, 0)
    stage.worker("w1")
    known = {call.path: call for call in Call.objects.filter(run=stage.wait(stage.start(pipeline)))}
    spent = sum(call.cost_micros or 0 for call in known.values())
    a_budget(stage, dollars(spent + known["a1"].reserved_micros) or "", on_exceed="ask_human")
    run = stage.wait(stage.start(pipeline, "r2"), "waiting")
    question = Approval.objects.get(run=run, state="open")
    assert question.path == "a2"
    services.decide(
        acting(stage.team.carol), question.pk, Decision("reject", question.payload_hash, reason="Enough for today.")
    )
    run = stage.wait(run)
    assert (run.state, run.reason) == ("failed", "budget")
    found = receipt.of(run)
    assert [(line.path, line.cost_micros, line.calls) for line in found.lines] == [("a1", run.cost_micros, 1)]
    assert found.stopped_by["scope"] == "workspace"
    assert found.stopped_by["path"] == "a2"
    assert found.stopped_by["asked"] == dollars(known["a2"].reserved_micros)
    assert counter().extra_micros == 0


def test_a_cheaper_model_is_taken_when_the_day_is_nearly_spent(stage: Stage) -> None:
    """The dear call does not fit any more, the model that costs next to nothing does."""
    a_budget(stage, "0.0003", on_exceed="cheaper_model")
    prices = {
        "stub-200ms": {"input_per_million": "1.00", "output_per_million": "4.00"},
        "stub-0ms": {"input_per_million": "0.10", "output_per_million": "0.10"},
        "stub-1500ms": {"input_per_million": "9.00", "output_per_million": "9.00"},
    }
    Connection.objects.filter(name="stub").update(prices=prices)
    agent = stage.agent("writer", 200, fallback=["stub/stub-1500ms", "stub/stub-0ms"])
    nodes = {
        "start": {"kind": "input"},
        "a": {"kind": "agent", "agent": agent, "prompt": "[run=${input.run} step=a]"},
        "end": {"kind": "output", "value": "${steps.a.output}"},
    }
    stage.worker("w1")
    run = stage.wait(stage.start(stage.pipeline("thrifty", nodes, ["start>a", "a>end"])))
    assert run.state == "succeeded", stage.explain(run)
    assert [call.name for call in Call.objects.filter(run=run)] == ["stub/stub-0ms"]
    assert "degraded" in Step.objects.get(run=run, path="a").flags
    assert counter().spent_micros == run.cost_micros <= 300


def test_each_share_of_a_day_is_told_once_and_its_end_when_a_call_is_refused(stage: Stage) -> None:
    a_budget(stage, "0.0020")
    pipeline = stage.chain(8, 0)
    stage.worker("w1")
    runs = [stage.wait(stage.start(pipeline, marker)) for marker in ("r1", "r2", "r3")]
    assert runs[-1].reason == "budget"
    told = Event.objects.filter(run__in=runs, type="budget_alert").order_by("id")
    shares = [event.payload["at"] for event in told]
    assert shares == sorted(set(shares)), "each once, in order"
    assert shares[-1] == 1
