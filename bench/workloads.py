"""The workloads as pipeline documents, and the workspace they run in.

W1: a chain of ten agents, one run at a time. W2: fifty agents at once and one that joins them. W3: a hundred runs of a
chain of five agents at once. Every agent has its own instructions and reads the output of the step before.
"""

from typing import Any

from accounts.access import Actor, actor_for
from accounts.models import Membership, User, Workspace
from pipelines import drafts, publish
from pipelines.library import agents
from pipelines.library.agents import AgentFields
from pipelines.models import Agent, Connection, Pipeline

PRICE = {"input_per_million": "0.10", "output_per_million": "0.40"}
ROLES = ["composer", "manager", "admin"]


def bench_actor(stub: str) -> Actor:
    """Return the one member of the workspace `bench`, whose connection `stub` leads to the stub model server."""
    workspace, _ = Workspace.objects.get_or_create(slug="bench", defaults={"name": "Bench"})
    user = User.objects.filter(email="bench@example.com").first() or User.objects.create_user("bench@example.com")
    Membership.objects.update_or_create(workspace=workspace, user=user, defaults={"roles": ROLES})
    Connection.objects.update_or_create(
        workspace=workspace,
        name="stub",
        defaults={
            "kind": "openai",
            "base_url": f"{stub}/v1",
            "trusted_address": True,
            "prices": {f"stub-{ms}ms": PRICE for ms in (0, 20, 80, 200, 320, 10_000)},
        },
    )
    return actor_for(user, "bench")


def chain(actor: Actor, length: int, ms: int, slug: str = "") -> Pipeline:
    """Return a published chain: each agent gets the output of the one before. `slug` makes one of several."""
    nodes: dict[str, Any] = {"start": {"kind": "input"}}
    edges = [{"from": "start", "to": "a1"}]
    for k in range(1, length + 1):
        before = "" if k == 1 else f"${{steps.a{k - 1}.output}}"
        prompt = f"Do step {k} of the task. [run=${{input.run}} step={k}] Previous result: {before}"
        nodes[f"a{k}"] = {"kind": "agent", "agent": _agent(actor, k, ms), "prompt": prompt}
        edges.append({"from": f"a{k}", "to": f"a{k + 1}" if k < length else "end"})
    nodes["end"] = {"kind": "output", "value": f"${{steps.a{length}.output}}"}
    return _published(actor, slug or f"chain-{length}-{ms}", nodes, edges)


def fan(actor: Actor, width: int, ms: int) -> Pipeline:
    """Return a published fan-out: `width` agents at once, then one that reads the beginnings of all their outputs."""
    nodes: dict[str, Any] = {"start": {"kind": "input"}}
    edges = []
    for k in range(1, width + 1):
        prompt = f"Do step {k} of the task. [run=${{input.run}} step={k}]"
        nodes[f"b{k}"] = {"kind": "agent", "agent": _agent(actor, k % 10 + 1, ms), "prompt": prompt}
        edges += [{"from": "start", "to": f"b{k}"}, {"from": f"b{k}", "to": "all"}]
    nodes["all"] = {"kind": "combine", "merge": "concat", "min_ok": width}
    nodes["join"] = {
        "kind": "agent",
        "agent": _agent(actor, 1, ms),
        "prompt": "Join the results. [run=${input.run} step=join] ${steps.all.output}",
    }
    nodes["end"] = {"kind": "output", "value": "${steps.join.output}"}
    edges += [{"from": "all", "to": "join"}, {"from": "join", "to": "end"}]
    return _published(actor, f"fan-{width}-{ms}", nodes, edges)


def lanes(actor: Actor, steps: int, width: int, ms: int) -> Pipeline:
    """Return a published pipeline of this many agents in `width` chains that run side by side."""
    prompt = "Do step {k}. [run=${{input.run}} step={k}]"
    nodes: dict[str, Any] = {"start": {"kind": "input"}}
    edges = []
    for k in range(steps):
        nodes[f"s{k}"] = {"kind": "agent", "agent": _agent(actor, k % 10 + 1, ms), "prompt": prompt.format(k=k)}
        edges.append({"from": f"s{k - width}" if k >= width else "start", "to": f"s{k}"})
    nodes["end"] = {"kind": "output", "value": "done"}
    edges += [{"from": f"s{k}", "to": "end"} for k in range(steps - width, steps)]
    return _published(actor, f"lanes-{steps}-{width}-{ms}", nodes, edges)


def items(actor: Actor, count: int, ms: int, at_once: int = 16) -> Pipeline:
    """Return a published For each over this many items, one agent each."""
    prompt = "Look at item ${item}. [run=${input.run} step=item]"
    dig = {"kind": "agent", "agent": _agent(actor, 1, ms), "prompt": prompt}
    nodes: dict[str, Any] = {
        "start": {"kind": "input"},
        "all": {
            "kind": "each",
            "over": list(range(count)),
            "max_items": count,
            "max_parallel": at_once,
            "graph": {"nodes": {"dig": dig}, "edges": []},
            "result": "${steps.dig.output}",
        },
        "end": {"kind": "output", "value": "${size(steps.all.output)}"},
    }
    edges = [{"from": "start", "to": "all"}, {"from": "all", "to": "end"}]
    return _published(actor, f"items-{count}-{ms}-{at_once}", nodes, edges)


def _agent(actor: Actor, k: int, ms: int) -> str:
    slug = f"bench-{k}-{ms}"
    if not Agent.objects.filter(workspace=actor.workspace, slug=slug).exists():
        instructions = f"You are agent {k} of a ten-agent pipeline. Answer briefly."
        agents.create(actor, slug, AgentFields(f"stub/stub-{ms}ms", instructions=instructions, max_output=256))
    return f"{slug}@1"


def _published(actor: Actor, slug: str, nodes: dict[str, Any], edges: list[dict[str, str]]) -> Pipeline:
    found = Pipeline.objects.filter(workspace=actor.workspace, slug=slug).first()
    if found:
        return found
    document = {
        "format": "baton.pipeline",
        "format_version": "1.0",
        "id": slug,
        "name": slug,
        "inputs": {"type": "object", "required": ["run"], "properties": {"run": {"type": "string"}}},
        "budget": {"max_cost_usd": "5.00"},
        "graph": {"nodes": nodes, "edges": edges},
    }
    pipeline = drafts.create(actor, document)
    publish.publish(actor, pipeline, "bench")
    pipeline.refresh_from_db()
    return pipeline
