"""Decisions in trouble: two at the same moment in one run, a web server that dies with one in its hands, a cancel that
meets an answer, a cancel that meets the end."""

import json
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest
from django.db import connection, transaction

from accounts import audit
from accounts.errors import Conflict, Refused
from approvals import services
from approvals.models import Approval, DecisionRecord
from approvals.policy import Decision
from pipelines.models import Pipeline
from runs.models import Inbox, Run
from runs.services import cancel
from tests.approvals.builders import a_desk, an_approval
from tests.conftest import LiveStack, wait_for
from tests.faults.stage import Stage, books_balance, has_no_gap
from tests.people import bearer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


def two_mails(stage: Stage) -> Pipeline:
    """Publish two mails side by side, each of which a person must approve, and a join."""
    nodes: dict[str, Any] = {"start": {"kind": "input"}, "all": {"kind": "combine"}}
    for name in ("ana", "bo"):
        args = {"to": f"{name}@northwind.example", "subject": "${input.run}", "body": "Good morning."}
        nodes[name] = {"kind": "tool", "tool": "email.send@1", "args": args}
    nodes["end"] = {"kind": "output", "value": "both"}
    return stage.pipeline("mails", nodes, ["start>ana", "start>bo", "ana>all", "bo>all", "all>end"])


def at_once(*acts: Callable[[], Any]) -> None:
    """Do each on a thread and a connection of its own, released together. What is refused was too late."""
    gate = threading.Barrier(len(acts))

    def act(one: Callable[[], Any]) -> None:
        try:
            connection.ensure_connection()
            gate.wait()
            one()
        except Refused:
            return
        finally:
            connection.close()

    threads = [threading.Thread(target=act, args=(one,)) for one in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def approving(stage: Stage, question: Approval) -> Callable[[], Any]:
    said = Decision("approve", payload_hash=question.payload_hash)
    return lambda: services.decide(stage.bob, question.pk, said)


def test_two_approvals_of_one_run_decided_at_once_both_count(stage: Stage) -> None:
    pipeline = two_mails(stage)
    stage.worker("w1")
    runs = [stage.start(pipeline, f"r{k}") for k in range(8)]
    for run in runs:
        stage.wait(run, "waiting")
        wait_for(lambda run=run: Approval.objects.filter(run=run, state="open").count() == 2, 20, stage.logs)
        at_once(*(approving(stage, question) for question in Approval.objects.filter(run=run)))
    for run in runs:
        now = stage.wait(run)
        assert (now.state, now.output) == ("succeeded", "both"), stage.explain(run)
        assert has_no_gap(now)
    assert len(stage.mails()) == 2 * len(runs)


def test_a_cancel_that_meets_an_approval_ends_the_run_and_sends_at_most_what_was_approved(stage: Stage) -> None:
    pipeline = two_mails(stage)
    stage.worker("w1")
    runs = [stage.start(pipeline, f"r{k}") for k in range(8)]
    for run in runs:
        stage.wait(run, "waiting")
        wait_for(lambda run=run: Approval.objects.filter(run=run, state="open").count() == 2, 20, stage.logs)
        questions = Approval.objects.filter(run=run)
        at_once(
            *(approving(stage, question) for question in questions),
            lambda run=run: cancel(stage.composer, run, "changed my mind"),
        )
    for run in runs:
        now = stage.wait(run)
        assert now.state in ("cancelled", "succeeded")
        assert has_no_gap(now)
        assert books_balance(now)
        assert not Approval.objects.filter(run=run, state="open").exists()
        approved = Approval.objects.filter(run=run, state="approved").count()
        sent = sum(f"Subject: r{now.input['run'][1:]}" in mail["text"] for mail in stage.mails())
        assert sent <= approved
        assert now.state == "cancelled" or sent == 2


def test_a_cancel_that_meets_the_last_answer_leaves_one_end(stage: Stage) -> None:
    chain = stage.chain(1, 200)
    stage.worker("w1")
    states = set()
    for k in range(12):
        run = stage.start(chain, f"r{k}")
        stage.wait_for_call("a1", f"r{k}")
        time.sleep(0.1 + 0.015 * k)  # from well before the answer to well after it
        with suppress(Conflict):
            cancel(stage.composer, Run.objects.get(pk=run.pk), "late")
        now = stage.wait(run)
        states.add(now.state)
        assert now.state in ("cancelled", "succeeded")
        assert (now.output is None) == (now.state == "cancelled")
        assert stage.asked(f"r{k}") == {"a1": 1}
        assert has_no_gap(now)
        assert books_balance(now)
        assert now.unconfirmed_micros == 0
    print(f"a cancel at the last answer ended runs as {sorted(states)}")


def test_a_web_server_that_dies_with_a_decision_in_its_hands_has_decided_nothing(
    live_stack: LiveStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runs.dispatch.ring", lambda run_id: None)
    desk = a_desk()
    approval = an_approval(desk.run)
    headers = bearer(desk.team.bob, desk.team.workspace)
    body = {"decision": "approve", "payload_hash": approval.payload_hash}
    address = f"{live_stack.url}/api/v1/approvals/{approval.pk}/decide"
    assert live_stack.web.pid
    with transaction.atomic():
        Approval.objects.select_for_update().get(pk=approval.pk)  # the server's decision stands behind this lock
        asking = threading.Thread(target=_post_and_lose, args=(address, body, headers))
        asking.start()
        wait_for(_somebody_waits_for_a_row, 20, live_stack.logs)
        os.kill(live_stack.web.pid, signal.SIGKILL)
        asking.join()
    wait_for(lambda: not live_stack.web.running, 10)
    live_stack.start()
    assert Approval.objects.get(pk=approval.pk).state == "open"
    assert not DecisionRecord.objects.exists()
    assert not Inbox.objects.filter(key=f"approval:{approval.pk}").exists()
    assert _post(address, body, headers) == 200
    assert DecisionRecord.objects.filter(approval=approval).count() == 1
    assert Inbox.objects.filter(key=f"approval:{approval.pk}").count() == 1
    assert audit.verify(desk.team.workspace) is None


def _post(address: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> int:
    data = json.dumps(body).encode()
    request = urllib.request.Request(address, data, {**headers, "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return int(answer.status)


def _post_and_lose(address: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    with suppress(OSError):
        _post(address, body, headers)


def _somebody_waits_for_a_row() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("select pg_stat_clear_snapshot()")  # a transaction sees them as they were at its first look
        cursor.execute(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        )
        return bool(cursor.fetchone()[0])
