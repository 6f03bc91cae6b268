"""Turns drafts into versions that never change again, with everything they name locked by exact version."""

import uuid
from dataclasses import dataclass

from django.db import transaction

from accounts import audit
from accounts.access import Actor, Capability, require
from accounts.errors import Conflict, Invalid, NotFound
from pipelines.drafts import parsed_or_invalid
from pipelines.graph import diff, freeze, validate
from pipelines.graph.canonical import canonical_json
from pipelines.graph.model import Json
from pipelines.graph.problems import Problem
from pipelines.library.library import library_of
from pipelines.models import Draft, DraftEdit, Pipeline, PipelineVersion


@dataclass(frozen=True, slots=True)
class _Frozen:
    hash: str
    document: Json
    lock: Json


@transaction.atomic
def publish(actor: Actor, pipeline: Pipeline, note: str = "") -> PipelineVersion:
    """Publish the draft as the next version and return it; new runs use it, running ones keep theirs.

    Raises Invalid `not_publishable` with `problems` while any is an error, Conflict `archived`, Forbidden. Locks the
    draft.
    """
    require(actor, Capability.PUBLISH)
    draft = _locked(pipeline)
    frozen = _frozen(pipeline, draft.document)
    return _add_version(actor, draft, frozen, note, _editors(draft))


@transaction.atomic
def freeze_draft(actor: Actor, pipeline: Pipeline) -> PipelineVersion:
    """Return an unnumbered version of the draft as it is now, to run it; an identical one is used again.

    Raises Invalid `not_publishable` with `problems` while any is an error, Conflict `archived`, Forbidden. Locks the
    draft.
    """
    require(actor, Capability.RUN)
    draft = _locked(pipeline)
    return _unnumbered(actor, draft, _editors(draft))


@transaction.atomic
def freeze_hidden(actor: Actor, pipeline: Pipeline, document: Json) -> PipelineVersion:
    """Return an unnumbered version of a document that Baton itself wrote, as the draft of a pipeline nobody edits.

    Raises as `freeze_draft`. Locks the draft.
    """
    require(actor, Capability.RUN)
    draft = Draft.objects.select_for_update(of=("self",)).select_related("pipeline__workspace").get(pipeline=pipeline)
    if draft.document != document:
        draft.document = document
        draft.save(update_fields=["document", "updated_at"])
    return _unnumbered(actor, draft, [actor.user.pk])


def _unnumbered(actor: Actor, draft: Draft, editors: list[uuid.UUID]) -> PipelineVersion:
    pipeline, frozen = draft.pipeline, _frozen(draft.pipeline, draft.document)
    for version in pipeline.versions.filter(number=None, hash=frozen.hash).order_by("-created_at"):
        if canonical_json(version.lock) == canonical_json(frozen.lock) and set(version.editors) == set(editors):
            return version
    return PipelineVersion.objects.create(
        pipeline=pipeline,
        hash=frozen.hash,
        document=frozen.document,
        lock=frozen.lock,
        editors=editors,
        revision=draft.revision,
        published_by=actor.user,
    )


@transaction.atomic
def rollback(actor: Actor, pipeline: Pipeline, number: int) -> PipelineVersion:
    """Publish version `number` again, as the next version, with today's prices; the draft stays as it is.

    Its editors are those of the old version and whoever rolls back. Raises NotFound, and as `publish`.
    """
    require(actor, Capability.PUBLISH)
    draft = _locked(pipeline)
    old = version_of(pipeline, number)
    editors = sorted({*old.editors, actor.user.pk})
    frozen = _frozen(pipeline, old.document)
    return _add_version(actor, draft, frozen, f"Back to version {number}", editors)


def version_of(pipeline: Pipeline, number: int) -> PipelineVersion:
    """Return a published version by its number; NotFound when there is none."""
    version = pipeline.versions.filter(number=number).first() if 0 < number < 2**31 else None
    if version is None:
        raise NotFound
    return version


def compare(older: Json, newer: Json) -> list[Json]:
    """Return what changed between two documents of a pipeline, in words, as JSON."""
    return [change.as_json() for change in diff.changes(older, newer)]


def _locked(pipeline: Pipeline) -> Draft:
    draft = Draft.objects.select_for_update(of=("self",)).select_related("pipeline__workspace").get(pipeline=pipeline)
    if draft.pipeline.archived_at is not None:
        raise Conflict(f"{draft.pipeline.name} is archived. Restore it before you publish it.", code="archived")
    return draft


def _frozen(pipeline: Pipeline, raw: Json) -> _Frozen:
    """Return hash and lock of a document that has no errors; Invalid `not_publishable` otherwise."""
    document = parsed_or_invalid(raw)
    library = library_of(pipeline.workspace, document)
    found = validate.problems(document, library)
    errors = [problem for problem in found if problem.severity == "error"]
    if errors:
        raise _not_publishable(pipeline, errors, found)
    return _Frozen(freeze.content_hash(raw), raw, freeze.lock(document, library).as_json())


def _not_publishable(pipeline: Pipeline, errors: list[Problem], found: list[Problem]) -> Invalid:
    first = errors[0]
    more = f" and {len(errors) - 1} more" if len(errors) > 1 else ""
    return Invalid(
        f"{pipeline.name} cannot be published yet: {first.message}{more}. Solve the errors first.",
        code="not_publishable",
        where=first.where,
        problems=[problem.as_json() for problem in found],
    )


def _editors(draft: Draft) -> list[uuid.UUID]:
    """Return who edited the draft since the newest published version was made from it.

    Nobody since: then it says what that version says, and its editors stay its editors.
    """
    published = PipelineVersion.objects.filter(pipeline=draft.pipeline, number__isnull=False)
    previous = published.order_by("-number").only("revision", "editors").first()
    since = previous.revision if previous else 0
    edits = DraftEdit.objects.filter(pipeline=draft.pipeline, revision__gt=since).exclude(by=None)
    return sorted(set(edits.values_list("by", flat=True))) or (previous.editors if previous else [])


def _add_version(actor: Actor, draft: Draft, frozen: _Frozen, note: str, editors: list[uuid.UUID]) -> PipelineVersion:
    pipeline = draft.pipeline
    newest = pipeline.versions.exclude(number=None).order_by("-number").values_list("number", flat=True).first()
    version = PipelineVersion.objects.create(
        pipeline=pipeline,
        number=(newest or 0) + 1,
        hash=frozen.hash,
        document=frozen.document,
        lock=frozen.lock,
        note=note,
        editors=editors,
        revision=draft.revision,
        published_by=actor.user,
    )
    Pipeline.objects.filter(pk=pipeline.pk).update(published=version, split=[])
    audit.record(
        actor.workspace,
        actor.user,
        "pipeline.published",
        pipeline.slug,
        {"version": version.number, "hash": version.hash, "note": note},
    )
    return version
