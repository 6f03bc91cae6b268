"""Whether a draft says something else than the version that is published."""

from collections.abc import Iterable
from uuid import UUID

from django.db.models import BooleanField, Expression, F, Func, JSONField, TextField, Value
from django.db.models.functions import Cast

from pipelines.models import Draft, Pipeline


def ahead(pipelines: Iterable[Pipeline]) -> set[UUID]:
    """Return the ids of the published pipelines whose draft differs from what runs; moving boxes is no difference.

    One query; the database compares, so that no document travels.
    """
    drafts = Draft.objects.filter(pipeline__in=list(pipelines), pipeline__published__isnull=False)
    differs = Func(
        _meaning("document"),
        _meaning("pipeline__published__document"),
        template="(%(expressions)s)",
        arg_joiner=" IS DISTINCT FROM ",
        output_field=BooleanField(),
    )
    return set(drafts.filter(differs).values_list("pipeline_id", flat=True))


def _meaning(document: str) -> Expression:
    """Return a document without `ui`, as `freeze.content_hash` reads it."""
    boxes = Cast(Value("ui"), TextField())
    return Func(F(document), boxes, template="(%(expressions)s)", arg_joiner=" - ", output_field=JSONField())
