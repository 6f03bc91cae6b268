"""Rounds on real rows: the Review loop as it comes from the gallery, a worker that dies inside a round, and one that is
run again while a call of its first try is under way."""

from typing import Any

import pytest

from accounts.access import Actor
from accounts.roles import Role
from approvals import services
from approvals.models import Approval
from approvals.policy import Decision
from pipelines import gallery
from pipelines.models import Connection, Pipeline
from runs.models import Call, Event, Step
from runs.services import Order, start_run
from tests.conftest import wait_for
from tests.faults.stage import Stage, books_balance, finished_twice, has_no_gap

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


def test_the_review_loop_runs_as_it_is_and_ends_at_a_good_draft(stage: Stage) -> None:
    operator = Actor(stage.team.alice, stage.team.workspace, frozenset(Role))
    pipeline = gallery.instantiate(operator, "review-loop")
    stage.worker("w1")
    run = stage.wait(start_run(operator, pipeline, Order(dict(gallery.template("review-loop").sample))))
    assert run.state == "succeeded", stage.explain(run)
    loop = Step.objects.get(run=run, path="write")
    rounds = loop.meta["rounds"]
    assert (loop.meta["ended"], len(rounds)) == ("until", 2), "the sample shows a draft that is sent back once"
    paths = set(Step.objects.filter(run=run, path__contains="#").values_list("path", flat=True))
    assert paths == {f"write#{entry['round']}.{name}" for entry in rounds for name in ("draft", "review")}
    started = Event.objects.filter(run=run, type="round_started").order_by("seq")
    assert [event.payload["round"] for event in started] == [entry["round"] for entry in rounds]
    best = max(entry["score"] for entry in rounds)
    assert next(entry["score"] for entry in rounds if entry["round"] == loop.meta["round"]) == best
    assert run.output["result"]["rounds"] == rounds
    assert run.output["result"]["text"] == Step.objects.get(run=run, path="write#2.draft").output
    assert has_no_gap(run)
    assert books_balance(run)


def test_a_worker_killed_inside_a_round_pays_for_no_finished_step_again(stage: Stage) -> None:
    prompt = "[run=${input.run} step=%s${round.n}] ${round.previous.b.output | default('')}"
    inner = {
        "nodes": {
            "a": {"kind": "agent", "agent": stage.agent("first", 200), "prompt": prompt % "a"},
            "b": {"kind": "agent", "agent": stage.agent("second", 1500), "prompt": prompt % "b"},
        },
        "edges": [{"from": "a", "to": "b"}],
    }
    nodes = {
        "start": {"kind": "input"},
        "loop": {"kind": "repeat", "until": "round.n == 3", "max_rounds": 5, "graph": inner},
        "end": {"kind": "output", "value": "${steps.loop.output}"},
    }
    pipeline = stage.pipeline("rounds", nodes, ["start>loop", "loop>end"], budget={"max_cost_usd": "1.00"})
    first = stage.worker("w1")
    run = stage.start(pipeline)
    stage.wait_for_call("b2")
    first.kill()
    stage.worker("w2")
    run = stage.wait(run)
    assert run.state == "succeeded", stage.explain(run)
    assert stage.asked() == {"a1": 1, "b1": 1, "a2": 1, "b2": 2, "a3": 1, "b3": 1}
    assert Step.objects.get(run=run, path="loop").meta["round"] == 3
    assert Call.objects.filter(run=run, path="loop#2.b").count() == 2
    assert finished_twice(run) == []
    assert has_no_gap(run)
    assert books_balance(run)


def slow_beside_failing(stage: Stage) -> Pipeline:
    """Publish a round in which `a` takes four seconds and `b` fails once at once, with a slow step beside it."""
    dear = {"input_per_million": "1.00", "output_per_million": "4.00"}
    Connection.objects.filter(name="stub").update(prices={"stub-4000ms": dear, "stub-0ms": dear})
    stage.models.ask("/admin/script", [{"kind": "400", "match": "step=b]", "times": 1}])

    def a_step(name: str, ms: int) -> dict[str, Any]:
        return {"kind": "agent", "agent": stage.agent(name, ms), "prompt": f"[run=${{input.run}} step={name}]"}

    inner = {"nodes": {"a": a_step("a", 4_000), "b": a_step("b", 0)}, "edges": []}
    once = {"kind": "repeat", "max_rounds": 1, "graph": inner, "result": "${steps.a.output}"}
    nodes = {
        "start": {"kind": "input"},
        "loop": {**once, "on_error": {"then": "ask_human"}},
        "beside": a_step("beside", 4_000),
        "end": {"kind": "output", "value": "done"},
    }
    return stage.pipeline("slow", nodes, ["start>loop", "start>beside", "loop>end", "beside>end"])


@pytest.mark.parametrize("dies", [False, True])
def test_a_retry_while_a_cancelled_call_is_still_under_way_begins_when_it_has_answered(
    stage: Stage, *, dies: bool
) -> None:
    """The answer that nobody waits for is paid for and not used; nothing else in the run is cut off for it."""
    pipeline = slow_beside_failing(stage)
    worker = stage.worker("w1")
    run = stage.start(pipeline)
    wait_for(lambda: Approval.objects.filter(run=run, kind="failure", state="open").exists(), 20, stage.logs)
    question = Approval.objects.get(run=run, kind="failure")
    services.decide(stage.bob, question.pk, Decision("retry"))
    if dies:
        wait_for(lambda: Event.objects.filter(run=run, type="step_started", path="loop#1.a").count() == 2, 4)
        answered = Call.objects.filter(run=run, path="loop#1.b", state="finished")
        wait_for(answered.exists, 4, stage.logs)
        worker.kill()
        stage.worker("w2")
    run = stage.wait(run)
    assert (run.state, run.crashes) == ("succeeded", 0), stage.explain(run)
    calls = [(call.attempt, call.state) for call in Call.objects.filter(run=run, path="loop#1.a").order_by("n")]
    assert calls == [(1, "lost" if dies else "finished"), (2, "finished")]
    assert stage.asked() == {"a": 2, "b": 2, "beside": 2 if dies else 1}
    assert Step.objects.get(run=run, path="loop#1.a").attempt == 2
    assert has_no_gap(run)
    assert books_balance(run)
