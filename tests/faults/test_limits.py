"""Limits of a connection, circuit breakers and kept results hold over all workers and outlive each of them."""

import datetime as dt
import time
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from pipelines import drafts, gallery, publish
from pipelines.library import agents
from pipelines.library.agents import AgentFields
from pipelines.models import Circuit, Connection, Pipeline
from runs.models import CacheEntry, Call, ConnectionUse, Event, LedgerEntry, Run, Step
from runs.services import Order, cancel, start_run
from tests.conftest import wait_for
from tests.faults.stage import NOBODY_DIES, Stage, books_balance
from tests.people import acting

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


def limited(**limits: int) -> None:
    Connection.objects.filter(name="stub").update(**limits)


def fan(stage: Stage, slug: str, width: int, ms: int) -> Pipeline:
    """Publish `width` agents at once."""
    agent = stage.agent(f"{slug}-writer", ms)
    nodes: dict[str, Any] = {"start": {"kind": "input"}, "end": {"kind": "output", "value": "done"}}
    names = [f"b{k}" for k in range(width)]
    for name in names:
        nodes[name] = {"kind": "agent", "agent": agent, "prompt": f"[run=${{input.run}} step={name}]"}
    return stage.pipeline(slug, nodes, [edge for name in names for edge in (f"start>{name}", f"{name}>end")])


def one_step(stage: Stage, slug: str, **step: Any) -> Pipeline:
    """Publish one agent that is tried once, unless told otherwise."""
    node = {"kind": "agent", "agent": stage.agent(f"{slug}-writer"), "prompt": "[run=all step=a] ${input.run}", **step}
    node.setdefault("on_error", {"retry": {"max_attempts": 1}})
    nodes = {"start": {"kind": "input"}, "a": node, "end": {"kind": "output", "value": "${steps.a.output}"}}
    return stage.pipeline(slug, nodes, ["start>a", "a>end"])


def fail_five_times(stage: Stage, pipeline: Pipeline) -> None:
    """Have the model fail until its circuit is open."""
    stage.models.ask("/admin/script", [{"kind": "503", "times": 5}])
    for k in range(5):
        stage.wait(stage.start(pipeline, f"fails-{k}"), "failed")
    wait_for(lambda: Circuit.objects.filter(opened_at__isnull=False).exists(), 5, stage.logs)


def it_is_time_to_try() -> None:
    Circuit.objects.update(retry_at=timezone.now())


def test_two_workers_never_have_more_in_flight_than_the_connection_allows(stage: Stage) -> None:
    limited(max_concurrent=2)
    pipelines = [fan(stage, slug, 6, 200) for slug in ("one", "two")]
    for name in ("w1", "w2"):
        stage.worker(name, **NOBODY_DIES)  # no turn may run out either
    runs = [stage.start(pipeline, pipeline.slug) for pipeline in pipelines]
    for run in runs:
        assert stage.wait(run).state == "succeeded"
        assert books_balance(run)
    stats = stage.models.ask("/admin/stats")
    assert (stats["calls"], stats["most_in_flight"]) == (12, 2)
    assert Call.objects.values("attempt").distinct().count() == 1, "waiting for a turn takes no attempt"


def test_a_minute_has_no_more_requests_than_the_connection_allows(stage: Stage) -> None:
    limited(rpm=5)
    pipeline = fan(stage, "many", 8, 0)
    for name in ("w1", "w2"):
        stage.worker(name)
    run = stage.start(pipeline)
    wait_for(lambda: len(stage.asked()) == 5, 20, stage.logs)
    time.sleep(1.5)
    assert len(stage.asked()) == 5
    taken = ConnectionUse.objects.filter(taken_at__isnull=False)
    taken.update(taken_at=F("taken_at") - dt.timedelta(minutes=1))  # as if a minute had passed
    assert stage.wait(run).state == "succeeded"
    assert len(stage.asked()) == 8


def test_a_dead_workers_turn_is_given_to_another(stage: Stage) -> None:
    limited(max_concurrent=1)
    pipeline = fan(stage, "few", 2, 1500)
    first = stage.worker("w1", BATON_WORKER_CONCURRENCY="2")
    run = stage.start(pipeline)
    wait_for(lambda: len(stage.asked()) == 1, 20, stage.logs)
    first.kill()
    stage.worker("w2")
    assert stage.wait(run, seconds=60).state == "succeeded"
    assert stage.models.ask("/admin/stats")["most_in_flight"] <= 2


def test_a_cancelled_run_does_not_wait_for_its_turn(stage: Stage) -> None:
    limited(rpm=1)
    pipeline = fan(stage, "late", 3, 0)
    stage.worker("w1")
    run = stage.start(pipeline)
    wait_for(lambda: len(stage.asked()) == 1, 20, stage.logs)
    cancel(stage.composer, run)
    assert stage.wait(run, seconds=10).state == "cancelled"
    assert len(stage.asked()) == 1


def test_a_circuit_opens_for_every_worker_and_one_call_closes_it(stage: Stage) -> None:
    pipeline = one_step(stage, "flaky")
    stage.worker("w1")
    fail_five_times(stage, pipeline)
    stage.worker("w2")
    asked = stage.models.ask("/admin/stats")["calls"]
    runs = [stage.start(pipeline, f"waits-{k}") for k in range(6)]
    for run in runs:
        wait_for(lambda run=run: Step.objects.filter(run=run, wait_reason="circuit").exists(), 20, stage.logs)
    assert stage.models.ask("/admin/stats")["calls"] == asked, "nobody asks while it is open"
    message = Step.objects.filter(wait_reason="circuit").first().error["message"]
    assert message.startswith("stub/stub-0ms has failed 5 times within a minute and is left alone until")

    stage.models.ask("/admin/script", [{"latency": 5.0, "times": 1}])
    it_is_time_to_try()
    Run.objects.filter(pk__in=[run.pk for run in runs], owner=None).update(wake_at=timezone.now())
    late = stage.start(pipeline, "tries")
    wait_for(lambda: stage.models.ask("/admin/stats")["calls"] > asked, 20, stage.logs)
    time.sleep(0.5)
    assert stage.models.ask("/admin/stats")["calls"] == asked + 1, "one call tries"
    wait_for(lambda: not Circuit.objects.exists(), 20, stage.logs)
    Run.objects.filter(pk__in=[run.pk for run in runs], owner=None).update(wake_at=timezone.now())
    for run in [late, *runs]:
        assert stage.wait(run, seconds=45).state == "succeeded"
    assert not Event.objects.filter(run__in=runs, type="step_retrying").exists(), "waiting counts no attempt"


def test_a_fallback_is_taken_while_the_circuit_is_open(stage: Stage) -> None:
    pipeline = one_step(stage, "flaky")
    other = one_step(stage, "careful", on_error={"fallback": [{"model": "stub/stub-200ms"}]})
    stage.worker("w1")
    fail_five_times(stage, pipeline)
    run = stage.wait(stage.start(other))
    assert run.state == "succeeded"
    assert Step.objects.get(run=run, path="a").flags == ["degraded"]
    assert [call.name for call in Call.objects.filter(run=run)] == ["stub/stub-200ms"]


def test_the_wait_for_a_circuit_is_machine_time_of_the_run(stage: Stage) -> None:
    pipeline = one_step(stage, "flaky")
    short = one_step(stage, "short", budget={"max_seconds": 5})
    long = one_step(stage, "long", budget={"max_seconds": 500})
    stage.worker("w1")
    fail_five_times(stage, pipeline)
    stopped = stage.wait(stage.start(short), "failed")
    assert stopped.error["class"] == "budget"
    assert "left alone for another" in stopped.error["message"]
    run = stage.start(long)
    wait_for(lambda: Step.objects.filter(run=run, wait_reason="circuit").exists(), 20, stage.logs)
    run = stage.wait(run, seconds=60)
    assert run.state == "succeeded"
    assert run.machine_ms >= 20_000, "it waited for what was left of the thirty seconds"


def test_an_agent_that_keeps_failing_is_left_alone_with_its_model(stage: Stage) -> None:
    agent = {"agent": stage.agent("slow-writer", 2_000), "prompt": "[run=all step=a] ${input.run}", "timeout": "PT1S"}
    pipeline = one_step(stage, "tardy", **agent)
    stage.worker("w1")
    for k in range(5):
        stage.wait(stage.start(pipeline, f"fails-{k}"), "failed")
    wait_for(lambda: Circuit.objects.filter(opened_at__isnull=False).count() == 2, 5, stage.logs)
    subjects = sorted(Circuit.objects.values_list("subject", flat=True))
    assert subjects == ["slow-writer@1 with stub/stub-2000ms", "stub/stub-2000ms"]
    Circuit.objects.filter(subject="stub/stub-2000ms").delete()
    time.sleep(6)  # until the worker has looked again, on a busy machine too
    run = stage.start(pipeline, "waits")
    wait_for(lambda: Step.objects.filter(run=run, wait_reason="circuit").exists(), 20, stage.logs)
    assert Step.objects.get(run=run, path="a").error["message"].startswith("slow-writer@1 with stub/stub-2000ms")


def test_a_kept_result_costs_nothing_and_outlives_the_worker(stage: Stage) -> None:
    pipeline = one_step(stage, "kept", cache={"mode": "workspace"})
    worker = stage.worker("w1")
    first = stage.wait(stage.start(pipeline, "same"))
    worker.kill()
    stage.worker("w2")
    second = stage.wait(stage.start(pipeline, "same"))
    other = stage.wait(stage.start(pipeline, "different"))
    assert stage.models.ask("/admin/stats")["calls"] == 2
    assert first.cost_micros > 0
    assert (second.cost_micros, second.saved_micros, second.output) == (0, first.cost_micros, first.output)
    assert (other.saved_micros, other.cost_micros > 0) == (0, True)
    step = Step.objects.get(run=second, path="a")
    assert step.flags == ["cached"]
    assert step.meta["cached"] == {"run": str(first.pk), "path": "a"}
    entry = LedgerEntry.objects.get(run=second)
    assert (entry.kind, entry.path, entry.amount_micros) == ("cache_hit", "a@1", first.cost_micros)
    assert all(books_balance(run) for run in (first, second, other))


def test_an_actions_output_is_judged_once_and_kept(stage: Stage) -> None:
    rubric = {"rule": "ai_rubric", "rubric": "Is it an answer?", "model": "demo/judge", "min_score": 0}
    args = {"method": "GET", "url": f"http://127.0.0.1:{stage.models.port}/admin/stats"}
    act = {"kind": "tool", "tool": "http.request@1", "args": args, "checks": [rubric], "cache": {"mode": "workspace"}}
    nodes = {"start": {"kind": "input"}, "a": act, "end": {"kind": "output", "value": "${steps.a.output.status}"}}
    pipeline = stage.pipeline("judged", nodes, ["start>a", "a>end"])
    stage.worker("w1")
    first = stage.wait(stage.start(pipeline))
    assert (first.state, first.output) == ("succeeded", 200)
    calls = [(call.kind, call.name, call.attempt) for call in Call.objects.filter(run=first).order_by("n")]
    assert calls == [("tool", "http.request@1", 1), ("model", "demo/judge", 1)]
    assert Step.objects.get(run=first, path="a").meta["scores"]
    second = stage.wait(stage.start(pipeline))
    assert (second.output, Call.objects.filter(run=second).count()) == (200, 0)
    assert books_balance(first)


def test_a_result_is_kept_for_its_time_and_within_its_run_or_pipeline(stage: Stage) -> None:
    short = one_step(stage, "short", cache={"mode": "workspace", "ttl": "PT1H"})
    within = one_step(stage, "within", cache={"mode": "run"})
    stage.worker("w1")
    for pipeline in (short, short, within, within):
        stage.wait(stage.start(pipeline, "same"))
    assert stage.models.ask("/admin/stats")["calls"] == 3
    CacheEntry.objects.update(expires_at=timezone.now())
    stage.wait(stage.start(short, "same"))
    assert stage.models.ask("/admin/stats")["calls"] == 4


def test_an_item_of_a_list_uses_what_another_item_found(stage: Stage) -> None:
    agent = stage.agent("digger")
    inner = {"dig": {"kind": "agent", "agent": agent, "prompt": "About ${topic}", "cache": {"mode": "run"}}}
    nodes = {
        "start": {"kind": "input"},
        "all": {
            "kind": "each",
            "over": "${['a', 'a', 'b', 'a']}",
            "as": "topic",
            "max_parallel": 1,
            "graph": {"nodes": inner, "edges": []},
            "result": "${steps.dig.output}",
        },
        "end": {"kind": "output", "value": "${steps.all.output}"},
    }
    pipeline = stage.pipeline("list", nodes, ["start>all", "all>end"])
    stage.worker("w1")
    run = stage.wait(stage.start(pipeline))
    assert run.state == "succeeded", run.error
    assert stage.models.ask("/admin/stats")["calls"] == 2
    assert Step.objects.filter(run=run, flags=["cached"]).count() == 2
    assert books_balance(run)


def test_the_research_template_pays_for_each_topic_once_a_day(stage: Stage) -> None:
    pipeline = gallery.instantiate(stage.composer, "topic-research")
    stage.worker("w1")
    first = stage.wait(start_run(stage.composer, pipeline, Order({"topics": ["Solar roofs", "Heat pumps"]})))
    second = stage.wait(start_run(stage.composer, pipeline, Order({"topics": ["Heat pumps", "Home batteries"]})))
    assert [run.state for run in (first, second)] == ["succeeded", "succeeded"]
    assert list(Step.objects.filter(run=second, flags=["cached"]).values_list("path", flat=True)) == ["research[0].dig"]
    assert first.output["findings"][1] == second.output["findings"][0]
    assert second.saved_micros == Step.objects.get(run=first, path="research[1].dig").cost_micros > 0
    assert all(books_balance(run) for run in (first, second))


def test_a_stranger_never_gets_what_another_workspace_paid_for(stage: Stage) -> None:
    alice, charlie = stage.composer, acting(stage.team.charlie)
    node = {"kind": "agent", "agent": "same", "prompt": "Hello", "cache": {"mode": "workspace"}}
    nodes = {"start": {"kind": "input"}, "a": node, "end": {"kind": "output", "value": "${steps.a.output}"}}
    edges = [{"from": "start", "to": "a"}, {"from": "a", "to": "end"}]
    head = {"format": "baton.pipeline", "format_version": "1.0", "id": "same", "name": "Same"}
    stage.worker("w1")
    runs = []
    for person in (alice, charlie, charlie):
        if len(runs) < 2:
            agents.create(person, "same", AgentFields("demo/writer"))
            pipeline = drafts.create(person, {**head, "graph": {"nodes": nodes, "edges": edges}})
            publish.publish(person, pipeline, "")
            pipeline.refresh_from_db()
        runs.append(stage.wait(start_run(person, pipeline, Order({}))))
    assert [run.saved_micros > 0 for run in runs] == [False, False, True]
    assert Step.objects.get(run=runs[2], path="a").meta["cached"]["run"] == str(runs[1].pk)
    assert CacheEntry.objects.values("key").distinct().count() == 1
    assert CacheEntry.objects.count() == 2


def test_a_provider_that_asks_to_come_later_opens_no_circuit(stage: Stage) -> None:
    stage.models.ask("/admin/script", [{"kind": "429", "retry_after": "0", "times": 7}])
    retry = {"on_error": {"retry": {"max_attempts": 10, "first_delay": "PT0S"}}}
    node = {"kind": "agent", "agent": stage.agent("patient"), "prompt": "[run=r1 step=a]", **retry}
    nodes = {"start": {"kind": "input"}, "a": node, "end": {"kind": "output", "value": "${steps.a.output}"}}
    pipeline = stage.pipeline("patient", nodes, ["start>a", "a>end"])
    stage.worker("w1")
    run = stage.wait(stage.start(pipeline))
    assert run.state == "succeeded"
    assert stage.asked()["a"] == 8
    assert not Circuit.objects.exclude(opened_at=None).exists()
