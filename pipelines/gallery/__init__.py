"""The gallery: documents that run as they are on the built-in models, for people to start from.

A pipeline made by `use` says in its document's `x` which template it is a copy of.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.db import transaction
from django.db.models import Q

from accounts.access import Actor, Capability, may, scoped
from accounts.errors import NotFound
from accounts.ids import new_id
from pipelines import creation, drafts, publish
from pipelines.gallery import handbooks
from pipelines.graph.model import Json
from pipelines.library import agents
from pipelines.models import Agent, Pipeline, PipelineVersion

_FOLDER = Path(__file__).parent
_LOOKED_AT = 20  # versions; more of them would say what people made of it


@dataclass(frozen=True, slots=True)
class Template:
    """One card: `goal` groups cards, `words` are what people call its job, `sample` is an input to try it with,
    `document` the pipeline itself."""

    name: str
    title: str
    goal: str
    summary: str
    words: tuple[str, ...]
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


def use(actor: Actor, name: str, form: str) -> Pipeline:
    """Return a new draft of the workspace that says what this template says, with the agents it needs.

    The same form makes one pipeline, however often it is sent. NotFound for an unknown name; Forbidden.
    """
    chosen = template(name)

    def document() -> Json:
        own = _with_own_library(actor, chosen.document) | {"x": {"template": name}}
        return creation.named(actor, own, chosen.document["id"], chosen.title)

    return creation.once(actor, f"template:{name}:{form}", document)


@transaction.atomic
def for_trial(actor: Actor, name: str) -> PipelineVersion:
    """Return a published version that says what the template says, the newest there is; made where there is none.

    Whatever people changed in their pipelines, a trial shows the template. Raises as `use`. Locks the workspace
    against other pages that make something.
    """
    chosen = template(name)
    creation.lock(actor)
    wanted = _said(_with_own_library(actor, chosen.document))
    versions = scoped(PipelineVersion, actor, through="pipeline__workspace").filter(
        copies(name, through="pipeline__"), number__isnull=False, pipeline__archived_at=None
    )
    for version in versions.select_related("pipeline").order_by("-created_at")[:_LOOKED_AT]:
        if _said(version.document) == wanted and may(actor, Capability.RUN, version.pipeline):
            return version
    return publish.publish(actor, use(actor, name, new_id().hex), "From the gallery")


def copies(name: str, through: str = "") -> Q:
    """Return the condition that a pipeline was made from this template; `through` leads to it, as "pipeline__"."""
    slug = {f"{through}slug": template(name).document["id"]}
    return Q(**slug) | Q(**{f"{through}draft__document__x__template": name})


def template_of(pipeline: Pipeline) -> Template | None:
    """Return the template that a pipeline was made from; None for any other."""
    origin = pipeline.draft.document.get("x") or {}
    name = origin.get("template") if isinstance(origin, dict) else None
    return next((one for one in templates() if name == one.name or pipeline.slug == one.document["id"]), None)


def _said(document: Mapping[str, Json]) -> Json:
    """Return what a document does, without what it is called."""
    return {key: value for key, value in document.items() if key not in ("id", "name", "x", "ui")}


def _template(card: Mapping[str, Json]) -> Template:
    document = _read(f"documents/{card['name']}.json")
    return Template(
        name=card["name"],
        title=document["name"],
        goal=card["goal"],
        summary=card["summary"],
        words=tuple(card["words"]),
        description=document["description"],
        sample=card["sample"],
        document=document,
    )


def _with_own_library(actor: Actor, document: Mapping[str, Json]) -> Json:
    """Return a copy that names this workspace's versions of agents and pipelines, made where they are missing, as the
    collections are that it searches."""
    handbooks.bring(actor, document)
    wanted = agents_of_templates()
    references: dict[tuple[str, str], str] = {}

    def reference(what: str, text: str) -> str:
        slug = text.partition("@")[0]
        if (what, slug) not in references:
            made = _agent(actor, slug, wanted[slug]) if what == "agent" else _pipeline(actor, slug)
            references[what, slug] = made
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


def _pipeline(actor: Actor, name: str) -> str:
    """Return slug@number of another template's pipeline; of one that says the same where that has no version yet."""
    version = instantiate(actor, name).published or for_trial(actor, name)
    return f"{version.pipeline.slug}@{version.number}"


def _agent(actor: Actor, slug: str, data: Mapping[str, Json]) -> str:
    """Return slug@number of an agent that is what the template says, made where there is none."""
    fields = agents.AgentFields.from_json({key: value for key, value in data.items() if key != "name"})
    agent = Agent.objects.filter(workspace=actor.workspace, slug=slug).first()
    if agent is None:
        version = agents.create(actor, slug, fields, name=data["name"])
    else:
        version = agents.matching(agent, fields) or agents.new_version(actor, agent, fields)
    return f"{slug}@{version.number}"


@cache
def agents_of_templates() -> Mapping[str, Json]:
    """Return the agents that templates name, by slug, as JSON."""
    found: Mapping[str, Json] = _read("agents.json")
    return found


def _read(name: str) -> Json:
    return json.loads((_FOLDER / name).read_text(encoding="utf-8"))
