"""The shapes that programs rely on, as tables, and a walk that names the place where an answer differs."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
_MONEY = re.compile(r"-?\d+(\.\d{1,6})?")
_HASH = re.compile(r"sha256:[0-9a-f]{64}")
Check = Callable[[Any], bool]


@dataclass(frozen=True)
class Is:
    """A value of one of these types (a bool is no integer), or one that a check accepts."""

    words: str
    holds: Check

    def or_null(self) -> "Is":
        return Is(f"{self.words} or null", lambda value: value is None or self.holds(value))


def of(*kinds: type) -> Is:
    return Is(
        " or ".join(kind.__name__ for kind in kinds),
        lambda value: isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool)),
    )


def among(*words: str) -> Is:
    return Is(f"one of {words}", lambda value: value in words)


def text(pattern: re.Pattern[str], words: str) -> Is:
    return Is(words, lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None)


def listing(inner: "Is | dict[str, Any]") -> Is:
    def holds(value: Any) -> bool:
        return isinstance(value, list) and all(not list(differences(inner, item, "")) for item in value)

    return Is("a list", holds)


TEXT, COUNT, FLAG, OBJECT, LIST, ANY = of(str), of(int), of(bool), of(dict), of(list), Is("anything", lambda _: True)
TIME = text(_TIME, "a time in UTC with a Z")
MONEY = text(_MONEY, "dollars as text")
HASH = text(_HASH, "a digest")
URL = text(re.compile(r"http://\S+/"), "an address")
RUN_STATES = ("queued", "running", "waiting", "paused", "cancelling", "succeeded", "failed", "cancelled")
STEP_STATES = ("pending", "ready", "running", "succeeded", "failed", "skipped", "cancelled", "waiting", "retrying")
EVENTS = (
    *("run_created", "run_started", "run_waiting", "run_resumed", "run_paused", "run_cancelling", "run_finished"),
    *("step_ready", "step_started", "step_retrying", "step_waiting", "step_succeeded", "step_failed", "step_skipped"),
    *("step_cancelled", "call_started", "call_finished", "approval_requested", "approval_decided", "budget_alert"),
    *("wait_ended", "event_sent", "lock_released", "board_changed", "step_stopped", "budget_raised", "round_started"),
)

RUN = {
    "id": TEXT,
    "url": URL,
    "pipeline": TEXT,
    "version": COUNT.or_null(),
    "hash": HASH,
    "state": among(*RUN_STATES),
    "reason": TEXT.or_null(),
    "input": OBJECT,
    "output": ANY,
    "artifacts": OBJECT,
    "error": OBJECT.or_null(),
    "cost_usd": MONEY.or_null(),
    "own_cost_usd": MONEY,
    "parent": OBJECT.or_null(),
    "children": COUNT,
    "unconfirmed_usd": MONEY,
    "saved_usd": MONEY,
    "unpriced_calls": COUNT,
    "input_tokens": COUNT,
    "output_tokens": COUNT,
    "llm_calls": COUNT,
    "tags": listing(TEXT),
    "started_by": TEXT.or_null(),
    "via": TEXT,
    "forked_from": TEXT.or_null(),
    "created_at": TIME,
    "started_at": TIME.or_null(),
    "finished_at": TIME.or_null(),
    "content_removed_at": TIME.or_null(),
}
ERROR = {"class": TEXT, "code": TEXT, "message": TEXT}
STEP = {
    "path": TEXT,
    "node": TEXT,
    "kind": TEXT,
    "title": TEXT,
    "state": among(*STEP_STATES),
    "wait_reason": TEXT.or_null(),
    "attempt": COUNT,
    "flags": listing(TEXT),
    "port": TEXT.or_null(),
    "input": ANY,
    "output": ANY,
    "meta": ANY,
    "artifacts": OBJECT,
    "error": OBJECT.or_null(),
    "cost_usd": MONEY.or_null(),
    "started_at": TIME.or_null(),
    "finished_at": TIME.or_null(),
}
EVENT = {"seq": COUNT, "type": among(*EVENTS), "path": TEXT.or_null(), "at": TIME, "payload": OBJECT}
SPAN = {
    "trace_id": text(re.compile("[0-9a-f]{32}"), "a trace"),
    "span_id": text(re.compile("[0-9a-f]{16}"), "a span"),
    "parent_span_id": TEXT.or_null(),
    "name": TEXT,
    "kind": among("client", "internal"),
    "path": TEXT.or_null(),
    "start": TIME,
    "end": TIME,
    "status": among("ok", "error"),
    "attributes": OBJECT,
    "model": TEXT.or_null(),
    "input_tokens": COUNT.or_null(),
    "output_tokens": COUNT.or_null(),
    "cost_usd": MONEY.or_null(),
}
LEDGER = {
    "id": TEXT,
    "kind": among("settled", "reserved", "released", "unconfirmed", "cache_hit"),
    "path": text(re.compile(r".+@\d+"), "a path with its attempt"),
    "call": TEXT,
    "model": TEXT,
    "amount_usd": MONEY.or_null(),
    "at": TIME,
}
SENT_EVENT = {
    "id": TEXT,
    "topic": TEXT,
    "name": TEXT,
    "payload": ANY,
    "by": TEXT,
    "run": TEXT.or_null(),
    "at": TIME,
}
DECISION = {"by": TEXT, "decision": TEXT, "reason": TEXT, "at": TIME}
APPROVAL = {
    "id": TEXT,
    "kind": among("approve", "edit", "answer", "failure", "budget", "outcome_unknown"),
    "state": among("open", "approved", "rejected", "expired", "cancelled", "answered"),
    "run": TEXT,
    "path": TEXT,
    "pipeline": TEXT,
    "title": TEXT,
    "action": {"tool": TEXT, "effect": TEXT},
    "payload": {"tool": TEXT, "args": OBJECT},
    "payload_hash": HASH,
    "show": OBJECT,
    "form": ANY,
    "why": TEXT,
    "trust": OBJECT,
    "roles": listing(TEXT),
    "needs": listing({"rule": TEXT.or_null(), "approvals": COUNT, "roles": listing(TEXT), "people": listing(TEXT)}),
    "expires_at": TIME.or_null(),
    "held_until": TIME.or_null(),
    "claimed_by": TEXT.or_null(),
    "assigned_to": TEXT.or_null(),
    "decisions": listing(DECISION),
}
TRIGGER = {
    "slug": TEXT,
    "kind": among("webhook", "schedule", "event"),
    "pipeline": TEXT,
    "version": COUNT.or_null(),
    "input": OBJECT,
    "cron": TEXT.or_null(),
    "zone": TEXT.or_null(),
    "topic": TEXT.or_null(),
    "secret": TEXT.or_null(),
    "enabled": FLAG,
    "url": TEXT.or_null(),
    "runs_as": TEXT.or_null(),
    "next_at": TIME.or_null(),
    "last_fired_at": TIME.or_null(),
    "last_run": TEXT.or_null(),
    "last_error": OBJECT.or_null(),
    "created_at": TIME,
}
DATASET = {"name": TEXT, "url": URL, "version": COUNT, "cases": COUNT, "created_at": TIME}
DATASET_VERSION = {"version": COUNT, "hash": HASH, "note": TEXT, "created_by": TEXT.or_null(), "created_at": TIME}
EVALUATION = {
    "id": TEXT,
    "url": URL,
    "pipeline": TEXT,
    "dataset": TEXT,
    "state": TEXT,
    "repeats": COUNT,
    "gate": OBJECT,
    "summary": OBJECT.or_null(),
    "comparison": OBJECT.or_null(),
    "not_compared": TEXT.or_null(),
    "created_at": TIME,
}
RATING = {"by": TEXT, "passed": FLAG, "score": of(float), "note": TEXT, "at": TIME}
PUBLISH_GATE = {
    "dataset": TEXT.or_null(),
    "dataset_version": COUNT.or_null(),
    "min_pass_rate": ANY,
    "judge": TEXT.or_null(),
    "repeats": COUNT.or_null(),
    "set_by": TEXT.or_null(),
    "set_at": TIME.or_null(),
}
PRECEDENT = {
    "approval": TEXT.or_null(),
    "run": TEXT.or_null(),
    "approved_at": TIME.or_null(),
    "changes": LIST,
    "edits": LIST,
}
APPROVAL_RULE = {
    "id": TEXT,
    "name": TEXT,
    "tool": TEXT,
    "effect": among("", "reversible", "irreversible"),
    "approvals": COUNT,
    "levels": LIST,
    "remind": listing(TEXT),
}
LOGGED = {
    "at": TIME,
    "decision": TEXT,
    "by": TEXT,
    "title": TEXT,
    "pipeline": TEXT,
    "run": TEXT,
    "reason": TEXT,
    "payload_hash": TEXT,
    "approval": TEXT,
}
AGENT = {
    "slug": TEXT,
    "version": COUNT,
    "model": TEXT,
    "role": TEXT,
    "goal": TEXT,
    "instructions": TEXT,
    "tools": listing(TEXT),
    "output_schema": OBJECT.or_null(),
    "max_output": COUNT,
    "temperature": of(int, float).or_null(),
    "max_cost_usd": MONEY.or_null(),
    "fallback": listing(TEXT),
    "secrets": listing(TEXT),
    "egress": listing(TEXT),
}
PRICE = {"input_per_million": MONEY, "output_per_million": MONEY}
CONNECTION = {
    "name": TEXT,
    "kind": TEXT,
    "base_url": TEXT,
    "secret": TEXT,
    "secret_header": TEXT,
    "prices": OBJECT,
    "max_concurrent": COUNT.or_null(),
    "rpm": COUNT.or_null(),
    "tpm": COUNT.or_null(),
}
PROBLEM = {
    "code": TEXT,
    "severity": among("error", "warning"),
    "where": TEXT,
    "node": TEXT.or_null(),
    "message": TEXT,
}
PIPELINE = {"slug": TEXT, "name": TEXT, "version": COUNT.or_null(), "hash": HASH.or_null(), "created_at": TIME}
DRAFT = {"document": OBJECT, "revision": COUNT, "problems": listing(PROBLEM)}
VERSION = {"version": COUNT, "hash": HASH, "note": TEXT, "created_at": TIME}
BUDGET = {
    "scope": among("workspace", "pipeline", "tag"),
    "pipeline": TEXT.or_null(),
    "tag": TEXT.or_null(),
    "period": among("day", "month"),
    "max_cost_usd": MONEY,
    "hard": FLAG,
    "alert_at": listing(of(int, float)),
}
BUDGET_STANDING = {
    "name": TEXT,
    "period_start": TEXT,
    **dict.fromkeys(("allowed_usd", "spent_usd", "held_usd", "left_usd"), MONEY),
    "used_up_on": TEXT.or_null(),
}
BUDGET_CHANGE = {
    "scope": TEXT,
    "act": among("set", "raised", "lowered", "changed", "allowed", "removed"),
    "was_usd": MONEY.or_null(),
    "cap_usd": MONEY.or_null(),
    "reason": TEXT,
    "by": TEXT.or_null(),
    "at": TIME,
}
MEMBER = {"email": TEXT, "name": TEXT, "roles": listing(TEXT), "active": FLAG}
SPENDING = {
    "cost_usd": MONEY.or_null(),
    "unconfirmed_usd": MONEY,
    "input_tokens": COUNT,
    "output_tokens": COUNT,
    "calls": COUNT,
    "runs": COUNT,
    "unpriced_calls": COUNT,
}


def differences(shape: Any, value: Any, where: str) -> Iterator[str]:
    """Yield where a value is not of a shape; keys beyond the shape's are welcome."""
    if isinstance(shape, Is):
        if not shape.holds(value):
            yield f"{where or '/'} is not {shape.words}: {str(value)[:80]!r}"
    elif not isinstance(value, dict):
        yield f"{where or '/'} is no object: {str(value)[:80]!r}"
    else:
        for name, inner in shape.items():
            if name not in value:
                yield f"{where}/{name} is missing"
            else:
                yield from differences(inner, value[name], f"{where}/{name}")


def assert_shape(shape: Any, value: Any) -> None:
    found = list(differences(shape, value, ""))
    assert not found, "\n".join(found)


_OPAQUE = {"document", "lock", "input", "output", "args", "attributes", "payload", "meta", "request", "response"}


def assert_times_and_money(value: Any, where: str = "") -> None:
    """Every time anywhere in an answer is UTC with a Z, every amount dollars as text or null."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            assert_times_and_money(item, f"{where}/{index}")
    elif isinstance(value, dict):
        for name, item in value.items():
            if item is not None and ((name.endswith("_at") and name != "alert_at") or name in ("at", "start", "end")):
                assert not list(differences(TIME, item, f"{where}/{name}")), f"{where}/{name}: {item}"
            elif name.endswith("_usd"):
                assert not list(differences(MONEY.or_null(), item, f"{where}/{name}")), f"{where}/{name}: {item}"
            elif name not in _OPAQUE:
                assert_times_and_money(item, f"{where}/{name}")
