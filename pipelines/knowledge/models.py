"""The rows of knowledge: collections, the documents in them, and the passages that are searched."""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.db import models
from django.db.models.functions import Length

from accounts.ids import new_id
from accounts.models import Workspace


class Collection(models.Model):
    """Documents that are searched together; a pipeline names it by its slug."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE)
    slug = models.CharField(max_length=63)
    name = models.CharField(max_length=120)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "slug"], name="one_collection_per_slug")]

    def __str__(self) -> str:
        return self.name


class Document(models.Model):
    """One text of a collection. Another text under its name takes its place."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="documents")
    name = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64, help_text="hex digits over the text as it was given, in UTF-8")
    media_type = models.CharField(max_length=64)
    text = models.TextField(help_text="what is searched: of HTML, the words without the markup")
    characters = models.GeneratedField(
        expression=Length("text"), output_field=models.PositiveIntegerField(), db_persist=True
    )
    added_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["collection", "name"], name="one_document_per_name")]

    def __str__(self) -> str:
        return self.name


class Passage(models.Model):
    """A part of a document. `search` holds its words as written (`simple`) and their English stems (`english`)."""

    id = models.BigAutoField(primary_key=True)
    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="passages")
    n = models.PositiveIntegerField()
    text = models.TextField()
    place = models.CharField(max_length=40, help_text="where it stands: lines 4–9, or §3")
    search = models.GeneratedField(
        expression=SearchVector("text", config="simple") + SearchVector("text", config="english"),
        output_field=SearchVectorField(),
        db_persist=True,
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["document", "n"], name="one_passage_per_number")]
        indexes = [GinIndex(fields=["search"], name="passages_by_word")]
