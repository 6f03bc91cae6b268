"""Undo and redo: each person's own, kept by the server, so that they survive a reload.

The edits of a person in their order are a stack: an ordinary edit is pushed (and ends what could be redone), an undo
takes one off, a redo puts it back. An undo is itself an edit, made of the inverse ops, and judged like any other.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from accounts.access import Actor, Capability, require
from accounts.errors import Conflict
from pipelines import drafts, touching
from pipelines.models import Draft, DraftEdit, Pipeline

DEPTH = 200


@dataclass
class _Stack:
    done: list[DraftEdit] = field(default_factory=list)
    undone: list[DraftEdit] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class History:
    """What a person can take back or do again; each is the edit that would be reversed."""

    undo: DraftEdit | None
    redo: DraftEdit | None


def of(actor: Actor, pipeline: Pipeline) -> History:
    """Return what the person can undo and redo in this draft. One query."""
    mine = DraftEdit.objects.filter(pipeline=pipeline, by=actor.user).order_by("-revision")[:DEPTH]
    stack = _stack(reversed(mine))
    return History(stack.done[-1] if stack.done else None, stack.undone[-1] if stack.undone else None)


def undo(actor: Actor, pipeline: Pipeline, op_id: str) -> Draft:
    """Take the person's newest edit back; return the draft. Raises Conflict `nothing_to_undo`, Collision, Forbidden."""
    require(actor, Capability.EDIT, pipeline)
    last = of(actor, pipeline).undo
    if last is None:
        raise Conflict("There is nothing of yours to undo in this pipeline.", code="nothing_to_undo")
    return _reverse(actor, pipeline, last, drafts.Edit(0, op_id, last.ops["inverse"], undoes=last.revision))


def redo(actor: Actor, pipeline: Pipeline, op_id: str) -> Draft:
    """Do again what the person undid last; return the draft. Raises Conflict `nothing_to_redo`, Collision."""
    require(actor, Capability.EDIT, pipeline)
    last = of(actor, pipeline).redo
    if last is None:
        raise Conflict("There is nothing of yours to do again in this pipeline.", code="nothing_to_redo")
    return _reverse(actor, pipeline, last, drafts.Edit(0, op_id, last.ops["inverse"], redoes=last.revision))


def _stack(edits: Iterable[DraftEdit]) -> _Stack:
    stack = _Stack()
    for edit in edits:
        # Two windows may have asked for the same at once: the second took back nothing more.
        if edit.undoes is not None:
            if stack.done and stack.done[-1].revision == edit.undoes:
                stack.done.pop()
                stack.undone.append(edit)
        elif edit.redoes is not None:
            if stack.undone and stack.undone[-1].revision == edit.redoes:
                stack.undone.pop()
                stack.done.append(edit)
        elif edit.ops:  # the first "edit" of a draft is its creation, which cannot be taken back
            stack.done.append(edit)
            stack.undone.clear()
    return stack


def _reverse(actor: Actor, pipeline: Pipeline, last: DraftEdit, edit: drafts.Edit) -> Draft:
    """Apply the inverse of an edit, if nobody else has changed the same parts since it was made."""
    ours = touching.parts(edit.ops)
    others = DraftEdit.objects.filter(pipeline=pipeline, revision__gt=last.revision).exclude(by=actor.user)
    for other in others.select_related("by"):
        if part := touching.collide(ours, touching.parts(other.ops["ops"])):
            raise drafts.Collision(
                f"{other.by or 'Somebody'} has changed {touching.named(part)} since. Nothing was taken back."
            )
    newest = Draft.objects.values_list("revision", flat=True).get(pipeline=pipeline)
    return drafts.change(
        actor, pipeline, drafts.Edit(newest, edit.op_id, edit.ops, undoes=edit.undoes, redoes=edit.redoes)
    )
