"""How runs, steps, events, spans and ledger entries are written in JSON."""

from datetime import datetime
from typing import Any

from django.conf import settings

from pipelines.graph.model import Json
from pipelines.graph.money import dollars
from runs.boards import Entry
from runs.models import Event, LedgerEntry, Run, SentEvent, Span, Step
from runs.receipt import Receipt


def time(moment: datetime | None) -> str | None:
    """Return ISO 8601 in UTC with milliseconds and a Z."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else None


def run_cost(run: Run) -> str | None:
    """Return the dollars spent; None only when every call was unpriced."""
    return None if run.unpriced_calls and run.unpriced_calls == run.llm_calls else dollars(run.cost_micros)


def run(run: Run) -> dict[str, Json]:
    return {
        "id": str(run.pk),
        "number": run.number,
        "url": f"{settings.BASE_URL}/runs/{run.pk}/",
        "pipeline": run.pipeline.slug,
        "version": run.version.number,
        "hash": run.version.hash,
        "state": run.state,
        "reason": run.reason,
        "input": run.input,
        "output": run.output,
        "error": run.error,
        "cost_usd": run_cost(run),
        "reserved_usd": dollars(run.reserved_micros),
        "unconfirmed_usd": dollars(run.unconfirmed_micros),
        "unpriced_calls": run.unpriced_calls,
        "input_tokens": run.input_tokens,
        "output_tokens": run.output_tokens,
        "llm_calls": run.llm_calls,
        "tags": run.tags,
        "arm": run.arm,
        "rehearsal": run.rehearsal,
        "started_by": run.started_by.email if run.started_by else None,
        "forked_from": str(run.forked_from_id) if run.forked_from_id else None,
        "saved_usd": dollars(run.saved_micros),
        "created_at": time(run.created_at),
        "started_at": time(run.started_at),
        "finished_at": time(run.finished_at),
    }


def step(step: Step) -> dict[str, Json]:
    unknown = step.unpriced_calls and not step.cost_micros
    return {
        "path": step.path,
        "node": step.node,
        "kind": step.kind,
        "title": step.title,
        "state": step.state,
        "wait_reason": step.wait_reason,
        "attempt": step.attempt,
        "flags": step.flags,
        "reused_from": ((step.memo or {}).get("reused_from") or {}).get("run"),
        "port": step.port,
        "input": step.input,
        "output": step.output,
        "meta": step.meta,
        "error": step.error,
        "cost_usd": None if unknown else dollars(step.cost_micros),
        "started_at": time(step.started_at),
        "finished_at": time(step.finished_at),
    }


def event(event: Event) -> dict[str, Json]:
    return {
        "seq": event.seq,
        "type": event.type,
        "path": event.path,
        "at": time(event.at),
        "payload": event.payload,
    }


def span(span: Span) -> dict[str, Any]:
    return {
        "trace_id": span.run_id.hex,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
        "name": span.name,
        "kind": span.kind,
        "path": span.path,
        "start": time(span.start),
        "end": time(span.end),
        "status": span.status,
        "attributes": span.attributes,
        "model": span.model,
        "input_tokens": span.input_tokens,
        "output_tokens": span.output_tokens,
        "cost_usd": dollars(span.cost_micros),
    }


def entry(entry: LedgerEntry) -> dict[str, Json]:
    return {
        "id": str(entry.pk),
        "kind": entry.kind,
        "path": entry.path,
        "call": entry.call,
        "model": entry.model,
        "amount_usd": dollars(entry.amount_micros),
        "at": time(entry.at),
    }


def entry_on_board(entry: Entry) -> dict[str, Json]:
    return {
        "key": entry.key,
        "value": entry.value,
        "version": entry.version,
        "path": entry.path,
        "at": time(entry.at),
    }


def receipt(found: Receipt) -> dict[str, Json]:
    return {
        "run": str(found.run.pk),
        "cost_usd": run_cost(found.run),
        "unconfirmed_usd": dollars(found.run.unconfirmed_micros),
        "stopped_by": found.stopped_by,
        "steps": [
            {"path": line.path, "title": line.title, "cost_usd": dollars(line.cost_micros), "calls": line.calls}
            for line in found.lines
        ],
    }


def sent_event(event: SentEvent) -> dict[str, Json]:
    return {
        "id": str(event.pk),
        "topic": event.topic,
        "name": event.name,
        "payload": event.payload,
        "by": event.by,
        "run": str(event.run_id) if event.run_id else None,
        "at": time(event.at),
    }
