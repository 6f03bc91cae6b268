"""Spans of runs, steps and calls as rows. Ids follow from names, so that a repeated commit writes the same span."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipelines.graph.model import Json, Kind
from runs.engine import paths
from runs.engine.decision import StepRecord
from runs.engine.facts import ErrorClass
from runs.engine.status import RunState, StepState
from runs.execution import spans
from runs.execution.context import MODEL, CallIntent, CallOutcome

ROOT = "run"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a span belongs; `agent_of` names the agent (slug@number) that the step at a path runs, if it runs one,
    from its record where that is at hand."""

    run_id: str
    workspace_id: str
    pipeline_id: str
    pipeline: str
    agent_of: Callable[[str, StepRecord | None], str | None]


def span_id(run_id: str, name: str) -> str:
    """Return sixteen hex digits that name one span of a run."""
    return hashlib.blake2b(f"{run_id}/{name}".encode(), digest_size=8).hexdigest()


def call_span(place: Place, intent: CallIntent, outcome: CallOutcome) -> dict[str, Json]:
    """Return the span of a model or tool call; only these carry cost, so that spans sum to the ledger."""
    is_model = intent.kind == MODEL
    attributes = {**outcome.attributes, **(spans.failed(outcome.error) if outcome.error else {})}
    return {
        **_frame(place, intent.key, f"{intent.path}@{intent.attempt}"),
        "name": spans.chat_name(intent.name) if is_model else spans.tool_name(intent.name),
        "kind": "client",
        "path": intent.path,
        "node": paths.drawn_node_of(intent.path),
        "agent": place.agent_of(intent.path, None),
        "start": outcome.started,
        "end": outcome.finished,
        "status": "error" if outcome.error else "ok",
        "attributes": attributes,
        "model": intent.name if is_model else None,
        "input_tokens": outcome.input_tokens,
        "output_tokens": outcome.output_tokens,
        "cost_micros": outcome.cost_micros,
    }


def lost_span(place: Place, call: Mapping[str, Any], end: datetime) -> dict[str, Json]:
    """Return the span of a call whose answer a crash lost; `call` is its row in the journal."""
    is_model = call["kind"] == MODEL
    return {
        **_frame(place, call["key"], f"{call['path']}@{call['attempt']}"),
        "name": spans.chat_name(call["name"]) if is_model else spans.tool_name(call["name"]),
        "kind": "client",
        "path": call["path"],
        "node": paths.drawn_node_of(call["path"]),
        "agent": place.agent_of(call["path"], None),
        "start": call["started_at"],
        "end": end,
        "status": "error",
        "attributes": {spans.ERROR_TYPE: str(ErrorClass.INTERNAL)},
        "model": call["name"] if is_model else None,
    }


def step_spans(place: Place, records: Iterable[StepRecord]) -> list[dict[str, Json]]:
    """Return a span for each of these steps that ran and has ended."""
    return [_step_span(place, record) for record in records if _has_run(record)]


def run_span(place: Place, run: Mapping[str, Any], end: datetime, state: RunState) -> dict[str, Json]:
    return {
        **_frame(place, ROOT, None),
        "name": spans.workflow_name(place.pipeline),
        "kind": "internal",
        "start": run["started_at"] or end,
        "end": end,
        "status": "error" if state == RunState.FAILED else "ok",
        "attributes": spans.run(place.run_id, run["parent_id"], run["parent_path"]),
    }


def _step_span(place: Place, record: StepRecord) -> dict[str, Json]:
    agent = place.agent_of(record.path, record)
    attributes = spans.step(place.run_id, record.path, record.kind, record.attempt)
    if agent:
        attributes |= spans.agent(agent)
    if record.error:
        attributes |= spans.failed(record.error)
    return {
        **_frame(place, f"{record.path}@{record.attempt}", ROOT),
        "name": _step_name(record, agent),
        "kind": "internal",
        "path": record.path,
        "node": paths.drawn_node_of(record.path),
        "agent": agent,
        "start": record.started_at,
        "end": record.finished_at,
        "status": "error" if record.state == StepState.FAILED else "ok",
        "attributes": attributes,
    }


def _step_name(record: StepRecord, agent: str | None) -> str:
    if agent:
        return spans.agent_name(agent)
    if record.kind == Kind.PIPELINE:
        return spans.workflow_name(record.title or record.node)
    return spans.workflow_name(record.node) if record.kind == Kind.TEAM else spans.step_name(record.node)


def _frame(place: Place, name: str, parent: str | None) -> dict[str, Json]:
    return {
        "run_id": place.run_id,
        "workspace_id": place.workspace_id,
        "pipeline_id": place.pipeline_id,
        "span_id": span_id(place.run_id, name),
        "parent_span_id": span_id(place.run_id, parent) if parent else None,
    }


def _has_run(record: StepRecord) -> bool:
    return record.state.is_terminal and record.started_at is not None and record.finished_at is not None
