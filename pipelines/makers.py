"""Who made what a draft says: whoever did approves nothing that it does."""

import re
from collections.abc import Iterator
from uuid import UUID

from django.db.models import Min, QuerySet

from accounts.ids import new_id
from pipelines.models import Draft, DraftEdit, PipelineVersion

_FROM_VERSION = re.compile(r"version-([0-9]{1,9})-")
_BACK_TO = "Back to version "


def taking_from(number: int) -> str:
    """Return the op id of an edit that puts version `number` into the draft."""
    return f"version-{number}-{new_id()}"


def going_back_to(number: int) -> str:
    """Return the note of a version that is version `number` again."""
    return f"{_BACK_TO}{number}"


def editors_of(draft: Draft) -> list[UUID]:
    """Return who edited the draft since what was newest published, each once.

    Nobody since: then it says what that version says, and its editors stay its editors. What was taken from a version
    or brought back by an undo is still of those who made it.
    """
    found: set[UUID] = set()
    wanted, seen = [draft.revision], set[int]()
    while wanted:
        revision = wanted.pop()
        if revision not in seen:
            seen.add(revision)
            editors, before = _editors_at(draft, revision)
            found |= editors
            wanted += before
    return sorted(found)


def _editors_at(draft: Draft, revision: int) -> tuple[set[UUID], list[int]]:
    """Return who made what the draft said at a revision, and the earlier revisions of which it had something back."""
    published = PipelineVersion.objects.filter(pipeline=draft.pipeline_id, number__isnull=False)
    newest = published.filter(revision__lte=revision).order_by("-number").defer("document", "lock").first()
    since = _since(published, newest) if newest else 0
    rows = DraftEdit.objects.filter(pipeline=draft.pipeline_id, revision__gt=since, revision__lte=revision)
    edits = list(rows.defer("ops"))
    found = {edit.by_id for edit in edits if edit.by_id is not None}
    for taken in published.filter(number__in=_taken(edits)).only("editors"):
        found.update(taken.editors)
    reverted = [edit.undoes or edit.redoes or 0 for edit in edits]
    before = [number - 1 for number in reverted if 0 < number <= since]
    return found or set(newest.editors if newest else ()), before


def _since(published: QuerySet[PipelineVersion], newest: PipelineVersion) -> int:
    """Return the draft's revision that says what the newest version says.

    One that was gone back to was not made from the draft of its time, but is an older one again.
    """
    if not newest.note.startswith(_BACK_TO):
        return newest.revision
    first = published.filter(hash=newest.hash).aggregate(first=Min("revision"))["first"]
    return newest.revision if first is None else int(first)


def _taken(edits: list[DraftEdit]) -> Iterator[int]:
    for edit in edits:
        if found := _FROM_VERSION.match(edit.op_id):
            yield int(found[1])
