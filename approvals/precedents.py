"""What a call differs in: from what was asked before somebody edited it, and from the last approved one like it.

Alike are calls of the same tool, whatever its version, by the same step of the same pipeline.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from accounts.access import Actor
from approvals.models import Approval
from approvals.questions import readable, tool_of
from pipelines.canvas import spoken
from pipelines.graph.canonical import canonical_json
from pipelines.graph.model import Json
from pipelines.wording import Piece, abridged

_NUMBERS = re.compile(r"\[[^\]]*\]|[#~>@]\d+")
_LOOKED_AT = 50
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One argument that differs. `before` or `after` is None where it is not there, and the flags then say so."""

    name: str
    before: Json
    after: Json
    is_new: bool = False
    is_gone: bool = False

    @property
    def label(self) -> str:
        """The argument's name as people read it."""
        return spoken(self.name) if self.name else "All of it"

    @property
    def pieces(self) -> Sequence[Piece]:
        """The newer value with the words that came and went."""
        return abridged("" if self.is_new else _text(self.before), "" if self.is_gone else _text(self.after))


@dataclass(frozen=True, slots=True)
class Precedent:
    """The last approved call like this one, and in which arguments this one differs; none: it is the same again."""

    approval: Approval
    changes: Sequence[Change]


def edits(approval: Approval) -> list[Change]:
    """Return what a person changed of what was asked; empty where nobody edited it."""
    return [] if approval.asked is None else changes(_args(approval.asked), _args(approval.payload))


def precedent(actor: Actor, approval: Approval) -> Precedent | None:
    """Return the last approved call like this one, by the time of its approval, whose content is there. One query."""
    tool = tool_of(approval)
    if tool is None or approval.run.content_removed_at is not None:
        return None
    name, place = tool.partition("@")[0], steps(approval.path)
    rows = readable(actor).filter(pipeline=approval.pipeline_id, state=Approval.State.APPROVED)
    rows = rows.filter(run__content_removed_at=None, action__tool__startswith=f"{name}@").exclude(pk=approval.pk)
    if approval.decided_at:
        rows = rows.filter(decided_at__lt=approval.decided_at)
    for last in rows.select_related("run").order_by("-decided_at")[:_LOOKED_AT]:
        if steps(last.path) == place:
            return Precedent(last, changes(_args(last.payload), _args(approval.payload)))
    return None


def changes(before: Json, after: Json) -> list[Change]:
    """Return the top-level arguments that differ, those of `after` first, in their order."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return [] if canonical_json(before) == canonical_json(after) else [Change("", before, after)]
    found = [_change(name, before.get(name, _MISSING), value) for name, value in after.items()]
    gone = [Change(name, value, None, is_gone=True) for name, value in before.items() if name not in after]
    return [one for one in found if one] + gone


def steps(path: str) -> str:
    """Return a path without what tells apart its items, rounds, turns and attempts."""
    return _NUMBERS.sub("", path)


def _change(name: str, before: Json | object, after: Json) -> Change | None:
    if before is _MISSING:
        return Change(name, None, after, is_new=True)
    return None if canonical_json(before) == canonical_json(after) else Change(name, before, after)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _args(payload: Json) -> Json:
    return payload.get("args", payload) if isinstance(payload, dict) else payload
