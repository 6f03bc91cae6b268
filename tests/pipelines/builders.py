"""Documents, agents and pipelines to test with."""

from typing import Any

from accounts.access import Actor
from pipelines import drafts, publish
from pipelines.library import agents
from pipelines.models import AgentVersion, Pipeline


def a_document(slug: str = "brief", **fields: Any) -> dict[str, Any]:
    """Return start >> write >> result, where `write` asks the agent writer@1."""
    return {
        "format": "baton.pipeline",
        "format_version": "1.0",
        "id": slug,
        "name": slug.title(),
        "inputs": {"type": "object", "properties": {"topic": {"type": "string"}}},
        "budget": {"max_cost_usd": "1.00"},
        "graph": {
            "nodes": {
                "start": {"kind": "input"},
                "write": {
                    "kind": "agent",
                    "agent": "writer@1",
                    "prompt": "Write about ${input.topic | default('it')}.",
                },
                "result": {"kind": "output", "value": "${steps.write.output}"},
            },
            "edges": [{"from": "start", "to": "write"}, {"from": "write", "to": "result"}],
        },
        **fields,
    }


def prompting(document: dict[str, Any], prompt: str) -> dict[str, Any]:
    """Return a copy whose writer is asked something else."""
    nodes = document["graph"]["nodes"]
    changed = {**nodes, "write": {**nodes["write"], "prompt": prompt}}
    return {**document, "graph": {**document["graph"], "nodes": changed}}


def a_writer(actor: Actor, slug: str = "writer", **fields: Any) -> AgentVersion:
    return agents.create(actor, slug, agents.AgentFields(**{"model": "demo/writer", **fields}))


def a_pipeline(actor: Actor, slug: str = "brief", **fields: Any) -> Pipeline:
    return drafts.create(actor, a_document(slug, **fields))


def a_published_pipeline(actor: Actor, slug: str = "brief") -> Pipeline:
    a_writer(actor)
    pipeline = a_pipeline(actor, slug)
    publish.publish(actor, pipeline)
    pipeline.refresh_from_db()
    return pipeline
