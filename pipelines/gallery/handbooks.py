"""The sample collections that templates search: made once in a workspace, and left alone from then on."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from accounts.access import Actor, scoped
from pipelines.graph.model import Json
from pipelines.knowledge import collections
from pipelines.knowledge.models import Collection

SEARCH = "knowledge.search@1"
_FOLDER = Path(__file__).parent / "handbooks"
_THERE = frozenset(folder.name for folder in _FOLDER.iterdir())


def bring(actor: Actor, document: Mapping[str, Json]) -> None:
    """Make the collections that this document's steps search, where the workspace has none of that name.

    One that is there is what people made of it. No query for a document that searches nothing.
    """
    wanted = _THERE.intersection(_searched(document))
    if not wanted:
        return
    there = scoped(Collection, actor).filter(slug__in=wanted).values_list("slug", flat=True)
    for slug in sorted(wanted.difference(there)):
        made = collections.create(actor, slug, slug.replace("-", " ").capitalize())
        for file in sorted((_FOLDER / slug).iterdir()):
            collections.add_own(actor, made, file.name, file.read_text(encoding="utf-8"))


def _searched(value: Json) -> Iterator[str]:
    """Yield the collections that steps name in so many words."""
    if isinstance(value, list):
        for item in value:
            yield from _searched(item)
    elif isinstance(value, Mapping):
        named = value["args"].get("collection") if value.get("tool") == SEARCH else None
        if isinstance(named, str):
            yield named
        for item in value.values():
            yield from _searched(item)
