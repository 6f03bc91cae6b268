"""Trying an agent out: a rehearsal of the smallest pipeline there is, so that it is reserved, journaled and paid for as
every run is, and nothing that it wants to change is changed."""

from django.db import transaction
from django.utils import timezone

from accounts.access import Actor, Capability, require
from pipelines import publish
from pipelines.graph.canonical import digest
from pipelines.graph.model import Json
from pipelines.models import Agent, AgentVersion, Draft, Pipeline
from runs import services
from runs.models import Run
from runs.services import Order

LONGEST_PROMPT = 100_000
# No pipeline of a person can have a capital letter in its name.
_PREFIX = "TEST-"


def start(actor: Actor, agent: Agent, version: AgentVersion, prompt: str) -> Run:
    """Start a rehearsal of one version of an agent with this prompt and return it, queued.

    Raises Invalid (`not_publishable` with the problems, as an unknown model; `invalid_input`), Forbidden.
    """
    require(actor, Capability.RUN)
    with transaction.atomic():
        frozen = publish.freeze_hidden(actor, _home(actor, agent), _document(agent, version.number))
        return services.start_version(actor, frozen, Order({"prompt": prompt}, tags=("test",), rehearsal=True))


def _home(actor: Actor, agent: Agent) -> Pipeline:
    """Return the pipeline under which an agent's tests are kept: archived, so that no list shows it."""
    pipeline, is_new = Pipeline.objects.get_or_create(
        workspace=actor.workspace,
        slug=f"{_PREFIX}{agent.slug}" if len(agent.slug) <= 58 else f"{_PREFIX}{digest(agent.slug)[-40:]}",
        defaults={"name": f"Test of {agent.name}", "archived_at": timezone.now(), "created_by": actor.user},
    )
    if is_new:
        Draft.objects.create(pipeline=pipeline, document=_document(agent, 1), updated_by=actor.user)
    return pipeline


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
