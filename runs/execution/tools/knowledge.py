"""knowledge.search@1: the passages of the run's own workspace that answer a question best."""

from collections.abc import Mapping
from uuid import UUID

from django.db import DatabaseError

from pipelines.graph.model import Json
from pipelines.knowledge.search import USUAL, Found, UnknownCollection, find
from runs.engine.facts import ErrorClass
from runs.execution import database
from runs.execution.context import ToolCall
from runs.execution.failures import Failure, transient


async def search(args: Mapping[str, Json], call: ToolCall) -> Json:
    """Return {passages: [{text, document, place, score}]}, best first, perhaps none.

    Raise a Failure `unknown_collection` that names those there are, so that an agent can ask again.
    """

    def ask() -> list[Found]:
        return find(UUID(call.workspace_id), str(args["collection"]), str(args["query"]), int(args.get("limit", USUAL)))

    try:
        found = await database.ask(ask)
    except UnknownCollection as unknown:
        raise Failure(ErrorClass.TOOL_ERROR, unknown.code, unknown.message) from unknown
    except DatabaseError as error:
        raise transient("database", f"The documents could not be searched: {error}") from error
    return {"passages": [passage.as_json() for passage in found]}
