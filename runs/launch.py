"""One pipeline's page: its picture, its versions and runs, and the form that starts a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import QuerySet
from django.utils import timezone

from accounts.access import Actor, Capability, get, may, scoped
from accounts.errors import Invalid
from pipelines import gallery, schema_form, sharing, splits
from pipelines.canvas import Picture, picture
from pipelines.graph.byhand import pins_of
from pipelines.graph.model import Document, Json
from pipelines.graph.parse import parse
from pipelines.models import Pipeline, PipelineVersion
from pipelines.schema_form import Field
from runs import artifacts, canvas, health, ranges, services
from runs.models import Run, Via

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
    may_edit: bool
    kept: sharing.Lists
    versions: Sequence[PipelineVersion]
    runs: Sequence[health.Progress]
    peak_micros: int
    cap_micros: int | None
    cost: ranges.Range
    is_test: bool = False
    arms: Sequence[splits.Arm] = ()


def pipeline_view(
    actor: Actor,
    slug: str,
    posted: Mapping[str, str] | None = None,
    *,
    with_sample: bool = False,
    is_test: bool = False,
) -> PipelineView:
    """Return the page of one pipeline; `posted` keeps what was typed into a refused form.

    A test (`is_test`) is of the draft, with the input of the last run unless the sample is asked for.
    """
    pipeline = get(Pipeline.objects.select_related("published", "draft"), actor, slug=slug)
    version = None if is_test else pipeline.published
    raw = _shown_document(pipeline, is_test)
    document = parse(raw)
    drawn = picture(document, version.lock if version else None, pins_of(raw.get("ui")), with_crews=True)
    sample = sample_of(pipeline)
    line = health.of(pipeline, timezone.now())
    own = scoped(Run, actor).filter(pipeline=pipeline)
    given = sample if with_sample else _last_input(own) or sample if is_test else None
    return PipelineView(
        pipeline=pipeline,
        document=document,
        version=version,
        draft_is_ahead=line.draft_is_ahead,
        picture=drawn,
        cards=[canvas.Card(placed) for placed in drawn.nodes],
        fields=_typed(schema_form.fields(document.inputs, _known(document.inputs, given)), posted),
        has_sample=bool(sample) and not with_sample,
        may_run=may(actor, Capability.RUN, pipeline),
        may_edit=may(actor, Capability.EDIT, pipeline),
        kept=sharing.read(actor, pipeline),
        versions=_versions(pipeline),
        runs=health.progress(health.recent(actor, RUNS, pipeline=pipeline)),
        peak_micros=line.peak_micros,
        cap_micros=document.budget.max_cost_micros,
        cost=ranges.cost_of(own),
        is_test=is_test,
        arms=() if is_test else splits.arms_of(pipeline),
    )


def _versions(pipeline: Pipeline) -> Sequence[PipelineVersion]:
    published = pipeline.versions.filter(number__isnull=False).select_related("published_by")
    return list(published.defer("document", "lock").order_by("-number")[:VERSIONS])


def start(actor: Actor, slug: str, posted: Mapping[str, str], *, is_test: bool = False) -> Run:
    """Start a run from the posted form and return it; raise Invalid with the field that cannot be read.

    A test is a rehearsal of the draft.
    """
    pipeline = get(Pipeline.objects.select_related("published", "draft"), actor, slug=slug)
    document = parse(_shown_document(pipeline, is_test))
    found = schema_form.read(schema_form.fields(document.inputs), posted)
    if found.errors:
        name, sentence = next(iter(found.errors.items()))
        raise Invalid(sentence, code="invalid_input", where=f"/input/{name}")
    version = None if pipeline.published and not is_test else "draft"
    tags = ("test",) if is_test else ()
    order = services.Order(found.value, version, tags=tags, rehearsal=is_test, via=Via.TEST if is_test else Via.FORM)
    return services.start_run(actor, pipeline, order)


def _shown_document(pipeline: Pipeline, is_test: bool) -> Json:
    return pipeline.published.document if pipeline.published and not is_test else pipeline.draft.document


def _last_input(runs: "QuerySet[Run]") -> Mapping[str, Json]:
    """Return the input of the newest of these runs that people started; {} where there is none."""
    newest = runs.filter(parent=None).only("input", "large").order_by("-created_at").first()
    found = artifacts.input_of(newest) if newest else {}
    return found if isinstance(found, Mapping) else {}


def _known(schema: Json, values: Mapping[str, Json] | None) -> Mapping[str, Json] | None:
    """Return those of the values that the form asks for: an earlier form may have asked for more."""
    declared = schema.get("properties") if isinstance(schema, dict) else None
    return {name: values[name] for name in declared or () if name in values} if values else None


def sample_of(pipeline: Pipeline) -> Mapping[str, Json]:
    """Return the input to try a pipeline that was made from a template with; empty for any other."""
    template = gallery.template_of(pipeline)
    return template.sample if template else {}


def _typed(fields: Sequence[Field], posted: Mapping[str, str] | None) -> list[Field]:
    return [item.typed(posted) for item in fields] if posted is not None else list(fields)
