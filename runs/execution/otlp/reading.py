"""Spans as a collector is told them, from their rows: the trace they belong to, what is around them, and no secret.

A trace is a run that people started with all below it: its id is that run's. A child's root stands below the span of
the step that started it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection

from accounts import secrets
from accounts.models import Secret
from pipelines.graph.model import Json
from pipelines.graph.money import MICROS
from runs.execution import spans
from runs.execution.otlp import content
from runs.execution.otlp.wire import CLIENT, INTERNAL, OtlpSpan, SpanEvent
from runs.execution.trace import ROOT, span_id
from runs.models import Event, Run, Span, Step

UNREADABLE = "unreadable"
"""Name and error of a span whose row could not be read."""
_ROOTS = """
with recursive up as (
  select id as run, id, parent_id from runs_run where id = any(%s)
  union all
  select up.run, r.id, r.parent_id from up join runs_run r on r.id = up.parent_id
)
select run, id from up where parent_id is null
"""


@dataclass(slots=True)
class _Batch:
    """What is known of the runs of some spans."""

    runs: Mapping[UUID, Run]
    roots: Mapping[UUID, UUID]
    births: Mapping[UUID, str]
    scores: Mapping[tuple[UUID, str, int], Sequence[Mapping[str, Json]]]
    said: Mapping[tuple[UUID, str], Mapping[str, Json]] = field(default_factory=dict)
    with_content: bool = False


def spans_of(rows: Sequence[Span], *, with_content: bool) -> list[OtlpSpan]:
    """Return the spans of some rows; those of runs that are gone are left out. A handful of queries."""
    ids = {row.run_id for row in rows}
    runs = Run.objects.select_related("workspace", "pipeline", "version").only(
        *("number", "rehearsal", "parent", "parent_path", "created_at"),
        *("workspace__slug", "pipeline__slug", "version__number"),
    )
    found = {run.pk: run for run in runs.filter(pk__in=ids)}
    batch = _Batch(found, _roots(ids), _births(rows, found), _scores(rows), with_content=with_content)
    if with_content:
        batch.said = content.said(rows)
    hidden = _Hidden(found)
    return [_span(row, batch, hidden) for row in rows if row.run_id in found]


def marker_of(row: Span) -> OtlpSpan | None:
    """Return what stands in a trace for a span that cannot be made of its row, so that those below it have a place."""
    root = _roots([row.run_id]).get(row.run_id)
    if root is None:
        return None
    return OtlpSpan(
        trace_id=root.hex,
        span_id=row.span_id,
        parent_span_id=row.parent_span_id,
        name=UNREADABLE,
        kind=INTERNAL,
        start=row.start,
        end=max(row.start, row.end),
        attributes={spans.RUN_ID: str(row.run_id), spans.ERROR_TYPE: UNREADABLE},
        is_error=True,
    )


def _span(row: Span, batch: _Batch, hidden: "_Hidden") -> OtlpSpan:
    run = batch.runs[row.run_id]
    is_root = row.span_id == span_id(str(run.pk), ROOT)
    said = batch.said.get((row.run_id, row.span_id), {})
    attributes = hidden.all(run, {**_context(row, run), **row.attributes, **said})
    attributes |= {name: content.shortened(attributes[name]) for name in said}
    if row.cost_micros is not None:
        attributes[spans.COST] = row.cost_micros / MICROS
    return OtlpSpan(
        trace_id=batch.roots.get(run.pk, run.pk).hex,
        span_id=row.span_id,
        parent_span_id=batch.births.get(run.pk) if is_root else row.parent_span_id,
        name=hidden.text(run, row.name),
        kind=CLIENT if row.model is not None else INTERNAL,
        start=row.start,
        end=max(row.start, row.end),
        attributes=attributes,
        is_error=row.status == "error",
        events=_evaluations(row, run, batch, hidden),
    )


def _context(row: Span, run: Run) -> dict[str, Json]:
    context: dict[str, Json] = {
        spans.WORKSPACE: run.workspace.slug,
        spans.PIPELINE: run.pipeline.slug,
        spans.PIPELINE_VERSION: run.version.number,
        spans.RUN_ID: str(run.pk),
        spans.RUN_NUMBER: run.number,
        spans.STEP_PATH: row.path,
        spans.AGAIN: row.again,
        spans.REHEARSAL: run.rehearsal or None,
    }
    return {name: value for name, value in context.items() if value is not None}


def _evaluations(row: Span, run: Run, batch: _Batch, hidden: "_Hidden") -> tuple[SpanEvent, ...]:
    """Return what judges said of a step's output, an event each; their reasons are content."""
    key = (row.run_id, row.path or "", int(row.attributes.get(spans.ATTEMPT) or 0))
    found = []
    for number, score in enumerate(batch.scores.get(key, ()), 1):
        told: dict[str, Json] = {
            spans.EVALUATION_NAME: f"{row.node}.rubric{number}",
            spans.EVALUATION_SCORE: score.get("score"),
        }
        if batch.with_content:
            told[spans.EVALUATION_EXPLANATION] = score.get("reason")
        found.append(SpanEvent(spans.EVALUATION_EVENT, row.end, hidden.all(run, told)))
    return tuple(found)


def _roots(ids: Iterable[UUID]) -> dict[UUID, UUID]:
    with connection.cursor() as cursor:
        cursor.execute(_ROOTS, [list(ids)])
        return dict(cursor.fetchall())


def _births(rows: Sequence[Span], runs: Mapping[UUID, Run]) -> dict[UUID, str]:
    """Return below which span of another run the roots among these rows stand: of the attempt that started the run."""
    found = {}
    for row in rows:
        run = runs.get(row.run_id)
        if run is None or run.parent_id is None or row.span_id != span_id(str(run.pk), ROOT):
            continue
        attempt = _attempt_at_birth(run)
        found[run.pk] = span_id(str(run.parent_id), f"{run.parent_path}@{attempt}")
    return found


def _attempt_at_birth(run: Run) -> int:
    parent = run.parent_id
    assert parent is not None  # noqa: S101 - a child's
    steps = Step.objects.filter(run_id=parent, path=run.parent_path)
    attempt = steps.values_list("attempt", flat=True).first() or 0
    if attempt <= 1:
        return attempt
    begun = Event.objects.filter(run_id=parent, path=run.parent_path, type="step_started")
    said = begun.filter(at__lte=run.created_at).order_by("-seq").values_list("payload__attempt", flat=True).first()
    return int(said or attempt)


def _scores(rows: Sequence[Span]) -> dict[tuple[UUID, str, int], Sequence[Mapping[str, Json]]]:
    steps = [row for row in rows if spans.STEP_KIND in row.attributes]
    judged = Step.objects.filter(run_id__in={row.run_id for row in steps}, path__in={row.path for row in steps})
    found = judged.filter(meta__has_key="scores").values_list("run_id", "path", "attempt", "meta__scores")
    return {(run, path, attempt): scores for run, path, attempt, scores in found}


class _Hidden:
    """Hides every secret of a run's workspace, should one stand anywhere; the values live as long as one batch."""

    def __init__(self, runs: Mapping[UUID, Run]) -> None:
        kept: defaultdict[UUID, list[str]] = defaultdict(list)
        for secret in Secret.objects.filter(workspace_id__in={run.workspace_id for run in runs.values()}):
            value = secrets.unseal(bytes(secret.ciphertext))
            if len(value) >= secrets.SHORTEST:
                kept[secret.workspace_id].append(value)
        self._kept = kept

    def text(self, run: Run, text: str) -> str:
        values = self._kept.get(run.workspace_id)
        return secrets.redact(text, values) if values else text

    def all(self, run: Run, attributes: Mapping[str, Json]) -> dict[str, Json]:
        return {name: self._any(run, value) for name, value in attributes.items()}

    def _any(self, run: Run, value: Any) -> Json:
        match value:
            case str():
                return self.text(run, value)
            case list():
                return [self._any(run, item) for item in value]
            case dict():
                return {self.text(run, name): self._any(run, item) for name, item in value.items()}
            case _:
                return value
