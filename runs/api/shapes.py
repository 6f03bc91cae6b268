"""How runs, steps, events, spans and ledger entries are written in JSON."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings

from pipelines.graph.model import Json
from pipelines.graph.money import dollars
from runs import family
from runs.boards import Entry
from runs.models import Event, LedgerEntry, Run, SentEvent, Span, Step, Totals
from runs.receipt import Receipt


def time(moment: datetime | None) -> str | None:
    """Return ISO 8601 in UTC with milliseconds and a Z."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else None


def run_cost(totals: Totals) -> str | None:
    """Return the dollars spent; None only when every call was unpriced."""
    return None if totals.unpriced_calls and totals.unpriced_calls == totals.llm_calls else dollars(totals.cost_micros)


def runs(found: Iterable[Run]) -> list[dict[str, Json]]:
    """Return runs as programs see them. One query more than none, where some have children."""
    rows = list(found)
    family.add_up(rows)
    return [_run(row, row.totals or Totals()) for row in rows]


def run(run: Run) -> dict[str, Json]:
    return runs([run])[0]


def _run(run: Run, totals: Totals) -> dict[str, Json]:
    """What a run costs and uses is with all that its steps started; `own_cost_usd` is what it spent itself."""
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
        "artifacts": artifacts_of(run.pk, run.large),
        "error": run.error,
        "cost_usd": run_cost(totals),
        "own_cost_usd": dollars(run.cost_micros),
        "reserved_usd": dollars(totals.reserved_micros),
        "unconfirmed_usd": dollars(totals.unconfirmed_micros),
        "unpriced_calls": totals.unpriced_calls,
        "input_tokens": totals.input_tokens,
        "output_tokens": totals.output_tokens,
        "llm_calls": totals.llm_calls,
        "parent": family.parent_json(run),
        "children": run.children,
        "tags": run.tags,
        "arm": run.arm,
        "rehearsal": run.rehearsal,
        "started_by": run.started_by.email if run.started_by else None,
        "via": run.via,
        "forked_from": str(run.forked_from_id) if run.forked_from_id else None,
        "saved_usd": dollars(run.saved_micros),
        "created_at": time(run.created_at),
        "started_at": time(run.started_at),
        "finished_at": time(run.finished_at),
        "content_removed_at": time(run.content_removed_at),
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
        "artifacts": artifacts_of(step.run_id, step.large),
        "error": step.error,
        "cost_usd": None if unknown else dollars(step.cost_micros),
        "started_at": time(step.started_at),
        "finished_at": time(step.finished_at),
    }


def artifacts_of(run_id: UUID, large: Mapping[str, Any] | None) -> dict[str, Json]:
    """Return, by field, which large value belongs where null stands: its digest, its bytes and where to get it."""
    return {
        field: {
            "hash": reference["hash"],
            "size": reference["size"],
            "url": f"{settings.BASE_URL}/api/v1/runs/{run_id}/artifacts/{reference['hash']}",
        }
        for field, reference in (large or {}).items()
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
        "run": str(entry.run) if entry.run else None,
        "path": entry.path,
        "at": time(entry.at),
    }


def receipt(found: Receipt) -> dict[str, Json]:
    family.add_up([found.run])
    return {
        "run": str(found.run.pk),
        "cost_usd": run_cost(found.run.totals or Totals()),
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
