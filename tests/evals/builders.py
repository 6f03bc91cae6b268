"""Plain builders of pipelines that answer in a known way, of datasets, and of evaluations brought to their end."""

from itertools import pairwise
from typing import Any

from accounts.access import Actor
from evals import cases, datasets, evaluations
from evals.evaluations import Order
from evals.models import DatasetVersion, Evaluation
from pipelines import drafts, publish
from pipelines.library import agents
from pipelines.library.agents import AgentFields
from pipelines.models import Agent, Pipeline
from tests.conftest import wait_for
from tests.people import Team, acting

SEND = {"kind": "tool", "tool": "email.send@1", "args": {"to": "a@b.example", "subject": "Hi", "body": "${input.text}"}}


def an_echo(team: Team, slug: str = "echo", prompt: str = "${input.text}", **nodes: Any) -> Pipeline:
    """Return a published pipeline that answers with its prompt; `nodes` stand between the agent and the result."""
    actor = acting(team.alice)
    if not Agent.objects.filter(workspace=team.workspace, slug="echo").exists():
        agents.create(actor, "echo", AgentFields("demo/echo", max_output=1_000))
    pipeline = drafts.create(actor, a_document(slug, prompt, **nodes))
    return published(actor, pipeline)


def a_document(slug: str, prompt: str, **nodes: Any) -> dict[str, Any]:
    chain = ["start", "say", *nodes, "result"]
    edges = [
        {"from": one, "to": other, **({"port": "approved"} if nodes.get(one, {}).get("kind") == "human" else {})}
        for one, other in pairwise(chain)
    ]
    return {
        "format": "baton.pipeline",
        "format_version": "1.0",
        "id": slug,
        "name": slug.title(),
        "inputs": {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}},
        "budget": {"max_cost_usd": "0.50"},
        "graph": {
            "nodes": {
                "start": {"kind": "input"},
                "say": {"kind": "agent", "agent": "echo@1", "prompt": prompt},
                **nodes,
                "result": {"kind": "output", "value": "${steps.say.output}"},
            },
            "edges": edges,
        },
    }


def changed(team: Team, pipeline: Pipeline, prompt: str) -> Pipeline:
    """Publish a version of it that answers with another prompt."""
    actor = acting(team.alice)
    drafts.save(actor, pipeline, a_document(pipeline.slug, prompt), pipeline.draft.revision)
    return published(actor, pipeline)


def published(actor: Actor, pipeline: Pipeline) -> Pipeline:
    publish.publish(actor, pipeline)
    return Pipeline.objects.select_related("published", "draft").get(pk=pipeline.pk)


def a_dataset(team: Team, *given: dict[str, Any], name: str = "greetings") -> DatasetVersion:
    return datasets.create(acting(team.alice), name, cases.read(list(given)))


def a_case(name: str, text: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "inputs": {"text": text}, **fields}


def evaluated(team: Team, pipeline: Pipeline, **wishes: Any) -> Evaluation:
    """Return an evaluation at its end; a worker must be there."""
    order = Order(**{"pipeline": pipeline.slug, "dataset": "greetings", "repeats": 1, **wishes})
    return ended(evaluations.start(acting(team.alice), order))


def ended(evaluation: Evaluation, seconds: float = 40) -> Evaluation:
    def is_over() -> bool:
        evaluation.refresh_from_db()
        return not evaluation.is_open

    wait_for(is_over, seconds, lambda: str(list(evaluation.results.values("state", "run__state", "error"))))
    return evaluation
