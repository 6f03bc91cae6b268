"""One pipeline's page: its picture, its versions and runs, and the form that starts a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils import timezone

from accounts.access import Actor, Capability, get
from accounts.errors import Invalid
from pipelines import gallery, schema_form, splits
from pipelines.canvas import Picture, picture
from pipelines.graph.model import Document, Json
from pipelines.graph.parse import parse
from pipelines.models import Pipeline, PipelineVersion
from pipelines.schema_form import Field
from runs import canvas, health, services
from runs.models import Run

RUNS, VERSIONS = 8, 8


@dataclass(frozen=True, slots=True)
class PipelineView:
    """`version` is None while only a draft exists; then the draft is drawn and a run starts from it."""

    pipeline: Pipeline
    document: Document
    version: PipelineVersion | None
    draft_is_ahead: bool
    picture: Picture
    cards: Sequence[canvas.Card]
    fields: Sequence[Field]
    has_sample: bool
    may_run: bool
    versions: Sequence[PipelineVersion]
    runs: Sequence[health.Progress]
    peak_micros: int
    cap_micros: int | None
    arms: Sequence[splits.Arm] = ()


def pipeline_view(
    actor: Actor, slug: str, posted: Mapping[str, str] | None = None, *, with_sample: bool = False
) -> PipelineView:
    """Return the page of one pipeline; `posted` keeps what was typed into a refused form."""
    pipeline = get(Pipeline.objects.select_related("published", "draft"), actor, slug=slug)
    document = parse(_shown_document(pipeline))
    drawn = picture(document, pipeline.published.lock if pipeline.published else None)
    sample = _sample(slug)
    line = health.of(pipeline, timezone.now())
    return PipelineView(
        pipeline=pipeline,
        document=document,
        version=pipeline.published,
        draft_is_ahead=line.draft_is_ahead,
        picture=drawn,
        cards=[canvas.Card(placed) for placed in drawn.nodes],
        fields=_typed(schema_form.fields(document.inputs, sample if with_sample else None), posted),
        has_sample=bool(sample) and not with_sample,
        may_run=actor.can(Capability.RUN),
        versions=list(
            pipeline.versions.filter(number__isnull=False)
            .select_related("published_by")
            .defer("document", "lock")
            .order_by("-number")[:VERSIONS]
        ),
        runs=health.progress(health.recent(actor.workspace, RUNS, pipeline=pipeline)),
        peak_micros=line.peak_micros,
        cap_micros=document.budget.max_cost_micros,
        arms=splits.arms_of(pipeline),
    )


def start(actor: Actor, slug: str, posted: Mapping[str, str]) -> Run:
    """Start a run from the posted form and return it; raise Invalid with the field that cannot be read."""
    pipeline = get(Pipeline.objects.select_related("published", "draft"), actor, slug=slug)
    document = parse(_shown_document(pipeline))
    found = schema_form.read(schema_form.fields(document.inputs), posted)
    if found.errors:
        name, sentence = next(iter(found.errors.items()))
        raise Invalid(sentence, code="invalid_input", where=f"/input/{name}")
    order = services.Order(input=found.value, version=None if pipeline.published else "draft")
    return services.start_run(actor, pipeline, order)


def _shown_document(pipeline: Pipeline) -> object:
    return pipeline.published.document if pipeline.published else pipeline.draft.document


def _sample(slug: str) -> Mapping[str, Json]:
    """Return the input to try a pipeline of the gallery with; empty for any other."""
    return next((one.sample for one in gallery.templates() if one.document["id"] == slug), {})


def _typed(fields: Sequence[Field], posted: Mapping[str, str] | None) -> list[Field]:
    return [item.typed(posted) for item in fields] if posted is not None else list(fields)
