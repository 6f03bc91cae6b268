"""The one editable document of each pipeline: nobody's change is lost, because each names the revision it saw."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import audit
from accounts.access import Actor, Capability, require
from accounts.errors import Conflict, Invalid, Refused
from accounts.ids import new_id
from pipelines import ops as changes
from pipelines import presence, readings, touching
from pipelines.graph import parse, validate
from pipelines.graph.model import Document, Json
from pipelines.graph.problems import Problem, Refusal
from pipelines.library.library import library_of
from pipelines.models import Draft, DraftEdit, Pipeline

MOST_BACK = 500  # edits that are looked through to merge a change or to draw what it changed


class TooLarge(Refused):
    code, status = "too_large", 413


class Collision(Conflict):
    """Somebody else changed the same part of the draft meanwhile."""

    code = "edited_meanwhile"


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of a draft as somebody asks for it.

    `revision` is the one they saw. With `merge` a change of a later one is accepted while nobody else has changed the
    same parts since. `own` names the edits of the same person since then that they saw too, by op_id. `undoes` is the
    revision that this takes back, `redoes` the undo that this takes back.
    """

    revision: int
    op_id: str
    ops: Sequence[changes.Op]
    merge: bool = False
    undoes: int | None = None
    redoes: int | None = None
    own: frozenset[str] = frozenset()


def create(actor: Actor, document: Json, pk: UUID | None = None) -> Pipeline:
    """Return a new pipeline whose draft is this document; its slug is the document's id. `pk` is its id where that is
    known beforehand.

    Raises Conflict `slug_taken`, Invalid with the parser's code and JSON path when it is no pipeline, Forbidden.
    """
    require(actor, Capability.EDIT)
    parsed = parsed_or_invalid(document)
    try:
        with transaction.atomic():
            pipeline = Pipeline.objects.create(
                pk=pk or new_id(),
                workspace=actor.workspace,
                slug=parsed.id,
                name=parsed.name,
                description=parsed.description,
                created_by=actor.user,
            )
            Draft.objects.create(pipeline=pipeline, document=document, revision=1, updated_by=actor.user)
            DraftEdit.objects.create(pipeline=pipeline, revision=1, op_id=f"create-{new_id()}", ops={}, by=actor.user)
            audit.record(actor.workspace, actor.user, "pipeline.created", parsed.id)
    except IntegrityError:
        raise Conflict(
            f"There is already a pipeline {parsed.id!r} in this workspace, perhaps archived. Choose another id.",
            code="slug_taken",
            where="/id",
        ) from None
    return pipeline


def save(actor: Actor, pipeline: Pipeline, document: Json, revision: int) -> Draft:
    """Replace the draft by this document if `revision` is still the newest; return the draft.

    Raises Conflict `stale_revision` or `archived`, Invalid when the document is no pipeline or changes its id.
    """
    if not isinstance(document, dict):
        parsed_or_invalid(document)
    return apply_ops(actor, pipeline, revision, f"save-{new_id()}", [{"op": "replace", "document": document}])


def apply_ops(actor: Actor, pipeline: Pipeline, revision: int, op_id: str, ops: Sequence[changes.Op]) -> Draft:
    """Apply some ops (`pipelines.ops`) to the draft if `revision` is still the newest; return the draft."""
    return change(actor, pipeline, Edit(revision, op_id, ops))


@transaction.atomic
def change(actor: Actor, pipeline: Pipeline, edit: Edit) -> Draft:
    """Apply one edit to the draft and return it.

    The same `op_id` again changes nothing and returns the draft as it is. Raises Conflict `stale_revision` or
    `archived`, Collision, Invalid `bad_op` or the parser's refusal of the result, Forbidden. Locks the draft.
    """
    require(actor, Capability.EDIT, pipeline)
    draft = Draft.objects.select_for_update(of=("self",)).select_related("pipeline").get(pipeline=pipeline)
    if DraftEdit.objects.filter(pipeline=pipeline, op_id=edit.op_id).exists():
        return draft
    _require_editable(actor, draft, edit)
    document, inverse = changes.apply(draft.document, edit.ops)
    parsed = parsed_or_invalid(document)
    if parsed.id != pipeline.slug:
        raise Invalid(
            f"This pipeline's id is {pipeline.slug!r} and stays so. Create another pipeline for {parsed.id!r}.",
            code="id_changed",
            where="/id",
        )
    _write(actor, draft, document, parsed)
    DraftEdit.objects.create(
        pipeline=pipeline,
        revision=draft.revision,
        op_id=edit.op_id,
        ops={"ops": list(edit.ops), "inverse": inverse},
        by=actor.user,
        undoes=edit.undoes,
        redoes=edit.redoes,
    )
    transaction.on_commit(partial(presence.ring, draft.pipeline_id, draft.revision))
    if not changes.is_cosmetic(edit.ops):
        audit.record(actor.workspace, actor.user, "draft.edited", pipeline.slug, {"revision": draft.revision})
    return draft


def document_at(draft: Draft, revision: int) -> Json:
    """Return the draft's document as it was at an earlier revision; the present one when that is too long ago."""
    document = draft.document
    if revision < 1 or not 0 < draft.revision - revision <= MOST_BACK:
        return document
    edits = DraftEdit.objects.filter(pipeline=draft.pipeline_id, revision__gt=revision, revision__lte=draft.revision)
    for edit in edits.order_by("-revision"):
        document, _ = changes.apply(document, edit.ops["inverse"])
    return document


def problems(actor: Actor, pipeline: Pipeline) -> list[Problem]:
    """Return everything that publishing would complain about to this person in the draft, errors and warnings."""
    return problems_of(actor, pipeline.draft)


def problems_of(actor: Actor, draft: Draft) -> list[Problem]:
    """As `problems`, for a draft already at hand. A draft that no longer parses has its refusal as only problem."""
    try:
        document = readings.parsed(draft.document)
    except Refusal as refusal:
        return [Problem(refusal.code, "error", refusal.where or "", None, refusal.message)]
    return validate.problems(document, library_of(actor, document))


def archive(actor: Actor, pipeline: Pipeline) -> None:
    """Take a pipeline off the lists; its runs, versions and name stay. Archiving again changes nothing."""
    require(actor, Capability.EDIT, pipeline)
    with transaction.atomic():
        if Pipeline.objects.filter(pk=pipeline.pk, archived_at=None).update(archived_at=timezone.now()):
            audit.record(actor.workspace, actor.user, "pipeline.archived", pipeline.slug)


def restore(actor: Actor, pipeline: Pipeline) -> None:
    """Bring an archived pipeline back. Restoring again changes nothing."""
    require(actor, Capability.EDIT, pipeline)
    with transaction.atomic():
        if Pipeline.objects.filter(pk=pipeline.pk).exclude(archived_at=None).update(archived_at=None):
            audit.record(actor.workspace, actor.user, "pipeline.restored", pipeline.slug)


def parsed_or_invalid(document: Json) -> Document:
    """Return the parsed document; raise Invalid (or TooLarge) with the refusal's code and JSON path."""
    try:
        return parse.parse(document)
    except Refusal as refusal:
        kind = TooLarge if refusal.code == TooLarge.code else Invalid
        raise kind(refusal.message, code=refusal.code, where=refusal.where) from None


def _require_editable(actor: Actor, draft: Draft, edit: Edit) -> None:
    if draft.pipeline.archived_at is not None:
        raise Conflict(f"{draft.pipeline.name} is archived. Restore it before you change it.", code="archived")
    if draft.revision == edit.revision:
        return
    since = DraftEdit.objects.filter(pipeline=draft.pipeline_id, revision__gt=edit.revision).select_related("by")
    if not edit.merge or edit.revision < 1 or not 0 < draft.revision - edit.revision <= MOST_BACK:
        raise Conflict(
            f"Somebody changed this pipeline meanwhile: you changed revision {edit.revision}, it is now at "
            f"{draft.revision}. Load it again and repeat your change.",
            code="stale_revision",
            revision=draft.revision,
        )
    ours = touching.parts(edit.ops)
    for other in since.exclude(by=actor.user, op_id__in=edit.own).order_by("revision"):
        if part := touching.collide(ours, touching.parts(other.ops["ops"])):
            raise Collision(
                f"{other.by or 'Somebody'} changed {touching.named(part)} meanwhile, so your change of it was not "
                f"saved. Look at it as it is now and repeat your change.",
                revision=draft.revision,
            )


def _write(actor: Actor, draft: Draft, document: Json, parsed: Document) -> None:
    draft.document = document
    draft.revision += 1
    draft.updated_by = actor.user
    draft.save(update_fields=["document", "revision", "updated_by", "updated_at"])
    Pipeline.objects.filter(pk=draft.pipeline_id).update(name=parsed.name, description=parsed.description)
