"""How the built-in models use tools: they keep their answer in the notebook, once, and then give it.

No other tool is touched: what acts elsewhere is not for a model that only pretends.
"""

from dataclasses import replace

from runs.execution.models.values import ModelRequest, ToolUse

NOTEBOOK = "notes_append"
LONGEST_NOTE = 20_000


def without_notes(request: ModelRequest) -> ModelRequest:
    """Return the request without what the notebook answered, which says nothing about the task."""
    kept = [message for message in request.messages if message.tool_use is None or message.tool_use.name != NOTEBOOK]
    return replace(request, messages=tuple(kept))


def wanted(request: ModelRequest, answer: str) -> tuple[ToolUse, ...]:
    """Return the call that keeps the answer; nothing without a notebook, or once a tool has answered."""
    has_notebook = any(tool.name == NOTEBOOK for tool in request.tools)
    if not has_notebook or not answer or request.messages[-1].role == "tool":
        return ()
    return (ToolUse("note-1", NOTEBOOK, {"text": answer[:LONGEST_NOTE]}),)
