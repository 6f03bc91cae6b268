"""Waits, boards and locks on real rows with real workers, one of which dies in the middle."""

from itertools import pairwise
from typing import Any

import pytest

from pipelines.models import Pipeline
from runs import services, topics
from runs.models import BoardEntry, Call, Event, EventWait, Run, Step, StepLock
from runs.topics import NewEvent
from tests.conftest import wait_for
from tests.faults.stage import NOBODY_DIES, Stage, books_balance, finished_twice, has_no_gap

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

START: dict[str, Any] = {"kind": "input"}


def waiting(stage: Stage, slug: str = "waiting", **config: Any) -> Pipeline:
    """Publish start >> hold >> (by port) end."""
    nodes = {
        "start": START,
        "hold": {"kind": "wait", **config},
        "end": {"kind": "output", "value": "${steps.hold.output}", "wait_for": "settled"},
    }
    ports = ["time"] if {"for", "until"} & config.keys() else []
    ports += [f"event_{config['event']['name']}"] if "event" in config else []
    ports += ["timeout"] if "timeout" in config else []
    return stage.pipeline(slug, nodes, ["start>hold", *(f"hold:{port}>end" for port in ports)])


def is_parked(run: Run) -> bool:
    return Run.objects.filter(pk=run.pk, state="waiting", owner=None).exists()


def took(run: Run, path: str = "hold") -> float:
    step = Step.objects.get(run=run, path=path)
    assert step.started_at
    assert step.finished_at
    return (step.finished_at - step.started_at).total_seconds()


def test_a_timer_is_never_early_although_its_worker_dies(stage: Stage) -> None:
    first = stage.worker("w1")
    run = stage.start(waiting(stage, **{"for": "PT6S"}))
    wait_for(lambda: Step.objects.filter(run=run, path="hold", state="waiting").exists(), 20, stage.logs)
    first.kill()
    stage.worker("w2")
    run = stage.wait(run)
    assert run.state == "succeeded", stage.explain(run)
    assert took(run) >= 6
    assert Step.objects.get(run=run, path="hold").port == "time"
    assert has_no_gap(run)


def test_a_parked_run_goes_on_when_its_event_comes_and_again_after_all_workers_died(stage: Stage) -> None:
    worker = stage.worker("w1")
    event = {"name": "paid", "topic": "orders/${input.run}", "match": "event.payload.sum > 10"}
    pipeline = waiting(stage, event=event, timeout="P30D")
    runs = [stage.start(pipeline, marker) for marker in ("r1", "r2")]
    wait_for(lambda: all(is_parked(run) for run in runs), 20, stage.logs)
    assert EventWait.objects.count() == 2
    for payload in ({"sum": 9}, {"sum": 11}, {"sum": 12}):
        topics.send(stage.composer, NewEvent("orders/r1", payload, "paid"))
    run = stage.wait(runs[0])
    assert run.output["payload"] == {"sum": 11}, stage.explain(run)
    assert run.output["by"] == stage.composer.user.email
    worker.kill()
    topics.send(stage.composer, NewEvent("orders/r2", {"sum": 99}))
    stage.worker("w2")
    assert stage.wait(runs[1]).output["payload"] == {"sum": 99}
    assert not EventWait.objects.exists()


def test_a_persistent_trigger_is_kept_and_a_transient_one_is_lost(stage: Stage) -> None:
    stage.worker("w1")
    topics.send(stage.composer, NewEvent("orders/r1", "early"))
    kept = waiting(stage, "kept", event={"name": "paid", "topic": "orders/r1", "keep": "PT1H"})
    lost = waiting(stage, "lost", event={"name": "paid", "topic": "orders/r1"}, timeout="P1D")
    assert stage.wait(stage.start(kept)).output["payload"] == "early"
    run = stage.start(lost)
    wait_for(lambda: is_parked(run), 20, stage.logs)
    topics.send(stage.composer, NewEvent("orders/r1", "late"))
    assert stage.wait(run).output["payload"] == "late"


def test_a_step_of_one_run_wakes_a_step_of_another(stage: Stage) -> None:
    stage.worker("w1")
    hearing = stage.start(waiting(stage, event={"name": "news", "topic": "news"}, timeout="P1D"))
    wait_for(lambda: is_parked(hearing), 20, stage.logs)
    nodes = {
        "start": START,
        "tell": {"kind": "board", "op": "publish", "key": "news", "value": {"from": "${input.run}"}},
        "end": {"kind": "output", "value": "${steps.tell.output}"},
    }
    telling = stage.wait(stage.start(stage.pipeline("telling", nodes, ["start>tell", "tell>end"])))
    found = stage.wait(hearing).output
    assert found["payload"] == {"from": "r1"}
    assert found["by"] == f"run {telling.pk}"


def test_a_worker_killed_between_writes_to_the_board_makes_each_once(stage: Stage) -> None:
    agent = stage.agent("slow", 1500)
    inner = {
        "nodes": {
            "a": {"kind": "agent", "agent": agent, "prompt": "[run=${input.run} step=a${item}]"},
            "note": {"kind": "board", "op": "append", "key": "log", "value": "${item}"},
        },
        "edges": [{"from": "a", "to": "note"}],
    }
    nodes = {
        "start": START,
        "each": {"kind": "each", "over": [1, 2, 3], "max_parallel": 1, "graph": inner},
        "read": {"kind": "board", "op": "read", "key": "log"},
        "end": {"kind": "output", "value": "${board.log}"},
    }
    pipeline = stage.pipeline("board", nodes, ["start>each", "each>read", "read>end"])
    first = stage.worker("w1")
    run = stage.start(pipeline)
    stage.wait_for_call("a2")
    first.kill()
    stage.worker("w2")
    run = stage.wait(run)
    assert run.output == [1, 2, 3], stage.explain(run)
    assert [entry.version for entry in BoardEntry.objects.filter(run=run).order_by("id")] == [1, 2, 3]
    assert finished_twice(run) == []
    assert has_no_gap(run)
    assert books_balance(run)


def printing(stage: Stage, slug: str) -> Pipeline:
    """Publish a pipeline whose one slow step takes turns with those of all others."""
    agent = stage.agent(f"{slug}-agent", 1500)
    prompt = f"[run=${{input.run}} step={slug}]"
    nodes = {
        "start": START,
        "a": {"kind": "agent", "agent": agent, "prompt": prompt, "lock": "printer"},
        "end": {"kind": "output", "value": "${steps.a.output}"},
    }
    return stage.pipeline(slug, nodes, ["start>a", "a>end"])


def test_steps_of_several_runs_and_workers_hold_a_lock_one_after_the_other(stage: Stage) -> None:
    for name in ("w1", "w2"):
        stage.worker(name, **NOBODY_DIES)
    runs = [stage.start(printing(stage, f"p{n}")) for n in range(4)]
    runs = [stage.wait(run, seconds=60) for run in runs]
    assert [run.state for run in runs] == ["succeeded"] * 4
    spans = sorted(Call.objects.filter(run__in=runs).values_list("started_at", "finished_at"))
    assert all(before[1] <= after[0] for before, after in pairwise(spans)), spans
    asked = Event.objects.filter(run__in=runs, type="step_waiting", payload__reason="lock")
    assert asked.count() == 4
    assert not StepLock.objects.exists()


def test_a_dead_workers_lock_is_held_on_by_the_next_owner_and_then_given_back(stage: Stage) -> None:
    first = stage.worker("w1")
    holder = stage.start(printing(stage, "holder"))
    stage.wait_for_call("holder")
    waiter = stage.start(printing(stage, "waiter"), "r2")
    wait_for(lambda: is_parked(waiter), 20, stage.logs)
    assert Step.objects.get(run=waiter, path="a").wait_reason == "lock"
    first.kill()
    assert stage.asked("r2") == {}
    stage.worker("w2")
    holder, waiter = stage.wait(holder), stage.wait(waiter)
    assert (holder.state, waiter.state) == ("succeeded", "succeeded"), stage.explain(waiter)
    assert stage.asked() == {"holder": 2}, "the call that was cut off is made again, under the lock"
    lost_and_made = Call.objects.filter(run=holder, state="finished").get()
    assert lost_and_made.finished_at <= Call.objects.get(run=waiter).started_at
    assert not StepLock.objects.exists()


def test_a_cancelled_run_gives_its_lock_to_the_next(stage: Stage) -> None:
    stage.worker("w1")
    holder = stage.start(printing(stage, "holder"))
    stage.wait_for_call("holder")
    waiter = stage.start(printing(stage, "waiter"), "r2")
    wait_for(lambda: StepLock.objects.count() == 2, 20, stage.logs)
    services.cancel(stage.composer, holder, "enough")
    assert stage.wait(waiter).state == "succeeded"
    assert stage.wait(holder).state == "cancelled"


def test_a_step_that_somebody_stops_makes_room_for_the_rest(stage: Stage) -> None:
    stage.worker("w1")
    agent = stage.agent("slow", 1500)
    inner = {
        "nodes": {"a": {"kind": "agent", "agent": agent, "prompt": "[run=${input.run} step=a${item}]"}},
        "edges": [],
    }
    each = {"kind": "each", "over": [1, 2, 3], "max_parallel": 1, "on_item_error": "omit", "graph": inner}
    nodes = {"start": START, "each": each, "end": {"kind": "output", "value": "${steps.each.meta.items}"}}
    run = stage.start(stage.pipeline("items", nodes, ["start>each", "each>end"]))
    stage.wait_for_call("a1")
    services.stop_step(stage.composer, run, "each[0]", "not this one")
    run = stage.wait(run)
    assert [item["status"] for item in run.output] == ["failed", "succeeded", "succeeded"], stage.explain(run)
    assert "not this one" in run.output[0]["error"]["message"]
    assert stage.asked() == {"a1": 1, "a2": 1, "a3": 1}
    assert books_balance(run)


def test_a_run_that_pauses_before_a_step_goes_on_step_by_step(stage: Stage) -> None:
    nodes = {
        "start": START,
        "a": {"kind": "agent", "agent": stage.agent("one"), "prompt": "[run=${input.run} step=a]"},
        "b": {"kind": "agent", "agent": stage.agent("two"), "prompt": "[run=${input.run} step=b]"},
        "end": {"kind": "output", "value": "${steps.b.output}"},
    }
    pipeline = stage.pipeline("stepping", nodes, ["start>a", "a>b", "b>end"], pause_before=["b", "end"])
    first = stage.worker("w1")
    run = stage.wait(stage.start(pipeline), "paused")
    assert stage.asked() == {"a": 1}
    first.kill()
    stage.worker("w2")
    services.resume(stage.composer, run)
    wait_for(lambda: Step.objects.filter(run=run, path="end", state="ready").exists(), 20, stage.logs)
    run = stage.wait(run, "paused")
    assert stage.asked() == {"a": 1, "b": 1}
    services.resume(stage.composer, run)
    assert stage.wait(run).state == "succeeded"
    paused = Event.objects.filter(run=run, type="run_paused").order_by("seq")
    assert [event.payload["before"] for event in paused] == ["b", "end"]
