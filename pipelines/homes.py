"""Homes: pipelines that nobody edits, under which versions are kept that Baton wrote itself."""

from django.db.models import QuerySet
from django.utils import timezone

from accounts.access import Actor
from pipelines.graph.canonical import digest
from pipelines.graph.model import Json
from pipelines.models import Draft, Pipeline

AGENTS, JUDGES, STEPS = "TEST-", "JUDGE-", "STEP-"
"""Whose tests or questions a home keeps. No pipeline of a person can have a capital letter in its name."""
_LONGEST = 63


def of_people(rows: "QuerySet[Pipeline]") -> "QuerySet[Pipeline]":
    """Return these pipelines without homes."""
    return rows.exclude(slug__regex="[A-Z]")


def slug_of(kind: str, name: str) -> str:
    """Return the slug of the home of what has this name."""
    return f"{kind}{name if len(kind + name) <= _LONGEST else digest(name)[-40:]}"


def beside(pipeline: Pipeline) -> list[str]:
    """Return the slugs of the homes, where there are any, that hold what a pipeline says."""
    return [slug_of(kind, pipeline.slug) for kind in (JUDGES, STEPS)]


def opened(actor: Actor, slug: str, name: str, first: Json) -> tuple[Pipeline, bool]:
    """Return a home, and whether it is new: then with this draft, and archived, so that nobody runs or edits it."""
    found, is_new = Pipeline.objects.get_or_create(
        workspace=actor.workspace,
        slug=slug,
        defaults={"name": name[:200], "archived_at": timezone.now(), "created_by": actor.user},
    )
    if is_new:
        Draft.objects.create(pipeline=found, document=first, updated_by=actor.user)
    return found, is_new
