"""Journal and step rows as the commit writes them."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from pipelines.graph.canonical import digest
from pipelines.graph.model import Json, Kind
from runs import talks
from runs.effects import Insert
from runs.engine.decision import StepRecord
from runs.engine.forking import REUSED
from runs.engine.status import StepState
from runs.engine.trust import EDITED
from runs.execution.context import LOST, STARTED, CallIntent, CallOutcome, JournalEntry
from runs.execution.results import Brought
from runs.ledger import CallRow, StepCost
from runs.talks import Summary

_NOT_SAID = frozenset({REUSED, EDITED})
_JOURNAL_FIELDS = (
    "key", "n", "kind", "name", "state", "request_hash", "idempotency_key", "response", "error", "effect", "delivery",
    "cost_micros", "reserved_micros",
)  # fmt: skip


def step_row(run_id: str, record: StepRecord, cost: StepCost) -> dict[str, Json]:
    return {
        "run_id": run_id,
        "path": record.path,
        "node": record.node,
        "kind": record.kind,
        "title": record.title,
        "state": record.state,
        "wait_reason": record.wait_reason,
        "attempt": record.attempt,
        "flags": record.flags,
        "port": ",".join(record.ports) or None,
        "input": record.input,
        "output": record.output,
        "meta": record.meta,
        "error": record.error,
        "memo": record.memo,
        "cost_micros": cost.cost + _paid_by_children(record.memo),
        "unpriced_calls": cost.unpriced,
        "position": record.position,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
    }


def own_cost(row: Mapping[str, Any]) -> StepCost:
    """Return what a step's own calls cost; its row also has what the runs that it started came to."""
    return StepCost(row["cost_micros"] - _paid_by_children(row["memo"] or {}), row["unpriced_calls"])


def _paid_by_children(memo: Mapping[str, Json]) -> int:
    spent = memo.get("children", {}).get("spent")
    return int(spent["paid"]) if spent else 0


def step_record(row: Mapping[str, Any]) -> StepRecord:
    """Return what the engine remembered of a step."""
    fields = {name: value for name, value in row.items() if name not in ("port", "cost_micros", "unpriced_calls")}
    return StepRecord(
        **{
            **fields,
            "state": StepState(row["state"]),
            "ports": tuple(row["port"].split(",")) if row["port"] else (),
            "memo": row["memo"] or {},
        }
    )


def call_started(run_id: str, intent: CallIntent, at: datetime) -> dict[str, Json]:
    return {
        "run_id": run_id,
        "key": intent.key,
        "path": intent.path,
        "attempt": intent.attempt,
        "n": intent.n,
        "kind": intent.kind,
        "name": intent.name,
        "state": STARTED,
        "request_hash": intent.request_hash,
        "request": intent.request,
        "effect": intent.effect,
        "delivery": intent.delivery,
        "idempotency_key": intent.idempotency_key,
        "approval": intent.approval,
        "reserved_micros": intent.reserve_micros or 0,
        "reserved_tokens": intent.max_tokens,
        "started_at": at,
    }


def call_ended(run_id: str, intent: CallIntent, outcome: CallOutcome) -> dict[str, Json]:
    return {
        **call_started(run_id, intent, outcome.started),
        "request": None,
        "state": outcome.state,
        "response": outcome.response,
        "error": outcome.error.as_json() if outcome.error else None,
        "cost_micros": outcome.cost_micros,
        "input_tokens": outcome.input_tokens,
        "output_tokens": outcome.output_tokens,
        "finished_at": outcome.finished,
    }


def call_lost(run_id: str, call: Mapping[str, Any], at: datetime) -> dict[str, Json]:
    """Return the row of a call whose answer a crash lost."""
    kept = (
        "key", "path", "attempt", "n", "kind", "name", "request_hash", "effect", "delivery", "idempotency_key",
        "reserved_micros", "reserved_tokens", "started_at",
    )  # fmt: skip
    return {"run_id": run_id, "state": LOST, "finished_at": at, **{name: call[name] for name in kept}}


def hold_closed(run_id: str, call: str, cost_micros: int | None, *, lost: bool = False) -> dict[str, Json]:
    """Return how what a call held of its budgets is closed; a lost call has spent all of it."""
    return {"run_id": run_id, "call": call, "cost_micros": cost_micros, "lost": lost}


def hit_row(brought: Brought) -> CallRow:
    """Return what the books need to know of a result that was there already."""
    model, saved = (brought.origin.model, brought.origin.cost_micros) if brought.origin else ("", 0)
    return CallRow(
        f"{brought.path}@{brought.attempt}/cache", brought.path, brought.attempt, "model", model or "cache", saved
    )


def kept_result(run_id: str, workspace_id: str, brought: Brought, cost: StepCost, now: datetime) -> dict[str, Json]:
    """Return the row that keeps a result for later steps; what it cost is unknown where a call had no price."""
    return {
        "run_id": run_id,
        "workspace_id": workspace_id,
        "key": brought.key,
        "path": brought.path,
        "output": brought.output,
        "meta": brought.meta,
        "ports": brought.ports,
        "model": brought.meta.get("model") or "",
        "cost_micros": None if cost.unpriced else cost.cost,
        "created_at": now,
        "expires_at": now + timedelta(seconds=brought.ttl),
    }


def turns_of(run_id: str, workspace_id: str, ended: Iterable[StepRecord], now: datetime) -> list[dict[str, Json]]:
    """Return the turns that steps add to the sessions they talk in: what was asked of an agent and what it answered.

    Neither a fork's old steps nor what a person or the author gave in an answer's stead is said again.
    """
    return [
        {
            "run_id": run_id,
            "workspace_id": workspace_id,
            "key": record.input["session"]["key"],
            "path": record.path,
            "prompt": talks.kept(record.input["prompt"]),
            "answer": talks.kept(record.output),
            "trust": record.input["session"]["trust"],
            "created_at": now,
        }
        for record in ended
        if record.kind == Kind.AGENT
        and record.state is StepState.SUCCEEDED
        and isinstance(record.input, dict)
        and "session" in record.input
        and "tool_calls" in (record.meta or {})
        and not _NOT_SAID.intersection(record.flags)
    ]


def summary_row(run_id: str, workspace_id: str, key: str, summary: Summary, now: datetime) -> Insert:
    """Return the row that keeps a summary of a talk; the same one again is the same row."""
    row = {
        "run_id": run_id,
        "workspace_id": workspace_id,
        "key": key,
        "hash": digest(list(summary.covers)),
        "covers": list(summary.covers),
        "text": talks.kept(summary.text),
        "created_at": now.isoformat(),
    }
    return Insert("runs_summary", row)


def call_row(intent: CallIntent) -> CallRow:
    """Return what the books need to know of a call."""
    return CallRow(intent.key, intent.path, intent.attempt, intent.kind, intent.name, intent.reserve_micros)


def latest_of_each(calls: list[dict[str, Json]]) -> list[dict[str, Json]]:
    """One statement may touch a row once: keep the newest version of each call, with the request it began with."""
    newest: dict[str, dict[str, Json]] = {}
    for call in calls:
        before = newest.get(call["key"])
        newest[call["key"]] = {**call, "request": before["request"]} if before else call
    return list(newest.values())


def journal_entry(call: Mapping[str, Any]) -> JournalEntry:
    approval = str(call["approval"]) if call["approval"] else None
    return JournalEntry(**{name: call[name] for name in _JOURNAL_FIELDS}, approval=approval)


def noted(intent: CallIntent, outcome: CallOutcome | None = None) -> JournalEntry:
    """Return the journal's entry of a call that was just announced, or of its outcome."""
    return JournalEntry(
        key=intent.key,
        n=intent.n,
        kind=intent.kind,
        name=intent.name,
        state=outcome.state if outcome else STARTED,
        request_hash=intent.request_hash,
        idempotency_key=intent.idempotency_key,
        response=outcome.response if outcome else None,
        error=outcome.error.as_json() if outcome and outcome.error else None,
        effect=intent.effect,
        delivery=intent.delivery,
        approval=intent.approval,
        cost_micros=outcome.cost_micros if outcome else None,
        reserved_micros=intent.reserve_micros or 0,
    )
