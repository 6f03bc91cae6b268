"""Effects, counted by a process outside: once under one key, or a person decides."""

import signal
import time
from typing import Any

import pytest

from approvals import services
from approvals.models import Approval
from approvals.policy import Decision
from pipelines.models import Pipeline
from runs.models import Run
from tests.conftest import wait_for
from tests.faults.own import OwnBroker
from tests.faults.stage import Stage, books_balance, has_no_gap

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


def a_post(stage: Stage, path: str, **args: Any) -> Pipeline:
    """Publish a pipeline that posts to the sink, which an approval guards because it cannot be undone."""
    request = {"method": "POST", "url": f"{stage.sink_url}{path}", "json": {"order": 7}, **args}
    nodes = {
        "start": {"kind": "input"},
        "post": {"kind": "tool", "tool": "http.request@1", "args": request},
        "end": {"kind": "output", "value": "${steps.post.output.status}"},
    }
    return stage.pipeline("post", nodes, ["start>post", "post>end"])


def approve(stage: Stage, run: Run) -> None:
    question = Approval.objects.get(run=run, state="open")
    services.decide(stage.bob, question.pk, Decision("approve", payload_hash=question.payload_hash))


def kill_while_posting(stage: Stage, pipeline: Pipeline) -> Run:
    """Run to the post, approve it, and kill the worker once the sink has taken it but not answered."""
    first = stage.worker("w1")
    run = stage.start(pipeline)
    stage.wait(run, "waiting")
    approve(stage, run)
    wait_for(lambda: len(stage.effects()) > 0, 20, stage.logs)
    first.kill()
    stage.worker("w2")
    return run


def test_an_unkeyed_post_cut_off_by_a_crash_is_never_sent_again_by_itself(stage: Stage) -> None:
    run = kill_while_posting(stage, a_post(stage, "/wait?seconds=20"))
    stage.wait(run, "waiting")
    question = Approval.objects.get(run=run, state="open")
    assert question.kind == "outcome_unknown"
    time.sleep(3)
    assert len(stage.effects()) == 1
    decision = Decision("use", payload={"status": 200, "headers": {}, "json": {"ok": True}}, reason="The log shows it.")
    services.decide(stage.bob, question.pk, decision)
    run = stage.wait(run)
    assert (run.state, run.output) == ("succeeded", 200)
    assert len(stage.effects()) == 1
    assert has_no_gap(run)


def test_an_unkeyed_post_that_did_not_happen_is_sent_again_only_when_that_is_approved(stage: Stage) -> None:
    run = kill_while_posting(stage, a_post(stage, "/wait?seconds=3"))
    stage.wait(run, "waiting")
    lost = Approval.objects.get(run=run, state="open")
    services.decide(stage.bob, lost.pk, Decision("retry", reason="It is not in the log."))
    wait_for(lambda: Approval.objects.filter(run=run, state="open", kind="approve").exists(), 20, stage.logs)
    assert len(stage.effects()) == 1
    approve(stage, run)
    run = stage.wait(run)
    assert (run.state, run.output) == ("succeeded", 200)
    assert len(stage.effects()) == 2
    assert has_no_gap(run)


def test_a_keyed_post_cut_off_by_a_crash_is_sent_again_under_the_same_key(stage: Stage) -> None:
    run = kill_while_posting(stage, a_post(stage, "/wait?seconds=5", idempotency_header="Idempotency-Key"))
    run = stage.wait(run)
    assert run.state == "succeeded"
    keys = {effect["key"] for effect in stage.effects()}
    assert len(keys) == 1, "whoever takes it can tell that it is the same order"
    assert Approval.objects.filter(run=run).count() == 1


def test_a_post_that_was_done_and_answered_502_is_asked_about_and_done_by_nobody_else(stage: Stage) -> None:
    ends = {"start": {"kind": "input"}, "end": {"kind": "output", "value": "done by the spare"}}
    stage.pipeline("spare", ends, ["start>end"], inputs={"type": "object"})
    request = {"method": "POST", "url": f"{stage.sink_url}/status?code=502"}
    stands_in = {"retry": {"max_attempts": 1}, "fallback": [{"pipeline": "spare"}], "then": "stop_run"}
    nodes = {
        "start": {"kind": "input"},
        "post": {"kind": "tool", "tool": "http.request@1", "args": request, "on_error": stands_in},
        "end": {"kind": "output", "value": "${steps.post.output}"},
    }
    stage.worker("w1")
    run = stage.start(stage.pipeline("post", nodes, ["start>post", "post>end"]))
    stage.wait(run, "waiting")
    approve(stage, run)
    wait_for(lambda: Approval.objects.filter(run=run, kind="outcome_unknown").exists(), 20, stage.logs)
    assert len(stage.effects()) == 1
    lost = Approval.objects.get(run=run, state="open")
    services.decide(stage.bob, lost.pk, Decision("stop", reason="Nobody can tell."))
    run = stage.wait(run)
    assert (run.state, run.error["code"]) == ("failed", "outcome_unknown")
    assert len(stage.effects()) == 1
    assert not Run.objects.filter(parent=run).exists(), "no pipeline does once more what may have been done"
    assert has_no_gap(run)


def test_a_rejected_post_is_never_sent(stage: Stage) -> None:
    stage.worker("w1")
    run = stage.start(a_post(stage, "/order"))
    stage.wait(run, "waiting")
    question = Approval.objects.get(run=run)
    decision = Decision("reject", payload_hash=question.payload_hash, reason="Wrong order")
    services.decide(stage.bob, question.pk, decision)
    run = stage.wait(run)
    assert run.state == "failed"
    assert run.error["class"] == "denied"
    assert "Wrong order" in run.error["message"]
    assert stage.effects() == []


def test_connections_cut_in_the_middle_lose_nothing(stage: Stage) -> None:
    from django.db import connection

    stage.worker("w1")
    run = stage.start(stage.chain(6, 200))
    stage.wait_for_call("a2")
    for _ in range(4):
        with connection.cursor() as cursor:
            cursor.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )
        time.sleep(0.3)
    run = stage.wait(run)
    assert run.state == "succeeded"
    assert run.crashes == 0
    assert set(stage.asked().values()) == {1}
    assert has_no_gap(run)
    assert books_balance(run)


def test_a_broker_flushed_in_the_middle_only_costs_time(stage: Stage) -> None:
    from orchestrator_site.celery import app

    stage.worker("w1").freeze_between_commits()
    runs = [stage.start(stage.chain(2, 0), marker="r1")]
    app.control.purge()
    stage.workers[0].send(signal.SIGCONT)
    started = time.monotonic()
    for run in runs:
        assert stage.wait(run).state == "succeeded"
    print(f"progress {time.monotonic() - started:.1f} s after the broker lost every message")


def test_a_dead_broker_only_costs_time(stage: Stage, own_broker: OwnBroker) -> None:
    worker = stage.worker("w1", **own_broker.environment)
    own_broker.die()
    chain = stage.chain(2, 0)
    assert stage.wait(stage.start(chain, "away")).state == "succeeded"
    own_broker.come_back()
    assert stage.wait(stage.start(chain, "back")).state == "succeeded"
    assert worker.is_running


def test_a_cancelled_run_starts_no_further_step_and_books_the_call_under_way(stage: Stage) -> None:
    from runs.services import cancel

    stage.worker("w1")
    run = stage.start(stage.chain(4, 1500))
    stage.wait_for_call("a2")
    cancel(stage.composer, run, "wrong topic")
    run = stage.wait(run)
    assert run.state == "cancelled"
    assert stage.asked() == {"a1": 1, "a2": 1}
    assert books_balance(run)
    assert run.unconfirmed_micros == 0, "the call under way was allowed to answer, so its cost is known"
