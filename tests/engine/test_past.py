"""The log alone says how a run stood after each of its events: the fold gives the same steps as the rows do."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from pipelines.graph.model import Json
from runs.engine.past import Logged, Past, fold
from tests.histories.replay import read, recorded

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
OF_A_ROW = ("state", "wait_reason", "attempt", "flags", "port", "started_at", "finished_at")
ERROR = {"class": "transient", "code": "http_503", "message": "Busy."}


def logged(*events: tuple[str, str | None, Mapping[str, Json]]) -> list[Logged]:
    return [Logged(n, type_, path, AT + timedelta(seconds=n), said) for n, (type_, path, said) in enumerate(events, 1)]


def turns(history: Mapping[str, Any]) -> Iterator[tuple[list[Logged], dict[str, Any]]]:
    """Yield the log and the rows after each decision of a recorded run."""
    number, log, rows = count(1), [], {}
    for turn in history["turns"]:
        now = datetime.fromisoformat(turn["now"])
        events = turn["decision"]["events"]
        log.extend(Logged(next(number), one["type"], one["path"], now, one["payload"]) for one in events)
        rows |= turn["decision"]["changed"]
        yield log, rows


def as_a_row(record: Mapping[str, Any]) -> dict[str, Any]:
    times = {name: record[name] and datetime.fromisoformat(record[name]) for name in ("started_at", "finished_at")}
    port = ",".join(record["ports"]) or None
    return {**{name: record[name] for name in OF_A_ROW if name != "port" and name not in times}, **times, "port": port}


def as_the_fold(past: Past, path: str) -> dict[str, Any]:
    return {name: getattr(past.steps[path], name) for name in OF_A_ROW}


@pytest.mark.parametrize("file", recorded(), ids=lambda file: file.stem)
def test_after_every_decision_of_a_recorded_run_the_fold_stands_where_the_rows_do(file: Path) -> None:
    past, seen, compared = Past(), 0, 0
    for log, rows in turns(read(file)):
        for event in log[seen:]:
            past.take(event)
        seen = len(log)
        unsaid = [path for path in rows if path not in past.steps]
        assert all(rows[path]["state"] == "pending" for path in unsaid), "only what has not begun is not in the log"
        for path in past.steps:
            assert as_the_fold(past, path) == as_a_row(rows[path]), path
            compared += 1
    assert compared >= 8


def test_costs_come_when_calls_answer_and_what_they_hold_goes_then() -> None:
    log = logged(
        ("step_started", "write", {"attempt": 1}),
        ("call_started", "write", {"call": "write@1/1", "kind": "model", "reserved_usd": "0.5"}),
        ("call_started", "write", {"call": "write@1/2", "kind": "model", "reserved_usd": "0.25"}),
        ("call_finished", "write", {"call": "write@1/1", "cost_usd": "0.0402", "error": None}),
        ("call_finished", "write", {"call": "write@1/2", "cost_usd": None, "error": {"code": "lost"}}),
    )
    stands = [(past.steps["write"].cost_micros, past.reserved_micros) for past in (fold(log[:n]) for n in range(1, 6))]
    assert stands == [(0, 0), (0, 500_000), (0, 750_000), (40_200, 250_000), (40_200, 0)]
    assert fold(log).unconfirmed_micros == 250_000


def test_a_call_whose_price_nobody_knows_is_counted_and_an_action_is_not() -> None:
    log = logged(
        ("call_started", "write", {"call": "a", "kind": "model", "reserved_usd": None}),
        ("call_finished", "write", {"call": "a", "cost_usd": None, "error": None}),
        ("call_started", "send", {"call": "b", "kind": "tool", "reserved_usd": None}),
        ("call_finished", "send", {"call": "b", "cost_usd": None, "error": None}),
    )
    past = fold(log)
    assert (past.steps["write"].unpriced_calls, past.steps["send"].unpriced_calls) == (1, 0)


def test_a_retry_waits_and_a_fallback_marks_the_step() -> None:
    log = logged(
        ("step_started", "write", {"attempt": 1}),
        ("step_retrying", "write", {"why": "retry", "error": ERROR}),
        ("step_started", "write", {"attempt": 2}),
        ("step_retrying", "write", {"why": "fallback", "error": ERROR}),
        ("step_started", "write", {"attempt": 3}),
        ("step_failed", "write", {"attempt": 3, "error": ERROR, "contained": True}),
    )
    stands = [fold(log[:n]).steps["write"] for n in range(1, 7)]
    assert [str(one.state) for one in stands] == ["running", "retrying", "running", "ready", "running", "failed"]
    assert stands[-1].flags == ["degraded", "contained"]
    assert (stands[-1].attempt, stands[-1].error) == (3, ERROR)
    assert stands[-1].started_at == AT + timedelta(seconds=1), "an attempt more does not begin the step again"


def test_a_container_tried_again_by_order_goes_on_with_what_had_not_ended_well() -> None:
    log = logged(
        ("step_started", "each", {"attempt": 1, "items": 2}),
        ("step_succeeded", "each[0].read", {"attempt": 1, "ports": ["done"], "flags": []}),
        ("step_failed", "each[1].read", {"attempt": 1, "error": ERROR, "contained": False}),
        ("step_cancelled", "each[1].sum", {"code": "item_stopped"}),
        ("step_waiting", "each", {"reason": "failure"}),
        ("approval_decided", "each", {"kind": "failure", "decision": "retry"}),
    )
    past = fold(log)
    assert {path: str(step.state) for path, step in past.steps.items()} == {
        "each": "running",
        "each[0].read": "succeeded",
        "each[1].read": "pending",
        "each[1].sum": "pending",
    }
    assert (past.steps["each"].items, past.steps["each[1].read"].attempt) == (2, 1)


def test_the_run_itself_stands_where_its_events_say() -> None:
    log = logged(
        ("run_created", None, {}),
        ("run_started", None, {}),
        ("run_waiting", None, {"reasons": ["approval"]}),
        ("run_paused", None, {"by": "carol"}),
        ("run_resumed", None, {"by": "carol"}),
        ("run_cancelling", None, {}),
        ("budget_alert", None, {"at": 0.5}),
        ("run_finished", None, {"state": "cancelled", "reason": None, "error": None}),
    )
    stands = [str(fold(log[:n]).state) for n in range(1, 9)]
    assert stands == ["queued", "running", "waiting", "paused", "running", "cancelling", "cancelling", "cancelled"]
    assert (fold(log).seq, fold(log).at) == (8, AT + timedelta(seconds=8))
