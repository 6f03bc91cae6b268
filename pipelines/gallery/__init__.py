"""The gallery: documents that run as they are on the built-in models, for people to start from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.db import transaction

from accounts.access import Actor
from accounts.errors import NotFound
from pipelines import drafts, publish
from pipelines.graph.model import Json
from pipelines.library import agents
from pipelines.models import Agent, AgentVersion, Pipeline

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Template:
    """One card: `goal` groups cards, `sample` is an input to try it with, `document` the pipeline itself."""

    name: str
    title: str
    goal: str
    summary: str
    description: str
    sample: Mapping[str, Json]
    document: Mapping[str, Json]


@cache
def templates() -> tuple[Template, ...]:
    """Return every template, in the order in which they are offered."""
    return tuple(_template(card) for card in _read("templates.json"))


def template(name: str) -> Template:
    """Return one template; NotFound when there is none of this name."""
    for found in templates():
        if found.name == name:
            return found
    raise NotFound


@transaction.atomic
def instantiate(actor: Actor, name: str) -> Pipeline:
    """Return this template as a published pipeline of the workspace, with its agents and the pipelines that it starts;
    each is made only where it is missing.

    A pipeline that is there already keeps what people changed in it; an archived one comes back. NotFound for an
    unknown name.
    """
    chosen = template(name)
    existing = Pipeline.objects.filter(workspace=actor.workspace, slug=chosen.document["id"]).first()
    if existing is not None:
        drafts.restore(actor, existing)
    else:
        document = _with_own_library(actor, chosen.document)
        existing = drafts.create(actor, document)
        publish.publish(actor, existing, "From the gallery")
    existing.refresh_from_db()
    return existing


def _template(card: Mapping[str, Json]) -> Template:
    document = _read(f"documents/{card['name']}.json")
    return Template(
        name=card["name"],
        title=document["name"],
        goal=card["goal"],
        summary=card["summary"],
        description=document["description"],
        sample=card["sample"],
        document=document,
    )


def _with_own_library(actor: Actor, document: Mapping[str, Json]) -> Json:
    """Return a copy that names this workspace's versions of agents and pipelines, made where they are missing."""
    wanted = _read("agents.json")
    references: dict[tuple[str, str], str] = {}

    def reference(what: str, text: str) -> str:
        slug = text.partition("@")[0]
        if (what, slug) not in references:
            number = _agent(actor, slug, wanted[slug]).number if what == "agent" else _pipeline(actor, slug)
            references[what, slug] = f"{slug}@{number}"
        return references[what, slug]

    def renamed(key: str, item: Json) -> Json:
        if key in ("agent", "judge", "pipeline") and isinstance(item, str):
            return reference("pipeline" if key == "pipeline" else "agent", item)
        return [reference("agent", member) for member in item] if key == "members" else copied(item)

    def copied(value: Json) -> Json:
        if isinstance(value, dict):
            return {key: renamed(key, item) for key, item in value.items()}
        return [copied(item) for item in value] if isinstance(value, list) else value

    return copied(dict(document))


def _pipeline(actor: Actor, name: str) -> int | None:
    """Return the number of the published version of another template's pipeline."""
    published = instantiate(actor, name).published
    return published.number if published else None


def _agent(actor: Actor, slug: str, data: Mapping[str, Json]) -> AgentVersion:
    fields = agents.AgentFields.from_json({key: value for key, value in data.items() if key != "name"})
    agent = Agent.objects.filter(workspace=actor.workspace, slug=slug).first()
    if agent is None:
        return agents.create(actor, slug, fields, name=data["name"])
    return agents.matching(agent, fields) or agents.new_version(actor, agent, fields)


def _read(name: str) -> Json:
    return json.loads((_FOLDER / name).read_text(encoding="utf-8"))
