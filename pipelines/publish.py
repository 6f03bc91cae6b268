"""Turns drafts into versions that never change again, with everything they name locked by exact version."""

import uuid
from dataclasses import dataclass

from django.db import transaction

from accounts import audit
from accounts.access import Actor, Capability, require, require_share
from accounts.errors import Conflict, Invalid, NotFound
from accounts.roles import Share
from pipelines import conditions, makers, raising
from pipelines.conditions import Candidate
from pipelines.drafts import parsed_or_invalid
from pipelines.graph import diff, freeze, validate
from pipelines.graph.canonical import canonical_json
from pipelines.graph.model import Json
from pipelines.graph.problems import Problem
from pipelines.library.library import library_of
from pipelines.models import Draft, Pipeline, PipelineVersion


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody says who publishes: a note, the draft's revision that they read, and why a cap is raised."""

    note: str = ""
    revision: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Frozen:
    hash: str
    document: Json
    lock: Json


@transaction.atomic
def publish(
    actor: Actor, pipeline: Pipeline, note: str = "", revision: int | None = None, reason: str = ""
) -> PipelineVersion:
    """Publish the draft as the next version and return it; new runs use it, running ones keep theirs.

    With `revision`, only a draft that still is at it: what somebody has read is what is published. `reason` is needed
    where a cap of a run is raised. Raises Invalid `not_publishable` with `problems` while any is an error or what other
    apps ask of it is not met, Conflict `stale_revision` or `archived`, Forbidden, and as `raising.allow`. Locks as
    `locked`.
    """
    require(actor, Capability.PUBLISH, pipeline)
    draft = locked(pipeline)
    if revision is not None and draft.revision != revision:
        raise Conflict(
            f"Somebody changed this pipeline while you read what changes: it was at revision {revision}, it is now at "
            f"{draft.revision}. Read what changes now, then publish.",
            code="stale_revision",
            revision=draft.revision,
        )
    frozen = _frozen(actor, pipeline, draft.document)
    if unmet := conditions.unmet(Candidate(pipeline, frozen.hash, frozen.lock)):
        raise _not_publishable(pipeline, unmet, unmet)
    return _add_version(actor, draft, frozen, note, makers.editors_of(draft), reason)


@transaction.atomic
def freeze_draft(actor: Actor, pipeline: Pipeline) -> PipelineVersion:
    """Return an unnumbered version of the draft as it is now, to run it; an identical one is used again.

    Raises Invalid `not_publishable` with `problems` while any is an error, Conflict `archived`, Forbidden. Locks the
    draft.
    """
    require(actor, Capability.RUN, pipeline)
    draft = _locked(pipeline)
    return _unnumbered(actor, draft, makers.editors_of(draft))


@transaction.atomic
def freeze_hidden(actor: Actor, pipeline: Pipeline, document: Json, *, judged: bool = False) -> PipelineVersion:
    """Return an unnumbered version of a document that Baton itself wrote, as the draft of a pipeline nobody edits.

    With `judged` the caller has looked for errors: a step taken out of its draft reads what is not in the document.
    Raises as `freeze_draft`. Locks the draft.
    """
    require(actor, Capability.RUN)
    draft = Draft.objects.select_for_update(of=("self",)).select_related("pipeline__workspace").get(pipeline=pipeline)
    if draft.document != document:
        draft.document = document
        draft.save(update_fields=["document", "updated_at"])
    return _unnumbered(actor, draft, [actor.user.pk], judged=judged)


def _unnumbered(actor: Actor, draft: Draft, editors: list[uuid.UUID], *, judged: bool = False) -> PipelineVersion:
    pipeline, frozen = draft.pipeline, _frozen(actor, draft.pipeline, draft.document, judged=judged)
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
def rollback(actor: Actor, pipeline: Pipeline, number: int, reason: str = "") -> PipelineVersion:
    """Publish version `number` again, as the next version, with today's prices; the draft stays as it is.

    What other apps ask of a draft is not asked of it: going back must always be possible. A cap of a run that it raises
    needs what raising a cap always needs.

    Its editors are those of the old version and whoever rolls back. Raises NotFound, and as `publish`.
    """
    require(actor, Capability.PUBLISH, pipeline)
    draft = locked(pipeline)
    old = version_of(pipeline, number)
    editors = sorted({*old.editors, actor.user.pk})
    frozen = _frozen(actor, pipeline, old.document)
    return _add_version(actor, draft, frozen, makers.going_back_to(number), editors, reason)


def version_of(pipeline: Pipeline, number: int) -> PipelineVersion:
    """Return a published version by its number; NotFound when there is none."""
    version = pipeline.versions.filter(number=number).first() if 0 < number < 2**31 else None
    if version is None:
        raise NotFound
    return version


def compare(older: Json, newer: Json) -> list[Json]:
    """Return what changed between two documents of a pipeline, in words, as JSON."""
    return [change.as_json() for change in diff.changes(older, newer)]


def locked(pipeline: Pipeline) -> Draft:
    """Return the draft with its pipeline, both as they are now; raise Conflict `archived`.

    Nobody changes the draft or what new runs get until this transaction ends. Locks the draft, then the pipeline.
    """
    draft = Draft.objects.select_for_update().get(pipeline=pipeline)
    draft.pipeline = held(pipeline)
    return _in_use(draft)


def held(pipeline: Pipeline) -> Pipeline:
    """Return the pipeline as it is now; nobody else changes what new runs get until this transaction ends.

    Runs begin meanwhile. Who locks the draft as well does so first (`locked`).
    """
    rows = Pipeline.objects.select_for_update(of=("self",), no_key=True)
    return rows.select_related("workspace", "published").get(pk=pipeline.pk)


def _locked(pipeline: Pipeline) -> Draft:
    rows = Draft.objects.select_for_update(of=("self",)).select_related("pipeline__workspace")
    return _in_use(rows.get(pipeline=pipeline))


def _in_use(draft: Draft) -> Draft:
    if draft.pipeline.archived_at is not None:
        raise Conflict(f"{draft.pipeline.name} is archived. Restore it before you publish it.", code="archived")
    return draft


def _frozen(actor: Actor, pipeline: Pipeline, raw: Json, *, judged: bool = False) -> _Frozen:
    """Return hash and lock of a document that has no errors; Invalid `not_publishable` otherwise, Forbidden where it
    starts a pipeline that is kept from the actor."""
    document = parsed_or_invalid(raw)
    library = library_of(actor, document)
    found = [] if judged else validate.problems(document, library)
    errors = [problem for problem in found if problem.severity == "error"]
    if errors:
        raise _not_publishable(pipeline, errors, found)
    lock = freeze.lock(document, library)
    for called in lock.pipelines.values():
        require_share(actor, Share.RUN, called.pipeline, called.name)
    return _Frozen(freeze.content_hash(raw), raw, lock.as_json())


def _not_publishable(pipeline: Pipeline, errors: list[Problem], found: list[Problem]) -> Invalid:
    first = errors[0]
    more = f" There is more: {len(errors) - 1}." if len(errors) > 1 else ""
    return Invalid(
        f"{pipeline.name} cannot be published yet: {first.message.rstrip('.')}.{more} Solve the errors first.",
        code="not_publishable",
        where=first.where,
        problems=[problem.as_json() for problem in found],
    )


def _add_version(
    actor: Actor, draft: Draft, frozen: _Frozen, note: str, editors: list[uuid.UUID], reason: str
) -> PipelineVersion:
    pipeline = draft.pipeline
    allowed = raising.allow(actor, pipeline, reason, frozen.document)
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
        {"version": version.number, "hash": version.hash},  # the note is content, and stays at the version
    )
    raising.record(actor, pipeline, allowed, version.number)
    return version
