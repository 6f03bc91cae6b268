"""Trying things with sample data: a template as it is, a new pipeline on its first way, and what such runs cost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from accounts.access import Actor, Capability, get, require, scoped
from accounts.errors import Invalid
from pipelines import creation, gallery, publish
from pipelines.graph.model import Json
from pipelines.models import Pipeline, PipelineVersion
from runs import health, launch, ranges, services
from runs.models import Run, Via


@dataclass(frozen=True, slots=True)
class Price:
    """What the latest finished runs of a template's pipelines cost here, from least to most, in micro-dollars.

    `unpriced` counts those with calls without a known price: the range then says nothing of them.
    """

    name: str
    title: str
    runs: int
    unpriced: int
    least_micros: int | None
    most_micros: int | None


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """How far a new pipeline is: tried, changed, published. `last` is its newest run."""

    pipeline: Pipeline
    sample: Mapping[str, Json]
    last: health.Progress | None
    tried: bool
    changed: bool
    published: bool


def try_template(actor: Actor, name: str, form: str) -> Run:
    """Start a run of a template as it is, with its sample input, and return it; the same form starts one.

    Its pipeline is made where it is missing. Raises NotFound, Forbidden, and as `services.start_run`.
    """
    sample = gallery.template(name).sample
    return _once(actor, f"try:{name}:{form}", lambda: gallery.for_trial(actor, name), sample)


def try_draft(actor: Actor, slug: str, form: str) -> Run:
    """Start a run of a pipeline's draft with the sample input of its template and return it; the same form starts one.

    Raises Invalid `no_sample`, NotFound, Forbidden, and as `services.start_run`.
    """
    require(actor, Capability.RUN)
    pipeline = _pipeline(actor, slug)
    require(actor, Capability.RUN, pipeline)
    services.refuse_archived(pipeline)
    sample = launch.sample_of(pipeline)
    if not sample:
        message = f"{pipeline.name} has no sample data: it was not made from a template. Run it from its own page."
        raise Invalid(message, code="no_sample")
    return _once(actor, f"draft:{slug}:{form}", lambda: publish.freeze_draft(actor, pipeline), sample)


def first_steps(actor: Actor, slug: str) -> FirstSteps:
    """Return how far a pipeline is from its template to its first version."""
    pipeline = _pipeline(actor, slug)
    runs = health.progress(health.recent(actor, 1, pipeline=pipeline, parent=None))
    done = scoped(Run, actor).filter(pipeline=pipeline, parent=None, state="succeeded").exists()
    return FirstSteps(
        pipeline=pipeline,
        sample=launch.sample_of(pipeline),
        last=runs[0] if runs else None,
        tried=done,
        changed=pipeline.draft.revision > 1,
        published=pipeline.published_id is not None,
    )


@transaction.atomic
def publish_first(actor: Actor, slug: str) -> Pipeline:
    """Publish the draft of a pipeline that has no version, and return the pipeline; one that has is left alone.

    Raises as `publish.publish`.
    """
    require(actor, Capability.PUBLISH)
    creation.lock(actor)
    pipeline = _pipeline(actor, slug)
    if pipeline.published is None:
        publish.publish(actor, pipeline, "First version")
        pipeline.refresh_from_db()
    return pipeline


def prices(actor: Actor) -> list[Price]:
    """Return what each template's runs have cost in this workspace."""
    made: dict[str, list[UUID]] = {}
    for pk, slug, origin in scoped(Pipeline, actor).values_list("pk", "slug", "draft__document__x__template"):
        made.setdefault(str(origin or slug), []).append(pk)
    return [_price(actor, one, made.get(one.name, [])) for one in gallery.templates()]


def _price(actor: Actor, template: gallery.Template, pipelines: Sequence[UUID]) -> Price:
    found = ranges.cost_of(scoped(Run, actor).filter(pipeline__in=pipelines))
    return Price(
        name=template.name,
        title=template.title,
        runs=found.runs,
        unpriced=found.unpriced,
        least_micros=found.least_micros,
        most_micros=found.most_micros,
    )


@transaction.atomic
def _once(actor: Actor, form: str, version: Callable[[], PipelineVersion], sample: Mapping[str, Json]) -> Run:
    require(actor, Capability.RUN)
    creation.lock(actor)
    known = creation.id_of(actor, form)
    run = scoped(Run, actor).filter(pk=known).first()
    order = services.Order(dict(sample), tags=("sample",), via=Via.FORM)
    return run or services.start_version(actor, version(), order, known)


def _pipeline(actor: Actor, slug: str) -> Pipeline:
    return get(Pipeline.objects.select_related("published", "draft", "workspace"), actor, slug=slug)
