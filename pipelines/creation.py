"""New pipelines from what a person chose on a page: one per form, under a name that is free."""

import unicodedata
from collections.abc import Callable, Collection, Mapping
from uuid import UUID, uuid5

from django.db import transaction

from accounts.access import Actor, Capability, require, scoped
from accounts.models import Workspace
from pipelines import drafts, sharing
from pipelines.graph.model import Json
from pipelines.graph.parse import FORMAT
from pipelines.models import Pipeline

LONGEST_SLUG, LONGEST_NAME = 63, 200


def id_of(actor: Actor, form: str) -> UUID:
    """Return the id of what a person's form makes: the same form, sent again, names the same row."""
    return uuid5(actor.workspace.pk, f"{actor.user.pk}:{form}")


def lock(actor: Actor) -> None:
    """Let one page at a time make something in the workspace, until the transaction ends.

    Runs and everything else that only points at the workspace go on meanwhile.
    """
    Workspace.objects.select_for_update(no_key=True).get(pk=actor.workspace.pk)


@transaction.atomic
def once(actor: Actor, form: str, document: Callable[[], Json], like: Pipeline | None = None) -> Pipeline:
    """Return the pipeline that this form made, made from `document()` if this is the first time it is sent.

    A new one is kept for those who see `like`. Raises as `drafts.create`, Conflict `too_many_kept`. Locks the workspace
    against other pages that make something.
    """
    require(actor, Capability.EDIT)
    lock(actor)
    known = id_of(actor, form)
    if made := scoped(Pipeline, actor).filter(pk=known).first():
        return made  # which may have lists of its own by now
    made = drafts.create(actor, document(), known)
    if like:
        sharing.follow(actor, like, made)
    return made


def named(
    actor: Actor, document: Mapping[str, Json], slug: str, name: str, kept: Collection[str] = ()
) -> dict[str, Json]:
    """Return a copy of the document under this slug and name, or with the first number that makes them free.

    `kept` are slugs that are to be taken soon.
    """
    # A name is taken for everybody, also by what is kept from the actor.
    alike = Pipeline.objects.filter(workspace=actor.workspace, slug__startswith=slug[: LONGEST_SLUG - 6])
    taken = {*alike.values_list("slug", flat=True), *kept}
    number = 1
    while (free := _numbered(slug, number, "-", LONGEST_SLUG)) in taken:
        number += 1
    return {**document, "id": free, "name": _numbered(name, number, " ", LONGEST_NAME)}


def duplicate(actor: Actor, pipeline: Pipeline, form: str) -> Pipeline:
    """Return a new pipeline whose draft is a copy of this one's. Raises Forbidden, Conflict `too_many_kept`."""
    draft = pipeline.draft.document
    slug, name = f"copy-of-{pipeline.slug}", f"Copy of {pipeline.name}"
    return once(actor, form, lambda: named(actor, draft, slug, name), like=pipeline)


def blank(actor: Actor, name: str, form: str) -> Pipeline:
    """Return a new pipeline that gives back what it is given: Start and Result. Raises Forbidden."""
    said = " ".join(name.split()) or "New pipeline"
    return once(actor, form, lambda: named(actor, _blank(), _slug(said), said))


def _blank() -> dict[str, Json]:
    wish = {"type": "string", "minLength": 1, "maxLength": 4000, "title": "What do you want?"}
    return {
        "format": FORMAT,
        "format_version": "1.0",
        "inputs": {"type": "object", "required": ["wish"], "properties": {"wish": wish}},
        "budget": {"max_cost_usd": "1.00"},
        "graph": {
            "nodes": {
                "start": {"kind": "input", "title": "Start"},
                "result": {"kind": "output", "title": "Result", "value": "${input.wish}"},
            },
            "edges": [{"from": "start", "to": "result"}],
        },
    }


def _slug(name: str) -> str:
    """Return a name as a slug, which begins with a letter."""
    letters = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    plain = "".join(mark if mark.isalnum() else "-" for mark in letters)
    words = "-".join(part for part in plain.split("-") if part)[:50].strip("-")
    return words if words[:1].isalpha() else f"pipeline-{words}".strip("-")


def _numbered(text: str, number: int, mark: str, longest: int) -> str:
    ending = "" if number == 1 else f"{mark}{number}"
    return text[: longest - len(ending)].rstrip(" -") + ending
