"""Collections and their documents: made, filled and removed by those who edit, with a trace in the audit log."""

import hashlib
from typing import Any

import re2
from django.db import IntegrityError, transaction
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from accounts import audit, json_body, scanner
from accounts.access import Actor, Capability, require, scoped
from accounts.errors import Conflict, Invalid
from pipelines.knowledge import texts
from pipelines.knowledge.models import Collection, Document, Passage
from pipelines.knowledge.passages import cut

MOST_COLLECTIONS = 200
MOST_DOCUMENTS = 500
MOST_CHARACTERS = 10_000_000
LONGEST_NAME = 200
_SLUG = re2.compile(r"^[a-z][a-z0-9-]{0,62}$")


def listed(actor: Actor) -> QuerySet[Collection]:
    """Return the workspace's collections, each with `size` documents, `passages` and `characters`."""
    documents = Document.objects.filter(collection=OuterRef("pk")).values("collection")
    passages = Passage.objects.filter(document__collection=OuterRef("pk")).values("document__collection")
    return scoped(Collection, actor).annotate(
        size=_figure(documents.annotate(figure=Count("pk")).values("figure")),
        characters=_figure(documents.annotate(figure=Sum("characters")).values("figure")),
        passages=_figure(passages.annotate(figure=Count("pk")).values("figure")),
    )


def documents_of(collection: Collection) -> QuerySet[Document]:
    """Return a collection's documents without their text, each with its number of `parts`."""
    return collection.documents.defer("text").annotate(parts=Count("passages"))


def create(actor: Actor, slug: str, name: str = "") -> Collection:
    """Return a new collection; Conflict `name_taken`, Invalid for a slug that cannot be, Forbidden."""
    require(actor, Capability.EDIT)
    if not _SLUG.match(slug):
        raise Invalid(
            f"{slug[:80]!r} cannot name a collection. Use lower-case letters, digits and hyphens, a letter first.",
            where="/slug",
        )
    name = name.strip() or slug
    json_body.check({"name": name})
    if len(name) > 120:
        raise Invalid("The name has more than 120 characters. Choose a shorter one.", where="/name")
    try:
        with transaction.atomic():
            if scoped(Collection, actor).count() >= MOST_COLLECTIONS:
                raise _full(f"The workspace has {MOST_COLLECTIONS} collections, the most there can be. Remove one.")
            made = Collection.objects.create(workspace=actor.workspace, slug=slug, name=name)
            audit.record(actor.workspace, actor.user, "collection.created", slug)
    except IntegrityError:
        raise Conflict(
            f"There is already a collection named {slug!r}. Add to that one, or choose another name.",
            code="name_taken",
            where="/slug",
        ) from None
    return made


@transaction.atomic
def remove(actor: Actor, collection: Collection) -> None:
    """Delete a collection with its documents; steps that search it fail with a named error from then on."""
    require(actor, Capability.EDIT)
    collection.delete()
    audit.record(actor.workspace, actor.user, "collection.removed", collection.slug)


def add(actor: Actor, collection: Collection, name: str, text: str) -> Document:
    """Return the document of this name with this text, cut into passages; another text under the name is replaced.

    The same name and text change nothing. Raise Invalid as `texts`, or with `collection_full`; Forbidden; as
    `scanner.check`.
    """
    require(actor, Capability.EDIT)
    kind = texts.media_type(name := _checked_name(name))
    scanner.check_text(actor, f"{collection.slug}/{name}", text)
    if (words := texts.readable(text, kind)) != text:  # what is kept of a page had other letters in it
        scanner.check_text(actor, f"{collection.slug}/{name}", words)
    return add_own(actor, collection, name, text)


def add_own(actor: Actor, collection: Collection, name: str, text: str) -> Document:
    """As `add`, of a file that comes with Baton: nobody needs to look at it."""
    require(actor, Capability.EDIT)
    name = _checked_name(name)
    kind = texts.media_type(name)
    words, digest = texts.readable(text, kind), hashlib.sha256(text.encode()).hexdigest()
    with transaction.atomic():
        Collection.objects.select_for_update().get(pk=collection.pk)
        before = collection.documents.filter(name=name).first()
        if before is not None and before.sha256 == digest:
            return before
        _check_room(collection, name, len(words))
        document = before or Document(collection=collection, name=name)
        document.sha256, document.media_type, document.text = digest, kind, words
        document.save()
        document.passages.all().delete()
        _keep_passages(document)
        what = "document.added" if before is None else "document.replaced"
        target = f"{collection.slug}/{name}"
        audit.record(actor.workspace, actor.user, what, target, {"sha256": digest, "characters": len(words)})
    document.refresh_from_db()
    return document


@transaction.atomic
def remove_document(actor: Actor, document: Document) -> None:
    """Delete a document and its passages; Forbidden."""
    require(actor, Capability.EDIT)
    document.delete()
    target = f"{document.collection.slug}/{document.name}"
    audit.record(actor.workspace, actor.user, "document.removed", target, {"sha256": document.sha256})


def _checked_name(name: str) -> str:
    name = name.strip()
    json_body.check({"name": name})
    if not 1 <= len(name) <= LONGEST_NAME:
        raise Invalid(f"A document's name has 1 to {LONGEST_NAME} characters.", where="/name")
    return name


def _check_room(collection: Collection, name: str, characters: int) -> None:
    others = collection.documents.exclude(name=name).aggregate(size=Count("pk"), sum=Sum("characters"))
    if others["size"] >= MOST_DOCUMENTS:
        raise _full(f"{collection.slug} has {MOST_DOCUMENTS} documents, the most there can be. Remove one first.")
    if (others["sum"] or 0) + characters > MOST_CHARACTERS:
        raise _full(f"{collection.slug} would have more than {MOST_CHARACTERS:,} characters. Remove a document first.")


def _full(message: str) -> Invalid:
    return Invalid(message, code="collection_full")


def _keep_passages(document: Document) -> None:
    found = cut(document.text, by_paragraph=document.media_type == texts.HTML)
    rows = (Passage(document=document, n=n, text=one.text, place=one.place) for n, one in enumerate(found, 1))
    Passage.objects.bulk_create(rows, batch_size=500)


def _figure(rows: QuerySet[Any, Any]) -> Coalesce:
    return Coalesce(Subquery(rows, output_field=IntegerField()), 0)
