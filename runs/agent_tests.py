"""Trying an agent out: a rehearsal of the smallest pipeline there is, so that it is reserved, journaled and paid for as
every run is, and nothing that it wants to change is changed."""

from django.db import transaction

from accounts.access import Actor, Capability, require
from pipelines import homes, publish
from pipelines.graph.model import Json
from pipelines.models import Agent, AgentVersion, Pipeline
from runs import services
from runs.models import Run, Via
from runs.services import Order

LONGEST_PROMPT = 100_000


def start(actor: Actor, agent: Agent, version: AgentVersion, prompt: str, max_cost_usd: str | None = None) -> Run:
    """Start a rehearsal of one version of an agent with this prompt and return it, queued; it stops at its cap.

    Raises Invalid (`not_publishable` with the problems, as an unknown model; `invalid_input`; `invalid_budget`),
    Forbidden.
    """
    require(actor, Capability.RUN)
    with transaction.atomic():
        frozen = publish.freeze_hidden(actor, _home(actor, agent), _document(agent, version.number))
        budget = {"max_cost_usd": max_cost_usd}
        order = Order({"prompt": prompt}, tags=("test",), budget=budget, rehearsal=True, via=Via.TEST)
        return services.start_version(actor, frozen, order)


def _home(actor: Actor, agent: Agent) -> Pipeline:
    """Return the pipeline under which an agent's tests are kept."""
    slug = homes.slug_of(homes.AGENTS, agent.slug)
    return homes.opened(actor, slug, f"Test of {agent.name}", _document(agent, 1))[0]


def _document(agent: Agent, number: int) -> dict[str, Json]:
    prompt = {"type": "string", "minLength": 1, "maxLength": LONGEST_PROMPT}
    return {
        "format": "baton.pipeline",
        "format_version": "1.0",
        "id": "test",
        "name": f"Test of {agent.name}",
        "inputs": {"type": "object", "required": ["prompt"], "properties": {"prompt": prompt}},
        "graph": {
            "nodes": {
                "start": {"kind": "input"},
                "agent": {"kind": "agent", "agent": f"{agent.slug}@{number}", "prompt": "${input.prompt}"},
                "result": {"kind": "output", "value": "${steps.agent.output}"},
            },
            "edges": [{"from": "start", "to": "agent"}, {"from": "agent", "to": "result"}],
        },
    }
