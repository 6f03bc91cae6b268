"""Builders of documents, steps and a small library for the tests of the graph package."""

from typing import Any

from pipelines.graph.lock import AgentSpec, Library, PipelineSpec, Price
from pipelines.graph.model import Document
from pipelines.graph.parse import parse
from pipelines.graph.tools import Delivery, Effect, ToolSpec

SEND = ToolSpec(
    id="email.send@1",
    title="Send an email",
    description="",
    args_schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["to", "body"],
        "properties": {
            "to": {"type": "string", "minLength": 3},
            "body": {"type": "string"},
            "urgent": {"type": "boolean"},
        },
    },
    result_schema={"type": "object", "properties": {"message_id": {"type": "string"}}},
)
HTTP = ToolSpec(
    id="http.request@1",
    title="Call a web address",
    description="",
    args_schema={"type": "object", "properties": {"method": {"type": "string"}, "url": {"type": "string"}}},
    safe_methods=("GET", "HEAD"),
    key_argument="idempotency_header",
)
NOTE = ToolSpec(
    id="notes.append@2",
    title="Add a note",
    description="",
    args_schema={"type": "object"},
    effect=Effect.REVERSIBLE,
    delivery=Delivery.KEYED,
)
AGENTS = {
    "writer@1": AgentSpec("writer@1", "demo/writer"),
    "writer@2": AgentSpec("writer@2", "demo/writer", tools=("notes.append",), fallback=("demo/echo",)),
    "writer@10": AgentSpec("writer@10", "demo/writer"),
    "scorer@1": AgentSpec(
        "scorer@1",
        "demo/judge",
        output_schema={"type": "object", "properties": {"score": {"type": "number"}}, "additionalProperties": False},
    ),
    "mailer@1": AgentSpec("mailer@1", "demo/writer", tools=("email.send@1",)),
    "guesser@1": AgentSpec("guesser@1", "local/mystery"),
}
CHILD = PipelineSpec(
    "child@1",
    pipeline="11111111-1111-1111-1111-111111111111",
    version="22222222-2222-2222-2222-222222222222",
    name="Child",
    inputs={
        "type": "object",
        "required": ["topic"],
        "additionalProperties": False,
        "properties": {"topic": {"type": "string"}, "depth": {"type": "number", "default": 1}},
    },
)
LIBRARY = Library(
    agents=AGENTS,
    tools={tool.id: tool for tool in (SEND, HTTP, NOTE)},
    prices={"demo/writer": Price(100, 200), "demo/judge": Price(1, 2), "demo/echo": Price(0, 0), "local/mystery": None},
    pipelines={"child@1": CHILD},
)


def an_edge(drawn: str) -> dict[str, str]:
    """Return the edge of "a > b" or "a.port > b"."""
    source, target = (part.strip() for part in drawn.split(">"))
    name, _, port = source.partition(".")
    return {"from": name, "to": target} | ({"port": port} if port else {})


def a_graph(nodes: dict[str, Any], *edges: str) -> dict[str, Any]:
    return {"nodes": nodes, "edges": [an_edge(edge) for edge in edges]}


def a_document(nodes: dict[str, Any], *edges: str, **fields: Any) -> dict[str, Any]:
    return {
        "format": "baton.pipeline",
        "format_version": "1.0",
        "id": "brief",
        "name": "Brief",
        **fields,
        "graph": a_graph(nodes, *edges),
    }


def parsed(nodes: dict[str, Any], *edges: str, **fields: Any) -> Document:
    return parse(a_document(nodes, *edges, **fields))


def an_agent(prompt: str = "Write.", **fields: Any) -> dict[str, Any]:
    return {"kind": "agent", "agent": "writer@1", "prompt": prompt, **fields}


def a_transform(**expressions: str) -> dict[str, Any]:
    return {"kind": "transform", "set": expressions}


START = {"kind": "input"}
RESULT = {"kind": "output", "value": "done"}
