"""What was said, for the collectors of operators who ask for it: prompts, answers, arguments and results of calls.

In the conventions' JSON: messages with parts. What is too large for an attribute is cut, and says so,
once no secret stands in it any more.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pipelines.graph.canonical import compact_json
from pipelines.graph.model import Json
from runs.execution import spans
from runs.execution.context import MODEL
from runs.execution.trace import span_id
from runs.models import Call, Span

MOST_CHARACTERS = 16_384
"""Of one attribute, each."""
_CUT = " … [cut]"


def said(rows: Sequence[Span]) -> dict[tuple[UUID, str], dict[str, Json]]:
    """Return what the calls among these spans asked and were answered, by run and span. One query."""
    paths = {row.path for row in rows if row.kind == "client"}
    runs = {row.run_id for row in rows if row.kind == "client"}
    wanted = {(row.run_id, row.span_id) for row in rows if row.kind == "client"}
    found = {}
    for call in Call.objects.filter(run_id__in=runs, path__in=paths).iterator():
        key = (call.run_id, span_id(str(call.run_id), call.key))
        if key in wanted:
            found[key] = _of_model(call) if call.kind == MODEL else _of_tool(call)
    return found


def _of_model(call: Call) -> dict[str, Json]:
    asked, answered = call.request or {}, call.response or {}
    messages = asked.get("messages", ())
    told = {
        spans.SYSTEM_INSTRUCTIONS: [_text(one["text"]) for one in messages if one["role"] == "system"],
        spans.INPUT_MESSAGES: [_message(one) for one in messages if one["role"] != "system"],
        spans.OUTPUT_MESSAGES: [_answer(answered)] if answered else [],
    }
    return {name: _json(value) for name, value in told.items() if value}


def _of_tool(call: Call) -> dict[str, Json]:
    told = {spans.TOOL_ARGUMENTS: (call.request or {}).get("args"), spans.TOOL_RESULT: call.response}
    return {name: _json(value) for name, value in told.items() if value is not None}


def _message(message: Mapping[str, Any]) -> Json:
    if message["role"] == "tool":
        part = {"type": "tool_call_response", "id": message.get("tool_call_id"), "response": message["text"]}
        return {"role": "tool", "parts": [part]}
    parts = [_text(message["text"])] if message["text"] else []
    return {"role": message["role"], "parts": [*parts, *map(_use, message.get("tool_calls", ()))]}


def _answer(answer: Mapping[str, Any]) -> Json:
    said = {"role": "assistant", "text": answer.get("text", ""), "tool_calls": answer.get("tool_calls", ())}
    return {**_message(said), "finish_reason": answer.get("finish", "stop")}


def _text(text: str) -> Json:
    return {"type": "text", "content": text}


def _use(use: Mapping[str, Any]) -> Json:
    return {"type": "tool_call", "id": use["id"], "name": use["name"], "arguments": use["args"] or use.get("raw")}


def _json(value: Json) -> str:
    return value if isinstance(value, str) else compact_json(value)


def shortened(text: str) -> str:
    """Return what is sent of a text in which no secret stands any more: a cut one would not be found."""
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - len(_CUT)] + _CUT
