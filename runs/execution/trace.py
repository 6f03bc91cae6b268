"""Spans of runs, steps and calls as rows. Ids follow from names, so that a repeated commit writes the same span."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipelines.graph.model import Json, Kind
from runs.engine import paths
from runs.engine.decision import Event, StepRecord
from runs.engine.facts import ErrorClass
from runs.engine.status import RunState, StepState
from runs.execution import spans
from runs.execution.context import MODEL, CallIntent, CallOutcome

ROOT = "run"


@dataclass(frozen=True, slots=True)
class Stretch:
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Place:
    """Where a span belongs; `agent_of` names the agent (slug@number) that the step at a path runs, if it runs one,
    from its record where that is at hand. `attempt_of` says at which attempt the step at a path is."""

    run_id: str
    workspace_id: str
    pipeline_id: str
    pipeline: str
    agent_of: Callable[[str, StepRecord | None], str | None]
    attempt_of: Callable[[str], int]


def span_id(run_id: str, name: str) -> str:
    """Return sixteen hex digits that name one span of a run."""
    return hashlib.blake2b(f"{run_id}/{name}".encode(), digest_size=8).hexdigest()


def call_span(place: Place, intent: CallIntent, outcome: CallOutcome, memo: Mapping[str, Json]) -> dict[str, Json]:
    """Return the span of a model or tool call; only these carry cost, so that spans sum to the ledger.

    `memo` is what the engine remembers of the step: whether this attempt repairs or repeats an earlier one.
    """
    is_model = intent.kind == MODEL
    attributes = {**outcome.attributes, **(spans.failed(outcome.error) if outcome.error else {})}
    return {
        **_frame(place, intent.key, f"{intent.path}@{intent.attempt}"),
        "name": spans.chat_name(intent.name) if is_model else spans.tool_name(intent.name, intent.request),
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
        "again": _again(memo),
    }


def _again(memo: Mapping[str, Json]) -> str | None:
    """Return why a call is made once more. A person who orders a retry, and a new worker, waste nothing."""
    if memo.get("repair"):
        return "repair"
    return "retry" if memo.get("retries") or memo.get("fallback") else None


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


def attempt_spans(
    place: Place, events: Iterable[Event], steps: Mapping[str, StepRecord], begun: dict[str, datetime], now: datetime
) -> list[dict[str, Json]]:
    """Return a span for each attempt that another one follows: the calls that were made in it stand below it.

    `begun` says when the present attempt of a step began, and is kept up.
    """
    found = []
    for event in events:
        if event.path is None or (record := steps.get(event.path)) is None:
            continue
        attempt, error = event.payload.get("attempt", 0), event.payload.get("error")
        start = begun.get(event.path) or record.started_at or now
        if event.type == "step_retrying":
            found.append(_attempt_span(place, record, attempt, Stretch(start, now), error))
        elif event.type == "step_started":
            if attempt > 1:
                found.append(_attempt_span(place, record, attempt - 1, Stretch(start, now), None))
            begun[event.path] = now
    return found


def run_span(place: Place, run: Mapping[str, Any], end: datetime, state: RunState) -> dict[str, Json]:
    return {
        **_frame(place, ROOT, None),
        "name": spans.workflow_name(place.pipeline),
        "kind": "internal",
        "start": run["started_at"] or end,
        "end": end,
        "status": "error" if state == RunState.FAILED else "ok",
        "attributes": spans.run(place.run_id, place.pipeline, run["parent_id"], run["parent_path"]),
    }


def _step_span(place: Place, record: StepRecord) -> dict[str, Json]:
    assert record.started_at is not None  # noqa: S101 - `_has_run`
    assert record.finished_at is not None  # noqa: S101
    stretch = Stretch(record.started_at, record.finished_at)
    span = _attempt_span(place, record, record.attempt, stretch, record.error)
    return {**span, "status": "error" if record.state == StepState.FAILED else "ok"}


def _attempt_span(
    place: Place, record: StepRecord, attempt: int, stretch: Stretch, error: Mapping[str, Json] | None
) -> dict[str, Json]:
    agent = place.agent_of(record.path, record)
    attributes = spans.step(place.run_id, record.path, record.kind, attempt)
    if agent:
        attributes |= spans.agent(agent)
    elif workflow := _workflow_of(record):
        attributes |= spans.workflow(workflow)
    if error:
        attributes |= spans.failed(error)
    return {
        **_frame(place, f"{record.path}@{attempt}", _around(place, record.path)),
        "name": _step_name(record, agent),
        "kind": "internal",
        "path": record.path,
        "node": paths.drawn_node_of(record.path),
        "agent": agent,
        "start": stretch.start,
        "end": stretch.end,
        "status": "error" if error else "ok",
        "attributes": attributes,
    }


def _around(place: Place, path: str) -> str:
    """Return the name of the span around a step: of the container it stands in, else of the run."""
    container = next(iter(paths.containers_of(path)), None)
    return f"{container}@{place.attempt_of(container)}" if container else ROOT


def _step_name(record: StepRecord, agent: str | None) -> str:
    if agent:
        return spans.agent_name(agent)
    workflow = _workflow_of(record)
    return spans.workflow_name(workflow) if workflow else spans.step_name(record.node)


def _workflow_of(record: StepRecord) -> str | None:
    """Return by what name a step that is a workflow of its own goes: another pipeline, or a team."""
    if record.kind == Kind.PIPELINE:
        return record.title or record.node
    return record.node if record.kind == Kind.TEAM else None


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
