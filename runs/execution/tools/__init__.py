"""What carries the built-in tools out, by their id in `pipelines.library.tools`; reached through `dispatch` alone."""

from collections.abc import Awaitable, Callable, Mapping

from pipelines.graph.model import Json
from pipelines.graph.tools import ToolSpec
from runs.execution.context import ToolCall
from runs.execution.failures import config
from runs.execution.tools import email, http, knowledge, mcp, rows

Runner = Callable[[Mapping[str, Json], ToolCall], Awaitable[Json]]

_RUNNERS: Mapping[str, Runner] = {
    "http.request@1": http.request,
    "email.send@1": email.send,
    "crm.log@1": rows.log,
    "notes.append@1": rows.append,
    "knowledge.search@1": knowledge.search,
}
_TITLES: Mapping[str, Callable[[Mapping[str, Json]], str]] = {
    "http.request@1": lambda args: f"{args.get('method', 'GET')} {str(args.get('url', ''))[:200]}",
    "email.send@1": lambda args: f"Send an email to {args.get('to', '?')}: {str(args.get('subject', ''))[:120]}",
    "crm.log@1": lambda args: f"Log a note about {args.get('contact', '?')} to the CRM",
    "notes.append@1": lambda args: f"Add a note: {str(args.get('text', ''))[:120]}",
    "knowledge.search@1": lambda args: f"Search {args.get('collection', '?')} for {str(args.get('query', ''))[:120]}",
}


async def run(spec: ToolSpec, args: Mapping[str, Json], call: ToolCall) -> Json:
    """Return the tool's result as JSON; raise a Failure, AnswerLost when it may have acted."""
    if spec.connection is not None:
        return await mcp.run(spec, args, call)
    runner = _RUNNERS.get(spec.id)
    if runner is None:
        raise config("no_such_tool", f"Nothing here carries out {spec.id}. Install it or choose another tool.")
    return await runner(args, call)


def title(spec: ToolSpec, args: Mapping[str, Json]) -> str:
    """Return one line that says what this call would do."""
    make = _TITLES.get(spec.id)
    return make(args) if make else spec.title
