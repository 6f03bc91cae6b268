"""crm.log@1 and notes.append@1: a row each, once per idempotency key."""

from collections.abc import Mapping
from uuid import UUID

from django.db import DatabaseError

from pipelines.graph.model import Json
from runs.execution import database
from runs.execution.context import ToolCall
from runs.execution.failures import transient
from runs.models import Note


async def append(args: Mapping[str, Json], call: ToolCall) -> Json:
    """Return {id} of the note, the one already there when it was written before."""
    return await _written(Note(book="notes", text=args["text"]), call)


async def log(args: Mapping[str, Json], call: ToolCall) -> Json:
    """Return {id} of the note about a contact, the one already there when it was written before."""
    return await _written(Note(book="crm", contact=args["contact"], text=args["note"]), call)


async def _written(note: Note, call: ToolCall) -> Json:
    note.workspace_id, note.idempotency_key = UUID(call.workspace_id), call.idempotency_key
    try:
        return {"id": await database.ask(lambda: _write(note))}
    except DatabaseError as error:
        raise transient("database", f"The note could not be written: {error}") from error


def _write(note: Note) -> str:
    # ON CONFLICT DO NOTHING gives no id back, and the row may be an earlier sending's anyway.
    Note.objects.bulk_create([note], ignore_conflicts=True)
    return str(Note.objects.values_list("id", flat=True).get(idempotency_key=note.idempotency_key))
