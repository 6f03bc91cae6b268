"""crm.log@1 and notes.append@1: a row each, once per idempotency key."""

import asyncio
from collections.abc import Mapping
from uuid import UUID

from django.db import DatabaseError, connections

from pipelines.graph.model import Json
from runs.execution.context import ToolCall
from runs.execution.failures import transient
from runs.models import Note


async def append(args: Mapping[str, Json], call: ToolCall) -> Json:
    """Return {id} of the note, the one already there when it was written before."""
    return await asyncio.to_thread(_write, Note(book="notes", text=args["text"]), call)


async def log(args: Mapping[str, Json], call: ToolCall) -> Json:
    """Return {id} of the note about a contact, the one already there when it was written before."""
    return await asyncio.to_thread(_write, Note(book="crm", contact=args["contact"], text=args["note"]), call)


def _write(note: Note, call: ToolCall) -> Json:
    note.workspace_id, note.idempotency_key = UUID(call.workspace_id), call.idempotency_key
    try:
        # ON CONFLICT DO NOTHING gives no id back, and the row may be an earlier sending's anyway.
        Note.objects.bulk_create([note], ignore_conflicts=True)
        return {"id": str(Note.objects.values_list("id", flat=True).get(idempotency_key=call.idempotency_key))}
    except DatabaseError as error:
        raise transient("database", f"The note could not be written: {error}") from error
    finally:
        connections.close_all()
