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
from pipelines.models import Draft

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


def save(actor: Actor, draft: Draft, posted: Mapping[str, Sequence[str]], rev: int, op_id: str) -> Draft:
    """Write what was posted into the draft's own fields; return the draft. Raises as `drafts.change`."""
    require(actor, Capability.EDIT, draft.pipeline)
    old = {name: draft.document[name] for name in _RECORD.fields if name in draft.document}
    new = forms.read(_RECORD, old, posted)
    changed: dict[str, Any] = {name: new.get(name) for name in _RECORD.fields if new.get(name) != old.get(name)}
    if not changed:
        return draft
    op = {"op": "set_document", "fields": changed}
    return drafts.change(actor, draft.pipeline, drafts.Edit(rev, op_id, [op], merge=True))
