"""Plain builders of documents and locks: a pipeline is drawn as `start >> research >> approve >> send >> result`."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from pipelines.graph.freeze import Library
from pipelines.graph.freeze import lock as freeze
from pipelines.graph.lock import AgentSpec, Lock, Price
from pipelines.graph.model import Document
from pipelines.graph.parse import parse
from pipelines.graph.tools import Delivery, Effect, ToolSpec

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

AGENTS = {
    "writer@1": AgentSpec("writer@1", "demo/writer"),
    "frugal@1": AgentSpec("frugal@1", "demo/writer", max_cost_micros=500),
    "careful@1": AgentSpec("careful@1", "demo/writer", fallback=("demo/echo",)),
    **{f"{name}@1": AgentSpec(f"{name}@1", "demo/writer", role=name) for name in ("ann", "ben", "cem", "host")},
    "doer@1": AgentSpec("doer@1", "demo/writer", tools=("shop.look@1", "crm.log@1")),
    "reader@1": AgentSpec("reader@1", "demo/writer", tools=("shop.look@1",)),
    "digger@1": AgentSpec("digger@1", "demo/writer", tools=("pipeline:child",)),
    "strict@1": AgentSpec("strict@1", "demo/writer", output_schema={"type": "object", "required": ["body"]}),
}
TOOLS = {
    "email.send@1": ToolSpec("email.send@1", "Send an email", "", {}),
    "shop.order@1": ToolSpec("shop.order@1", "Place an order", "", {}, delivery=Delivery.KEYED),
    "shop.look@1": ToolSpec(
        "shop.look@1", "Look for a thing", "", {}, effect=Effect.NONE, delivery=Delivery.IDEMPOTENT
    ),
    "crm.log@1": ToolSpec(
        "crm.log@1", "Log to the CRM", "", {}, effect=Effect.REVERSIBLE, delivery=Delivery.IDEMPOTENT
    ),
}
LIBRARY = Library(AGENTS, TOOLS, {"demo/writer": Price(1_000_000, 1_000_000), "demo/echo": Price(1, 1)})

# What a step is when only its name is drawn; everything else is an agent.
_BY_NAME: dict[str, dict[str, Any]] = {
    "start": {"kind": "input"},
    "result": {"kind": "output", "value": "done"},
    "approve": {"kind": "human", "guards": "send"},
    "ask": {"kind": "human", "mode": "answer"},
    "send": {"kind": "tool", "tool": "email.send@1", "args": {"to": "bo@example.com"}},
    "log": {"kind": "tool", "tool": "crm.log@1", "args": {"note": "hello"}},
    "join": {"kind": "combine"},
}
_AGENT = {"kind": "agent", "agent": "writer@1", "prompt": "Write."}


def a_graph(drawing: str, **nodes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON graph of a drawing: `a >> b, c >> d`, one chain per line or `;`, `a:port >> b` for a port.

    Keyword arguments add to what the names already say; a name that is only there, not drawn, becomes a lone step.
    """
    found: dict[str, dict[str, Any]] = {}
    edges = []
    for chain in re.split(r"[;\n]", drawing):
        groups = [[part.strip() for part in group.split(",")] for group in chain.split(">>") if group.strip()]
        for name in (part.partition(":")[0] for group in groups for part in group):
            found.setdefault(name, a_node(name, nodes.get(name, {})))
        for left, right in pairwise(groups):
            edges += [_edge(source, target, found) for source in left for target in right]
    return {"nodes": found, "edges": edges}


def a_node(name: str, more: Mapping[str, Any]) -> dict[str, Any]:
    base = {} if "kind" in more else dict(_BY_NAME.get(name, _AGENT))
    return {**base, **more}


def _edge(source: str, target: str, nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    name, _, port = source.partition(":")
    if not port:
        port = "approved" if nodes[name]["kind"] == "human" else "done"
    return {"from": name, "port": port, "to": target.partition(":")[0]}


def a_document(graph: Mapping[str, Any], **fields: Any) -> Document:
    head = {"format": "baton.pipeline", "format_version": "1.0", "id": "test", "name": "Test"}
    return parse({**head, **fields, "graph": graph})


def a_lock(document: Document, **then: str) -> Lock:
    lock = freeze(document, LIBRARY)
    return replace(lock, tools={**TOOLS, **lock.tools}, then={**lock.then, **then})
