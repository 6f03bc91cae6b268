"""Carries out a Board step of a run that shares its board: the change is made where all those runs meet."""

from typing import Any

from pipelines.graph.model import Json
from runs.boards import Wanted
from runs.engine.facts import StepError, StepSucceeded
from runs.execution.calls import Calls
from runs.execution.context import StepAborted


async def run(calls: Calls) -> StepSucceeded:
    """Return the change that was made; asked for again in the same attempt, it is the one that was made before."""
    start = calls.start
    given: dict[str, Any] = dict(start.input)
    request, op = f"{start.path}@{start.attempt}", str(start.node.config["op"])
    wanted = Wanted(start.path, request, op, given["key"], given["value"], given["if_version"])
    made = await calls.context.change_board(wanted)
    if isinstance(made, StepError):
        raise StepAborted(made)
    change = made.change
    meta: dict[str, Json] = {"key": change.key, "version": change.version, "op": change.op}
    return StepSucceeded(
        start.path, start.attempt, change.value, meta if made.size is None else {**meta, "size": made.size}
    )
