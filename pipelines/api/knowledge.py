"""Routes of knowledge: collections, their documents, and a search over one of them."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema, Status
from pydantic import Field

from accounts.access import get
from accounts.paging import page
from accounts.schemas import Body
from pipelines.api.caller import caller
from pipelines.api.shapes import Page
from pipelines.knowledge import collections, search
from pipelines.knowledge.models import Collection, Document

router = Router(tags=["knowledge"])


class CollectionIn(Body):
    slug: str = Field(description="what pipelines call it by")
    name: str = ""


class CollectionOut(Schema):
    slug: str
    name: str
    documents: int
    passages: int
    characters: int
    created_at: datetime


class DocumentIn(Body):
    name: str = Field(description="its ending says how it is read: .txt, .md, .csv or .html")
    text: str


class DocumentOut(Schema):
    id: str
    name: str
    media_type: str
    sha256: str = Field(description="of the text as it was given")
    characters: int
    passages: int
    added_at: datetime


class DocumentDetail(DocumentOut):
    text: str


class PassageOut(Schema):
    text: str
    document: str
    place: str = Field(description="where it stands: lines 4–9, or §3")
    score: float = Field(description="between 0 and 1; compares passages of one search")


class FoundOut(Schema):
    passages: list[PassageOut]


@router.get("/knowledge", response=Page[CollectionOut], summary="List the collections of documents")
def list_collections(request: HttpRequest, cursor: str | None = None, limit: int | None = None) -> Any:
    return page(collections.listed(caller(request)), cursor, limit, "slug", _collection)


@router.post("/knowledge", response={201: CollectionOut}, summary="Create a collection")
def create_collection(request: HttpRequest, body: CollectionIn) -> Status[Any]:
    actor = caller(request)
    made = collections.create(actor, body.slug, body.name)
    return Status(201, _collection(collections.listed(actor).get(pk=made.pk)))


@router.get("/knowledge/{slug}", response=CollectionOut, summary="Read a collection")
def read_collection(request: HttpRequest, slug: str) -> Any:
    actor = caller(request)
    return _collection(get(collections.listed(actor), actor, slug=slug))


@router.delete("/knowledge/{slug}", response={204: None}, summary="Remove a collection with its documents")
def remove_collection(request: HttpRequest, slug: str) -> Status[None]:
    actor = caller(request)
    collections.remove(actor, get(Collection, actor, slug=slug))
    return Status(204, None)


@router.get("/knowledge/{slug}/documents", response=Page[DocumentOut], summary="List a collection's documents")
def list_documents(request: HttpRequest, slug: str, cursor: str | None = None, limit: int | None = None) -> Any:
    collection = get(Collection, caller(request), slug=slug)
    return page(collections.documents_of(collection), cursor, limit, "name", _document)


@router.post(
    "/knowledge/{slug}/documents", response={201: DocumentOut}, summary="Add a document, instead of one of its name"
)
def add_document(request: HttpRequest, slug: str, body: DocumentIn) -> Status[Any]:
    actor = caller(request)
    collection = get(Collection, actor, slug=slug)
    made = collections.add(actor, collection, body.name, body.text)
    return Status(201, _document(collections.documents_of(collection).get(pk=made.pk)))


@router.get("/knowledge/{slug}/documents/{document_id}", response=DocumentDetail, summary="Read a document's text")
def read_document(request: HttpRequest, slug: str, document_id: str) -> Any:
    collection = get(Collection, caller(request), slug=slug)
    found = get(collections.documents_of(collection), caller(request), through="collection__workspace", pk=document_id)
    return {**_document(found), "text": found.text}


@router.delete("/knowledge/{slug}/documents/{document_id}", response={204: None}, summary="Remove a document")
def remove_document(request: HttpRequest, slug: str, document_id: str) -> Status[None]:
    actor = caller(request)
    rows = Document.objects.filter(collection__slug=slug).select_related("collection")
    collections.remove_document(actor, get(rows, actor, through="collection__workspace", pk=document_id))
    return Status(204, None)


@router.get("/knowledge/{slug}/search", response=FoundOut, summary="Find the passages that answer a question best")
def search_collection(request: HttpRequest, slug: str, q: str, limit: int = search.USUAL) -> Any:
    actor = caller(request)
    collection = get(Collection, actor, slug=slug)
    return {"passages": [one.as_json() for one in search.find(actor.workspace.pk, collection.slug, q, limit)]}


def _collection(row: Any) -> dict[str, Any]:
    return {
        "slug": row.slug,
        "name": row.name,
        "documents": row.size,
        "passages": row.passages,
        "characters": row.characters,
        "created_at": row.created_at,
    }


def _document(row: Any) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "name": row.name,
        "media_type": row.media_type,
        "sha256": row.sha256,
        "characters": row.characters,
        "passages": row.parts,
        "added_at": row.added_at,
    }
