"""Spans on their way from rows to a collector that is there, away, slow, choosy or wrong."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db.models import Max
from django.db.models.functions import Now
from pytest_django.fixtures import Settings

from accounts import secrets
from accounts.ids import new_id
from runs import dispatch
from runs.execution import trace
from runs.execution.otlp import content, cursor, sending
from runs.models import Call, Run, Span, SpanExport, Step
from tests.collector import Collector
from tests.conftest import ROOT, database_url, free_port, wait_for
from tests.runs.builders import AT, a_run, test_conninfo

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

SENDER = """
import time, django
django.setup()
from runs.execution.otlp import sending
while not sending.send_new():
    time.sleep(0.2)
"""


@pytest.fixture
def collector(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that has been set; what is written from now on goes to it."""
    monkeypatch.setattr(sending, "_horizon", cursor.Horizon())
    settings.OTLP_HEADERS = {"x-key": "of the operator"}
    with Collector() as found:
        settings.OTLP_ENDPOINT = found.url
        assert send() == 0
        yield found


def a_span(run: Run, name: str, parent: str | None = trace.ROOT, **fields: Any) -> Span:
    given: dict[str, Any] = {"name": name, "start": AT, "end": AT, **fields}
    return Span.objects.create(
        run=run,
        workspace=run.workspace,
        pipeline=run.pipeline,
        span_id=trace.span_id(str(run.pk), name),
        parent_span_id=trace.span_id(str(run.pk), parent) if parent else None,
        **given,
    )


def settle() -> None:
    """Wait until no transaction, of whatever else the database server is used for, can bring a span before these.

    Other processes of the session test on the same server, and some of their tests are one long transaction.
    """
    newest = Span.objects.aggregate(newest=Max("pk"))["newest"] or 0
    wait_for(lambda: (found := sending._horizon.safe()) is not None and found >= newest, 200)


def send() -> int:
    settle()
    return sending.send_new()


def names(collector: Collector) -> list[str]:
    return [span["name"] for span in collector.spans]


def state() -> SpanExport:
    return SpanExport.objects.get()


def due() -> None:
    """Let the time pass that a sender waits after a failure, or for another one that died."""
    SpanExport.objects.update(next_at=Now(), held_until=Now())


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
def test_what_is_new_is_sent_once_and_says_where_it_belongs(
    collector: Collector, settings: Settings, protocol: str
) -> None:
    settings.OTLP_PROTOCOL = protocol
    run = a_run()
    a_span(run, "a@1", path="a", attributes={"gen_ai.operation.name": "chat"}, model="m", cost_micros=1_500)
    a_span(run, "run", None, attributes={"error.type": "timeout"}, status="error")
    assert send() == 2
    assert send() == 0
    call, root = collector.spans
    assert call["trace"] == root["trace"] == run.pk.hex
    assert (call["parent"], root["parent"]) == (root["id"], None)
    assert (call["kind"], root["kind"]) == (3, 1)
    assert (call["error"], root["error"]) == (False, True)
    assert call["attributes"]["baton.cost.usd"] == 0.0015
    assert call["attributes"]["baton.workspace"] == "acme"
    assert root["attributes"]["error.type"] == "timeout"
    (request,) = collector.requests
    assert (request["path"], request["headers"]["x-key"]) == ("/v1/traces", "of the operator")


def test_what_was_there_before_a_collector_was_set_is_not_sent(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_horizon", cursor.Horizon())
    run = a_run()
    a_span(run, "old@1")
    with Collector() as collector:
        settings.OTLP_ENDPOINT = collector.url
        send()
        a_span(run, "new@1")
        assert send() == 1
        assert names(collector) == ["new@1"]


def test_without_a_collector_no_thread_is_started(settings: Settings) -> None:
    settings.OTLP_ENDPOINT = ""
    assert sending._sender.wait(20)
    sending.wake()
    assert not sending._sender.is_at_it
    assert sending.wake in dispatch.poll_jobs()


def test_a_span_that_becomes_visible_late_is_not_passed_over(collector: Collector) -> None:
    run = a_run()
    with psycopg.connect(test_conninfo()) as slow:
        slow.execute("update runs_run set seq = 1 where id = %s", (run.pk,))
        slow.execute(
            'insert into runs_span (run_id, workspace_id, pipeline_id, span_id, name, kind, start, "end", status, '
            "attributes) values (%s, %s, %s, 'aaaaaaaaaaaaaaaa', 'slow', 'internal', now(), now(), 'ok', '{}')",
            (run.pk, run.workspace_id, run.pipeline_id),
        )
        a_span(run, "fast@1")
        assert sending.send_new() == 0, "what has a lower number may still appear"
        assert collector.spans == []
        slow.commit()
    assert send() == 2
    assert names(collector) == ["slow", "fast@1"]


def test_a_collector_that_is_away_loses_nothing_and_delays_what_is_sent_to_it_alone(
    collector: Collector, settings: Settings
) -> None:
    port = free_port()
    settings.OTLP_ENDPOINT = f"http://127.0.0.1:{port}"
    run = a_run()
    for n in range(3):
        a_span(run, f"a@{n}")
    assert send() == 0
    assert "cannot be reached" in state().error
    assert (state().failures, state().next_at is not None) == (1, True)
    assert send() == 0, "it is left alone for a while"
    assert state().failures == 1
    with Collector(port) as back:
        due()
        assert send() == 3
        assert names(back) == ["a@0", "a@1", "a@2"]
    assert (state().failures, state().next_at, state().error, state().sent) == (0, None, "", 3)


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_a_collector_that_cannot_take_spans_now_gets_them_later(collector: Collector, status: int) -> None:
    a_span(a_run(), "a@1")
    collector.answer = lambda spans: (status, b"not now")
    assert send() == 0
    assert f"answered {status}: not now" in state().error
    collector.answer = lambda spans: (200, b"")
    due()
    assert send() == 1


def test_one_span_that_the_collector_never_takes_keeps_no_other_from_it(collector: Collector) -> None:
    run = a_run()
    for n in range(7):
        a_span(run, f"a@{n}")
    collector.answer = lambda spans: (400, b"bad") if any(one["name"] == "a@4" for one in spans) else (200, b"")
    assert send() == 6
    assert (state().sent, state().refused) == (6, 1)
    assert send() == 0


def test_what_a_collector_refuses_of_a_request_it_took_is_counted_and_not_sent_again(
    collector: Collector, settings: Settings
) -> None:
    settings.OTLP_PROTOCOL = "http/json"
    a_span(a_run(), "a@1")
    collector.answer = lambda spans: (200, b'{"partialSuccess": {"rejectedSpans": "1", "errorMessage": "too old"}}')
    assert send() == 0
    assert (state().refused, state().error) == (1, "too old")
    assert send() == 0
    assert len(collector.requests) == 1


def test_a_sender_killed_before_it_heard_an_answer_repeats_only_what_has_the_same_ids(collector: Collector) -> None:
    run = a_run()
    for n in range(300):
        a_span(run, f"a@{n}")
    collector.silent.set()
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "orchestrator_site.settings",
        "DATABASE_URL": database_url(),
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
    }
    sender = subprocess.Popen([sys.executable, "-c", SENDER], cwd=ROOT, env=environment)
    try:
        assert collector.told.wait(60)
    finally:
        sender.send_signal(signal.SIGKILL)
        sender.wait()
    collector.silent.clear()
    assert len(collector.spans) == sending.BATCH
    assert send() == 0, "for as long as it holds the row nobody else sends"
    due()
    assert send() == 300
    assert len(collector.spans) == 300 + sending.BATCH
    assert len(collector.by_id()) == 300
    assert state().sent == 300


def test_two_senders_at_once_send_each_span_once(collector: Collector, settings: Settings) -> None:
    run = a_run()
    for n in range(600):
        a_span(run, f"a@{n}")
    counts: list[int] = []

    def send_beside() -> None:
        from django.db import connection

        counts.append(sending.send_new())
        connection.close()

    settle()
    threads = [threading.Thread(target=send_beside) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 600
    assert len(collector.spans) == len(collector.by_id()) == 600


def test_a_sender_that_was_taken_for_dead_moves_nothing_when_it_comes_back(collector: Collector) -> None:
    a_span(a_run(), "a@1")
    late = cursor.take()
    assert late is not None
    due()
    assert send() == 1
    with pytest.raises(cursor.Lost):
        late.move(late.position, 0)


def test_a_child_stands_below_the_attempt_that_started_it_in_the_trace_of_the_first(collector: Collector) -> None:
    parent = a_run()
    child = a_run(parent.workspace, parent=parent, parent_path="call", parent_count=1)
    grandchild = a_run(parent.workspace, parent=child, parent_path="deeper", parent_count=1)
    Step.objects.create(run=parent, path="call", node="call", kind="pipeline", state="running", attempt=2)
    for seq, attempt in enumerate((1, 2), 1):
        parent.event_set.create(
            seq=seq, type="step_started", path="call", at=child.created_at, payload={"attempt": attempt}
        )
    Step.objects.create(run=child, path="deeper", node="deeper", kind="pipeline", state="running", attempt=1)
    for run in (grandchild, child):
        a_span(run, trace.ROOT, None)
    assert send() == 2
    of_grandchild, of_child = collector.spans
    assert of_child["trace"] == of_grandchild["trace"] == parent.pk.hex
    assert of_child["parent"] == trace.span_id(str(parent.pk), "call@2")
    assert of_grandchild["parent"] == trace.span_id(str(child.pk), "deeper@1")


def a_model_call(run: Run, key: str, text: str = "hello") -> None:
    asked = [{"role": "system", "text": "Be kind."}, {"role": "user", "text": text}]
    used = [{"id": "c1", "name": "look", "args": {"q": text}, "raw": ""}]
    Call.objects.create(
        run=run,
        key=key,
        path="a",
        attempt=1,
        n=1,
        kind="model",
        name="stub/m",
        state="finished",
        request_hash="",
        idempotency_key=key,
        started_at=AT,
        request={"messages": asked},
        response={"text": "good day", "finish": "tool_call", "tool_calls": used},
    )
    a_span(run, key, "a@1", kind="client", path="a", model="stub/m")


def test_content_is_sent_only_where_the_operator_asks_for_it(collector: Collector, settings: Settings) -> None:
    run = a_run()
    a_model_call(run, "a@1/1")
    assert send() == 1
    assert "hello" not in str(collector.spans)
    settings.OTLP_CONTENT = True
    a_model_call(run, "a@1/2")
    assert send() == 1
    told = collector.spans[1]["attributes"]
    assert told["gen_ai.system_instructions"] == '[{"type":"text","content":"Be kind."}]'
    assert told["gen_ai.input.messages"] == '[{"role":"user","parts":[{"type":"text","content":"hello"}]}]'
    assert '"type":"tool_call","id":"c1","name":"look","arguments":{"q":"hello"}' in told["gen_ai.output.messages"]
    assert '"finish_reason":"tool_call"' in told["gen_ai.output.messages"]


def test_a_secret_is_hidden_wherever_it_stands(collector: Collector, settings: Settings) -> None:
    settings.OTLP_CONTENT = True
    run = a_run()
    secrets.put(run.workspace, "key", "s3cr3t-value")
    a_model_call(run, "a@1/1", "the key is s3cr3t-value")
    a_span(
        run, "retrieval s3cr3t-value", attributes={"gen_ai.data_source.id": "s3cr3t-value", "list": ["s3cr3t-value"]}
    )
    assert send() == 2
    assert b"s3cr3t-value" not in b"".join(request["body"] for request in collector.requests)
    assert collector.spans[1]["name"] == "retrieval [redacted]"


def test_judgements_are_events_and_their_reasons_content(collector: Collector, settings: Settings) -> None:
    run = a_run()
    scores = {"scores": [{"score": 0.25, "reason": "too short"}]}
    Step.objects.create(run=run, path="check", node="check", kind="check", state="succeeded", attempt=1, meta=scores)
    step = {"baton.step.kind": "check", "baton.attempt": 1}
    a_span(run, "check@1", path="check", node="check", attributes=step)
    assert send() == 1
    told = {"gen_ai.evaluation.name": "check.rubric1", "gen_ai.evaluation.score.value": 0.25}
    assert collector.spans[0]["events"] == [("gen_ai.evaluation.result", told)]
    settings.OTLP_CONTENT = True
    a_span(run, "again", path="check", node="check", attributes=step)
    assert send() == 1
    assert collector.spans[1]["events"][0][1]["gen_ai.evaluation.explanation"] == "too short"


def test_the_thread_sends_beside_the_poll(collector: Collector) -> None:
    a_span(a_run(), "a@1")
    settle()
    sending.wake()
    wait_for(lambda: names(collector) == ["a@1"], 20)
    assert sending._sender.wait(20)


def test_a_span_whose_run_is_gone_is_passed_over(collector: Collector) -> None:
    run = a_run()
    a_span(run, "a@1")
    Span.objects.update(run_id=new_id())
    a_span(run, "b@1")
    assert send() == 1
    assert names(collector) == ["b@1"]


def test_a_row_of_which_no_span_can_be_made_keeps_no_other_from_the_collector(
    collector: Collector, settings: Settings
) -> None:
    settings.OTLP_CONTENT = True
    run = a_run()
    for n in range(3):
        a_span(run, f"a@{n}")
    key = "a@9/1"
    a_model_call(run, key)
    Call.objects.update(request={"messages": [{"no": "role"}]})
    a_span(run, "b@1")
    assert send() == 4
    assert (state().sent, state().refused) == (4, 1)
    marker = next(span for span in collector.spans if span["name"] == "unreadable")
    assert (marker["id"], marker["parent"]) == (trace.span_id(str(run.pk), key), trace.span_id(str(run.pk), "a@1"))
    assert sorted(names(collector)) == ["a@0", "a@1", "a@2", "b@1", "unreadable"]
    assert send() == 0


@pytest.mark.parametrize("status", [400, 503])
def test_a_collector_that_answers_with_a_nul_stops_nothing(collector: Collector, status: int) -> None:
    a_span(a_run(), "a@1")
    collector.answer = lambda spans: (status, b"no\0t now")
    send()
    assert "no\ufffdt now" in state().error


def test_a_secret_where_a_long_text_is_cut_leaks_no_part_of_it(collector: Collector, settings: Settings) -> None:
    settings.OTLP_CONTENT = True
    run = a_run()
    secrets.put(run.workspace, "key", "s3cr3t-value")
    for n in range(8):
        a_model_call(run, f"a@1/{n}", "x" * (content.MOST_CHARACTERS - 60 - n) + "s3cr3t-value" + "y" * 100)
    assert send() == 8
    sent = b"".join(request["body"] for request in collector.requests)
    assert b"s3cr" not in sent
    assert content._CUT.encode() in sent
