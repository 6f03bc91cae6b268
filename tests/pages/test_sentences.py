"""The log as sentences: who did what, and why."""

from typing import Any

import pytest

from runs.sentences import instance_of, sentence


@pytest.mark.parametrize(
    ("type", "payload", "said"),
    [
        ("run_created", {"by": "alice@example.com"}, "alice@example.com started the run."),
        ("run_waiting", {"reasons": ["approval", "timer"]}, "The run waits for an approval and its time."),
        ("run_paused", {"by": "alice@example.com"}, "alice@example.com paused the run."),
        ("run_paused", {"before": "send"}, "The run paused before “send”, as its author wanted."),
        ("run_resumed", {}, "The run goes on."),
        ("run_finished", {"state": "succeeded", "error": None}, "The run finished."),
        ("run_finished", {"state": "failed", "error": {"message": "No answer."}}, "The run failed: No answer."),
        ("step_started", {"attempt": 1}, "“Draft” began."),
        ("step_started", {"attempt": 3}, "“Draft” began its attempt 3."),
        ("step_started", {"attempt": 1, "items": 35}, "“Draft” began with 35 items."),
        ("step_succeeded", {"ports": ["done"], "flags": []}, "“Draft” is done."),
        (
            "step_succeeded",
            {"ports": ["billing"], "flags": ["degraded"]},
            "“Draft” is done with its fallback: billing.",
        ),
        ("step_retrying", {"delay": 0.413, "error": {"message": "Busy."}}, "“Draft” is tried again in 0.4 s: Busy."),
        ("step_failed", {"error": {"message": "Too long"}}, "“Draft” failed: Too long."),
        ("step_skipped", {"because": "routing"}, "“Draft” was skipped: the run took another way."),
        ("step_cancelled", {"code": "run_ended"}, "“Draft” was cancelled: the run ended."),
        (
            "call_started",
            {"name": "demo/writer", "reserved_usd": "0.002"},
            "“Draft” calls demo/writer, with $0.002 reserved.",
        ),
        (
            "call_finished",
            {"name": "demo/writer", "error": None, "cost_usd": "0.0003"},
            "demo/writer answered “Draft” for $0.0003.",
        ),
        ("call_finished", {"name": "x/y", "error": {"message": "Busy"}}, "x/y did not answer “Draft”: Busy."),
        (
            "approval_decided",
            {"by": "bob@example.com", "decision": "reject", "reason": "Too long."},
            "bob@example.com rejected “Draft”: Too long.",
        ),
        ("approval_decided", {"decision": "expire"}, "Nobody answered “Draft” in time."),
        ("budget_alert", {"at": 0.8, "cap_usd": "5"}, "80% of the cap of $5 is spent."),
        (
            "budget_alert",
            {"at": 0.5, "what": "calls", "used": 5, "cap": 10},
            "50% of the cap of 10 model calls is used.",
        ),
        ("something_new", {}, "Something new."),
    ],
)
def test_an_event_is_a_sentence(type: str, payload: dict[str, object], said: str) -> None:
    assert sentence(type, "Draft", payload) == said


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("write", ""),
        ("research[0].dig", "item 1"),
        ("loop#2.write", "round 2"),
        ("all[11].loop#1.x", "item 12, round 1"),
    ],
)
def test_a_path_says_which_item_and_round_it_is(path: str, said: str) -> None:
    assert instance_of(path) == said


@pytest.mark.parametrize(
    ("type", "payload", "expected"),
    [
        (
            "step_waiting",
            {"reason": "event", "events": [{"topic": "orders/17"}, {"topic": "orders/17"}, {"topic": "stop"}]},
            "“Hold” waits for an event at orders/17 or stop.",
        ),
        ("step_waiting", {"reason": "timer", "events": []}, "“Hold” waits for its time."),
        ("step_waiting", {"reason": "lock", "lock": "printer"}, "“Hold” waits for its turn at the lock printer."),
        ("lock_released", {"lock": "printer"}, "“Hold” gave the lock printer back."),
        ("wait_ended", {"event": "7"}, "“Hold” took event 7."),
        ("wait_ended", {"event": None}, "“Hold” waits no more."),
        ("event_sent", {"topic": "news"}, "“Hold” published to news."),
        ("board_changed", {"op": "write", "key": "k", "version": 2}, "“Hold” wrote k on the board (version 2)."),
        ("board_changed", {"op": "append", "key": "k", "version": 3}, "“Hold” appended to k on the board (version 3)."),
        ("step_stopped", {"by": "alice@example.com", "reason": "Wrong."}, "alice@example.com stopped “Hold”: Wrong."),
        ("budget_raised", {"amount_micros": 2_000_000}, "The budget has $2 more in this period."),
    ],
)
def test_what_runs_meet_over_is_said_in_words(type: str, payload: dict[str, Any], expected: str) -> None:
    assert sentence(type, "Hold", payload) == expected
