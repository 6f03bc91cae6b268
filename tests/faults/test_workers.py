"""What happens to runs when workers die, stop, stall or hear the same bell many times."""

import signal
import time

import pytest
from django.db import connection, transaction

from approvals import services
from approvals.models import Approval
from approvals.policy import Decision
from runs.models import Call, Run
from runs.tasks import wake
from tests.conftest import wait_for
from tests.faults.stage import LEASE_SECONDS, NOBODY_DIES, Stage, books_balance, finished_twice, has_no_gap

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
    stage.worker("w2").freeze_between_commits()
    run = stage.start(stage.chain(4, 1500))
    stage.wait_for_call("a2")
    stage.workers[1].send(signal.SIGCONT)
    first.stop()
    run = stage.wait(run)
    assert run.state == "succeeded"
    assert run.crashes == 0
    assert finished_twice(run) == []
    assert books_balance(run)


def test_a_clean_stop_lets_the_call_under_way_come_back_and_begins_no_other(stage: Stage) -> None:
    first = stage.worker("w1", BATON_DRAIN_SECONDS="30")
    run = stage.start(stage.chain(6, 1500))
    stage.wait_for_call("a2")
    asked = sum(stage.asked().values())
    first.stop()
    assert sum(stage.asked().values()) <= asked + 1, "no more than what was being begun"
    assert Run.objects.get(pk=run.pk).owner is None
    stage.worker("w2")
    run = stage.wait(run)
    assert (run.state, run.crashes, run.unconfirmed_micros) == ("succeeded", 0, 0)
    assert set(stage.asked().values()) == {1}, "no call is paid for twice"
    assert has_no_gap(run)
    assert books_balance(run)


def test_a_worker_that_slept_past_its_lease_writes_nothing_when_it_wakes(stage: Stage) -> None:
    zombie = stage.worker("w1")
    run = stage.start(stage.chain(3, 1500))
    stage.wait_for_call("a1")
    zombie.freeze_between_commits()
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
    stage.worker("w1", **NOBODY_DIES)
    stage.worker("w2", **NOBODY_DIES)
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


def test_bells_in_the_reverse_order_of_what_they_tell_of_change_nothing(stage: Stage) -> None:
    """A cancel's bell may be read before the start's: what counts is what stands in the inbox, in its order."""
    from orchestrator_site.celery import app
    from runs.services import cancel

    chain = stage.chain(3, 200)
    first, second = stage.start(chain, "r1"), stage.start(chain, "r2")
    cancel(stage.composer, first, "the other is enough")
    app.control.purge()
    for run in (second, first, first, second, first):
        wake.delay(str(run.pk))
    stage.worker("w1", **NOBODY_DIES)
    stage.worker("w2", **NOBODY_DIES)
    first, second = stage.wait(first), stage.wait(second)
    assert (first.state, second.state) == ("cancelled", "succeeded")
    assert stage.asked() == {}
    assert stage.asked("r2") == {"a1": 1, "a2": 1, "a3": 1}
    for run in (first, second):
        assert has_no_gap(run)
        assert books_balance(run)


def test_a_run_starts_without_any_bell(stage: Stage) -> None:
    from orchestrator_site.celery import app

    run = stage.start(stage.chain(2, 0))
    app.control.purge()
    started = time.monotonic()
    stage.worker("w1")
    assert stage.wait(run).state == "succeeded"
    print(f"ended {time.monotonic() - started:.1f} s after the worker was started, all bells lost")


def test_a_worker_that_freezes_within_a_commit_holds_nobody_up_for_long(stage: Stage) -> None:
    args = {"to": "ana@northwind.example", "subject": "Hello", "body": "Good morning."}
    nodes = {
        "start": {"kind": "input"},
        "write": {"kind": "agent", "agent": stage.agent("slow", 1500), "prompt": "[run=${input.run} step=write] go"},
        "send": {"kind": "tool", "tool": "email.send@1", "args": args},
        "end": {"kind": "output", "value": "done"},
    }
    worker = stage.worker("w1")
    run = stage.start(stage.pipeline("mail", nodes, ["start>write", "write>send", "send>end"]))
    stage.wait_for_call("write")
    with transaction.atomic():  # its next commit, which also asks for the approval, comes no further than to this row
        Run.objects.select_for_update().get(pk=run.pk)
        wait_for(lambda: backends("wait_event_type = 'Lock' and query like '%fence%'") > 0, 30, stage.logs)
        worker.send(signal.SIGSTOP)
    wait_for(lambda: backends("state = 'idle in transaction'") > 0, 10, stage.logs)
    began = time.monotonic()
    with transaction.atomic():
        Run.objects.select_for_update().get(pk=run.pk)
    waited = time.monotonic() - began
    assert 1 < waited < 25
    print(f"waited {waited:.1f} s for what a frozen worker had locked")
    worker.send(signal.SIGCONT)
    stage.wait(run, "waiting", seconds=60)
    question = Approval.objects.get(run=run)
    services.decide(stage.bob, question.pk, Decision("approve", payload_hash=question.payload_hash))
    run = stage.wait(run, seconds=60)
    assert run.state == "succeeded"
    assert len(stage.mails()) == 1
    assert has_no_gap(run)
    assert books_balance(run)


def backends(which: str) -> int:
    """Count the other connections to this database that are as an SQL condition says."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_stat_clear_snapshot()")  # a transaction sees them as they were at its first look
        cursor.execute(
            "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
            f" and {which}"
        )
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("moment", ["before it acts", "after it has acted"])
def test_a_worker_killed_after_the_approval_sends_the_mail_once(stage: Stage, moment: str) -> None:
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
    if moment == "before it acts":
        first.freeze_between_commits()  # it knows of no answer any more
    services.decide(stage.bob, question.pk, Decision("approve", payload_hash=question.payload_hash))
    if moment == "after it has acted":
        stage.wait_for_call("wait")
    assert len(stage.mails()) == (moment == "after it has acted")
    first.kill()
    stage.worker("w2")
    run = stage.wait(run)
    assert run.state == "succeeded"
    assert len(stage.mails()) == 1
    call = Call.objects.get(run=run, kind="tool")
    assert str(call.approval) == str(question.pk)
