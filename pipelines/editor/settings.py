"""The form of a pipeline itself: what it is called, what a run may cost, who answers for what cannot be undone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accounts.access import Actor, Capability, require
from pipelines import drafts
from pipelines.editor import forms
from pipelines.editor.forms import Input
from pipelines.editor.sections import LABELS
from pipelines.graph.composite import Record
from pipelines.graph.kinds import DOCUMENT
from pipelines.graph.model import Json
from pipelines.models import Draft, DraftEdit

Posted = Mapping[str, Sequence[str]]
FIRST = ("name", "description", "budget", "approvals")
MORE = ("defaults", "limits", "pause_before", "board")
_LABELS: Mapping[str, str] = {
    **LABELS,
    "name": "Name",
    "description": "What it is for",
    "budget": "What a run may cost",
    "approvals": "Approvals",
    "irreversible": "What cannot be undone, where no Person step asks",
    "defaults": "For every step that says nothing else",
    "limits": "Limits",
    "pause_before": "Pause before these steps",
    "board": "First values of the board",
}
_RECORD = Record({name: DOCUMENT[name] for name in (*FIRST, *MORE)})


@dataclass(frozen=True, slots=True)
class Settings:
    first: Sequence[Input]
    more: Sequence[Input]


def settings_of(draft: Draft) -> Settings:
    """Return the form of a draft's own fields."""
    return Settings(
        forms.shown(_RECORD, FIRST, draft.document, _LABELS), forms.shown(_RECORD, MORE, draft.document, _LABELS)
    )


def save(actor: Actor, draft: Draft, posted: Posted, base: int, op_id: str) -> Draft:
    """Write the fields that were changed in the form into the draft; return the draft. Raises as `drafts.change`.

    The form was made of revision `base`; what it has saved since then, without being made anew, it names itself in
    `own`. A field that it holds as it saw it is left alone: somebody may have changed it meanwhile.
    """
    require(actor, Capability.EDIT, draft.pipeline)
    own = frozenset((posted.get("own") or ("",))[-1].split()[-drafts.MOST_BACK :])
    old, now = _fields(_seen(actor, draft, base, own)), _fields(draft.document)
    new = forms.read(_RECORD, old, posted)
    touched = (name for name in _RECORD.fields if new.get(name) != old.get(name))
    changed: dict[str, Any] = {name: new.get(name) for name in touched if new.get(name) != now.get(name)}
    if not changed:
        return draft
    op = {"op": "set_document", "fields": changed}
    return drafts.change(actor, draft.pipeline, drafts.Edit(base, op_id, [op], merge=True, own=own))


def differ(one: Json, other: Json) -> bool:
    """Tell whether two documents have different fields of their own."""
    return _fields(one) != _fields(other)


def _fields(document: Json) -> dict[str, Json]:
    return {name: document[name] for name in _RECORD.fields if name in document}


def _seen(actor: Actor, draft: Draft, base: int, own: frozenset[str]) -> Json:
    """Return the document as the form knows it: as it was when the form was made, with what the form has saved."""
    seen = dict(drafts.document_at(draft, base))
    edits = DraftEdit.objects.filter(pipeline=draft.pipeline_id, revision__gt=base, by=actor.user, op_id__in=own)
    for edit in edits.order_by("revision"):
        for op in edit.ops["ops"]:
            seen |= op["fields"] if op["op"] == "set_document" else {}
    return {name: value for name, value in seen.items() if value is not None}
