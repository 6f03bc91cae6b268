"""Trying one step of a draft: with which data, at what cost at most, and what it came to."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from accounts.access import Actor, Capability, get, require, scoped
from accounts.errors import Invalid, NotFound
from pipelines import publish, schema_form
from pipelines.canvas import spoken
from pipelines.editor import inspector, picking, view
from pipelines.graph.model import Json
from pipelines.graph.places import Place, places
from pipelines.graph.reading import Path, Read, reads
from pipelines.graph.rules.subject import Subject
from pipelines.graph.rules.types import output_schema
from pipelines.schema_form import Field
from runs import launch, services, step_alone, step_data, step_prices
from runs.engine.origin import Ancestor, Origin
from runs.models import Run, Via
from runs.services import Order
from runs.step_prices import Estimate

OFFERED = 8
SAMPLE = "sample"
_WORDS = {"item": "This item", "item_index": "Number of the item, from 0", "round.n": "Number of the round"}


@dataclass(frozen=True, slots=True)
class Offer:
    """Some data to try a step with: a run's, or the sample of the form."""

    value: str
    words: str
    run: Run | None = None
    sample: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bench:
    """What a step is tried with. `offers` are the data to choose from, `chosen` is one of them or None.

    `fields` are the values that it reads, filled from the chosen data; `path` is the step's path in the chosen run.
    `why_not` says why it cannot be tried, "" where it can.
    """

    editor: view.Editor
    place: Place
    title: str
    why_not: str
    offers: Sequence[Offer] = ()
    chosen: Offer | None = None
    path: str = ""
    fields: Sequence[Field] = ()
    estimate: Estimate = field(default_factory=Estimate)
    read: Sequence[Read] = ()
    base: Mapping[Path, Json] = field(default_factory=dict)

    @property
    def missing(self) -> list[str]:
        """The values that must be given and that the chosen data does not have."""
        return [one.label for one in self.fields if one.required and one.value is None]


def bench(actor: Actor, slug: str, where: str, data: str = "", path: str = "") -> Bench:
    """Return what a step of a draft is tried with. `data` is "sample", a run's id, or "" for the newest run that has
    all that the step reads. Raises NotFound for a step, a run or a pipeline that is not there."""
    editor = view.editor_of(actor, slug)
    place = place_of(editor, where)
    title = picking.titled(place.node)
    if reason := step_alone.why_not(place):
        return Bench(editor, place, title, reason)
    subject = Subject(editor.document, editor.library)
    found = [one for one in _each_field(reads(place), subject) if one.path[0] != "board"]  # it has its first values
    offers = _offers(actor, editor)
    chosen, base, at = _chosen(offers, place, found, _asked(actor, editor, offers, data), path)
    if chosen is not None and chosen not in offers:
        offers.append(chosen)
    return Bench(
        editor=editor,
        place=place,
        title=title,
        why_not=_errors(editor, place),
        offers=offers,
        chosen=chosen,
        path=at,
        fields=_fields(subject, place, found, base),
        estimate=step_prices.estimate(subject, actor.workspace, place.node, base),
        read=found,
        base=base,
    )


def start(actor: Actor, found: Bench, posted: Mapping[str, str], cap: str | None = None) -> Run:
    """Start a rehearsal of one step with the posted values and return it, queued; it stops at its cap.

    Raises Invalid (`step_not_ready`, `invalid_input`, `input_too_large`, `invalid_budget`), Conflict `archived`,
    Forbidden.
    """
    editor, place = found.editor, found.place
    require(actor, Capability.RUN, editor.pipeline)
    services.refuse_archived(editor.pipeline)
    if found.why_not:
        raise Invalid(found.why_not, code="step_not_ready")
    values = _read(found, posted)
    raw = inspector.raw_step(editor.draft, place.name)
    document = step_alone.document(editor.draft.document, place.node.id, raw)
    given = step_data.nested(values)
    origin = Origin(
        ancestors=(Ancestor(editor.document.id, ""),),
        labels=step_alone.labels(place, set(step_data.names(values))),
        place=step_alone.HOLDER,
        alone=True,
    )
    with transaction.atomic():
        home = step_alone.home(actor, editor.pipeline, document)
        version = publish.freeze_hidden(actor, home, document, judged=True)
        whole = origin.as_json()
        budget = {"max_cost_usd": cap}
        order = Order(given, tags=("test",), budget=budget, rehearsal=True, origin=whole, via=Via.TEST)
        return services.start_version(actor, version, order)


def place_of(editor: view.Editor, where: str) -> Place:
    """Return a step of a draft by its dotted place; NotFound when there is none."""
    for place in places(editor.document):
        if place.name == where:
            return place
    raise NotFound(f"There is no step {where[:80]!r} in this draft any more.")


def runs_of(actor: Actor, pipeline: UUID) -> "QuerySet[Run]":
    """Return the runs whose data may be used: those that people started, the newest first."""
    found = scoped(Run, actor).filter(pipeline=pipeline, parent=None, content_removed_at=None)
    return found.select_related("version").defer("output", "version__document", "version__lock").order_by("-created_at")


def _errors(editor: view.Editor, place: Place) -> str:
    """Return the first error of a step, or of what is in it, as the reason why it cannot be tried."""
    inside = f"{place.name}."
    for problem in editor.problems:
        at = problem.node or ""
        if problem.severity == "error" and (at == place.name or at.startswith(inside)):
            return f"This step cannot be tried yet: {problem.message}"
    return ""


def _each_field(found: Sequence[Read], subject: Subject) -> Iterator[Read]:
    """Yield what is read, the whole form as each of its fields."""
    known = {one.path for one in found}
    for one in found:
        if one.path != ("input",):
            yield one
            continue
        inputs = subject.lawful(subject.document.inputs)
        properties = inputs.get("properties")
        for name in properties if isinstance(properties, dict) else ():
            if ("input", name) not in known:
                yield Read(("input", name), optional=name not in inputs.get("required", ()))


def _offers(actor: Actor, editor: view.Editor) -> list[Offer]:
    runs = runs_of(actor, editor.pipeline.pk)[:OFFERED]
    found = [Offer(str(run.pk), f"Run #{run.number}", run) for run in runs]
    sample = launch.sample_of(editor.pipeline)
    return [*found, Offer(SAMPLE, "Sample data", sample=sample)] if sample else found


def _asked(actor: Actor, editor: view.Editor, offers: Sequence[Offer], data: str) -> Offer | None:
    """Return the data that is asked for, None where nothing is or it was removed; NotFound for other runs."""
    if not data:
        return None
    if found := next((offer for offer in offers if offer.value == data), None):
        return found
    try:
        run_id = UUID(data)
    except ValueError:
        raise NotFound from None
    run = get(Run.objects.select_related("version"), actor, pk=run_id)
    if run.pipeline_id != editor.pipeline.pk:
        raise NotFound
    return None if run.content_removed_at else Offer(str(run.pk), f"Run #{run.number}", run)


def _chosen(
    offers: Sequence[Offer], place: Place, found: Sequence[Read], asked: Offer | None, path: str
) -> tuple[Offer | None, dict[Path, Json], str]:
    """Return the data to begin with, its values, and the step's path in its run.

    The sample is only of the form: what earlier steps came to is that of the newest run that has it.
    """
    wanted = [one.path for one in found]
    needed = {one.path for one in found if not one.optional}
    runs = [asked] if asked and asked.run else [offer for offer in offers if offer.run]
    best: tuple[Offer | None, dict[Path, Json], str] = (None, {}, "")
    for offer in runs:
        if offer.run is None:
            continue
        at = step_data.path_in(offer.run, place, path)
        values = step_data.values_in(offer.run, place, wanted, at)
        best = best if best[0] else (offer, values, at)
        if needed <= values.keys():
            best = (offer, values, at)
            break
    sample = asked if asked else next((offer for offer in offers if offer.sample), None)
    if sample is None or sample.run or (not asked and best[0]):
        return best
    given = {("input", name): value for name, value in sample.sample.items() if ("input", name) in wanted}
    return sample, best[1] | given, best[2]


def _fields(subject: Subject, place: Place, found: Sequence[Read], base: Mapping[Path, Json]) -> list[Field]:
    rules = {one.key: _rule(subject, place, one) for one in found}
    required = [one.key for one in found if not one.optional]
    schema = {"type": "object", "properties": rules, "required": required}
    return schema_form.fields(schema, {".".join(path): value for path, value in base.items()})


def _rule(subject: Subject, place: Place, one: Read) -> dict[str, Json]:
    """Return the JSON Schema of a value, as far as the draft says it, with its name in words."""
    match one.path:
        case ("input", name):
            properties = subject.lawful(subject.document.inputs).get("properties")
            rule = properties.get(name) if isinstance(properties, dict) else None
            return {"title": spoken(name), **_own(rule)}
        case ("steps", name, part):
            level = next((one for one in (place, *place.enclosing) if name in one.graph.nodes), None)
            if level is None:
                return {"title": name}
            node = level.graph.nodes[name]
            rule = output_schema(subject, node, level.graph) if part == "output" else {}
            words = "" if part == "output" else ": how it came to it"
            return {**_own(rule), "title": f"{picking.titled(node)}{words}"}
        case ("item_index",) | ("round", "n"):
            return {"title": _WORDS[one.key], "type": "integer"}
        case ("round", "previous", name, *_):
            return {"title": f"{spoken(name)}, in the round before"}
        case _:
            return {"title": _WORDS.get(one.key, spoken(one.path[-1]))}


def _own(rule: Json) -> dict[str, Json]:
    """Return a schema that can be read alone: one that leans on another says nothing here."""
    return dict(rule) if isinstance(rule, Mapping) and '"$ref"' not in json.dumps(rule) else {}


def _read(found: Bench, posted: Mapping[str, str]) -> dict[Path, Json]:
    """Return the values of the posted form; raise Invalid naming the first that is missing or cannot be read."""
    read = schema_form.read(found.fields, posted)
    if read.errors:
        name, sentence = next(iter(read.errors.items()))
        raise Invalid(sentence, code="invalid_input", where=f"/input/{name}")
    known = {".".join(path) for path in found.base}
    for one in found.fields:
        if one.required and one.name not in known and read.value.get(one.name) in (None, ""):
            message = f"The step reads “{one.label}”. Give it a value, or choose a run that has one."
            raise Invalid(message, code="invalid_input", where=f"/input/{one.name}")
    return {one.path: read.value[one.key] for one in found.read if one.key in read.value}
