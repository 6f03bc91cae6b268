"""What happens to runs when workers die, stop, stall or hear the same bell many times."""

import signal
import time

import pytest

from approvals import services
from approvals.models import Approval
from approvals.policy import Decision
from runs.models import Call, Run
from runs.tasks import wake
from tests.conftest import wait_for
from tests.faults.stage import LEASE_SECONDS, Stage, books_balance, finished_twice, has_no_gap

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


def test_a_run_survives_kill_9_in_the_middle_of_a_model_call(stage: Stage) -> None:
    first = stage.worker("w1")
    run = stage.start(stage.chain(5, 1500))
    stage.wait_for_call("a3")
    first.kill()
    killed = time.monotonic()
    stage.worker("w2")
    run = stage.wait(run)
    assert run.state == "succeeded"
    asked = stage.asked()
    assert asked == {"a1": 1, "a2": 1, "a3": 2, "a4": 1, "a5": 1}, "only the interrupted call is made again"
    assert finished_twice(run) == []
    assert has_no_gap(run)
    assert books_balance(run)
    assert run.unconfirmed_micros > 0, "the provider may have charged for the call that was cut off"
    retry = Call.objects.get(run=run, path="a3", state="finished")
    print(f"next call {retry.started_at.timestamp() - time.time() + time.monotonic() - killed:.1f} s after the kill")


def test_two_kills_in_a_row_pay_no_finished_step_twice(stage: Stage) -> None:
    run = stage.start(stage.chain(4, 1500))
    for name, step in (("w1", "a2"), ("w2", "a3")):
        worker = stage.worker(name)
        stage.wait_for_call(step)
        worker.kill()
    stage.worker("w3")
    run = stage.wait(run)
    assert run.state == "succeeded"
    assert run.epoch == 3, "two workers died over it, the third finished it"
    assert run.crashes == 0, "none of them without finishing a step, so the run itself is not suspected"
    assert finished_twice(run) == []
    assert stage.asked()["a1"] == 1
    assert books_balance(run)


def test_a_clean_stop_hands_the_run_over_at_once(stage: Stage) -> None:
    first = stage.worker("w1")
    stage.worker("w2").send(signal.SIGSTOP)
    run = stage.start(stage.chain(4, 1500))
    stage.wait_for_call("a2")
    stage.workers[1].send(signal.SIGCONT)
    first.stop()
    run = stage.wait(run)
    assert run.state == "succeeded"
    assert run.crashes == 0
    assert finished_twice(run) == []
    assert books_balance(run)


def test_a_worker_that_slept_past_its_lease_writes_nothing_when_it_wakes(stage: Stage) -> None:
    zombie = stage.worker("w1")
    run = stage.start(stage.chain(3, 1500))
    stage.wait_for_call("a1")
    zombie.send(signal.SIGSTOP)
    time.sleep(LEASE_SECONDS + 0.5)
    stage.worker("w2")
    wait_for(lambda: (Run.objects.get(pk=run.pk).owner or "").startswith("w2"), 30, stage.logs)
    zombie.send(signal.SIGCONT)
    run = stage.wait(run)
    assert run.state == "succeeded"
    assert has_no_gap(run)
    assert finished_twice(run) == []
    assert books_balance(run)
    assert "another owner" in zombie.log.read_text()


def test_the_same_bell_many_times_and_late_changes_nothing(stage: Stage) -> None:
    stage.worker("w1")
    stage.worker("w2")
    run = stage.start(stage.chain(3, 200))
    for _ in range(20):
        wake.delay(str(run.pk))
    run = stage.wait(run)
    for _ in range(5):
        wake.delay(str(run.pk))
    time.sleep(1)
    assert stage.asked() == {"a1": 1, "a2": 1, "a3": 1}
    assert has_no_gap(run)
    assert books_balance(run)
    assert Run.objects.get(pk=run.pk).epoch == run.epoch


def test_a_run_starts_without_any_bell(stage: Stage) -> None:
    from orchestrator_site.celery import app

    run = stage.start(stage.chain(2, 0))
    app.control.purge()
    started = time.monotonic()
    stage.worker("w1")
    assert stage.wait(run).state == "succeeded"
    print(f"ended {time.monotonic() - started:.1f} s after the worker was started, all bells lost")


def test_a_worker_killed_after_the_approval_sends_the_mail_once(stage: Stage) -> None:
    nodes = {
        "start": {"kind": "input"},
        "send": {
            "kind": "tool",
            "tool": "email.send@1",
            "args": {"to": "ana@northwind.example", "subject": "Hello", "body": "Good morning."},
        },
        "wait": {"kind": "agent", "agent": stage.agent("slow", 1500), "prompt": "[run=${input.run} step=wait] go"},
        "end": {"kind": "output", "value": "${steps.send.output}"},
    }
    pipeline = stage.pipeline("mail", nodes, ["start>send", "send>wait", "wait>end"])
    first = stage.worker("w1")
    run = stage.start(pipeline)
    stage.wait(run, "waiting")
    question = Approval.objects.get(run=run)
    services.decide(stage.bob, question.pk, Decision("approve", payload_hash=question.payload_hash))
    stage.wait_for_call("wait")
    first.kill()
    stage.worker("w2")
    run = stage.wait(run)
    assert run.state == "succeeded"
    assert len(stage.mails()) == 1
    call = Call.objects.get(run=run, kind="tool")
    assert str(call.approval) == str(question.pk)
