"""Where agents are used: which steps of which pipelines name which version, and how a draft takes the newest."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts.access import Actor, Capability, require, scoped
from accounts.errors import Conflict
from accounts.ids import new_id
from pipelines import drafts
from pipelines.graph import parse
from pipelines.graph.freeze import agents_of
from pipelines.graph.model import Json
from pipelines.graph.places import places
from pipelines.graph.problems import Refusal
from pipelines.models import Agent, Draft, Pipeline, PipelineVersion


@dataclass(frozen=True, slots=True)
class Naming:
    """One place of a document that names an agent: the step, its title, a pointer within it, and the name itself.

    `number` is the version it names, None where it takes the newest when it is published.
    """

    place: str
    title: str
    where: str
    ref: str

    @property
    def slug(self) -> str:
        return self.ref.partition("@")[0]

    @property
    def number(self) -> int | None:
        number = self.ref.partition("@")[2]
        return int(number) if number.isdecimal() else None


@dataclass(frozen=True, slots=True)
class Use:
    """A pipeline that names an agent: the steps of its draft, and the versions that its published version runs.

    `behind` counts the steps of the draft that name an older version than the newest.
    """

    pipeline: Pipeline
    steps: Sequence[Naming]
    published: Sequence[int]
    behind: int

    @property
    def titles(self) -> list[str]:
        return list(dict.fromkeys(step.title for step in self.steps))

    @property
    def drafted(self) -> list[int | None]:
        """The versions that the draft names; None for whatever is the newest when it is published."""
        return list(dict.fromkeys(step.number for step in self.steps))


def namings(document: Json) -> Iterator[Naming]:
    """Yield every place of a raw document that names an agent; nothing of a draft that no longer parses."""
    try:
        parsed = parse.parse(document)
    except Refusal:
        return
    for place in places(parsed):
        title = place.node.title or place.name.rpartition(".")[2].replace("_", " ").replace("-", " ").capitalize()
        for where, ref in agents_of(place.node):
            yield Naming(place.name, title, where, ref)


def uses_by_agent(actor: Actor) -> dict[str, set[str]]:
    """Return by an agent's slug the slugs of the pipelines that name it, in draft or published."""
    found: dict[str, set[str]] = {}
    for named in _named(actor):
        running = {ref.partition("@")[0] for ref in named.locked}
        for slug in {naming.slug for naming in named.drafted} | running:
            found.setdefault(slug, set()).add(named.pipeline.slug)
    return found


def uses_of(actor: Actor, agent: Agent, newest: int) -> list[Use]:
    """Return the pipelines that name an agent, by name."""
    found = []
    for named in _named(actor):
        steps = [naming for naming in named.drafted if naming.slug == agent.slug]
        running = [ref for ref in named.locked if ref.partition("@")[0] == agent.slug]
        if steps or running:
            behind = sum(1 for step in steps if step.number is not None and step.number < newest)
            numbers = sorted(int(ref.partition("@")[2]) for ref in running)
            found.append(Use(named.pipeline, steps, numbers, behind))
    return found


def update_draft(actor: Actor, pipeline: Pipeline, agent: Agent, newest: int) -> Draft:
    """Let every step of a draft that names an older version of the agent name the newest; nothing is published.

    Raises as `drafts.apply_ops`, and Conflict `already_newest` where there is nothing to change.
    """
    require(actor, Capability.EDIT, pipeline)
    draft = pipeline.draft
    ops = list(_ops(draft.document, agent.slug, newest))
    if not ops:
        raise Conflict(
            f"The draft of {pipeline.name} names no older version of {agent.name}. There is nothing to update.",
            code="already_newest",
        )
    return drafts.apply_ops(actor, pipeline, draft.revision, f"agent-{new_id()}", ops)


@dataclass(frozen=True, slots=True)
class _Named:
    """A pipeline with the agents that its draft names and that its published version has locked."""

    pipeline: Pipeline
    drafted: Sequence[Naming]
    locked: Sequence[str]


# Reading a document takes milliseconds, and neither a revision of a draft nor a version ever changes.
_drafted: dict[tuple[UUID, int], tuple[Naming, ...]] = {}
_locked: dict[UUID, tuple[str, ...]] = {}
_MOST_KEPT = 20_000


def _named(actor: Actor) -> list[_Named]:
    """Return the pipelines that the actor sees, by name.

    One query, and one each where drafts or versions are new here.
    """
    rows = scoped(Pipeline, actor).filter(archived_at=None, draft__isnull=False)
    heavy = ("draft__document", "published__document", "published__lock")
    found = list(rows.select_related("draft", "published").defer(*heavy).order_by("name", "slug"))
    drafted = _drafts_of(found)
    locked = _locks_of([one.published_id for one in found if one.published_id is not None])
    return [_Named(one, drafted[one.pk], locked.get(one.published_id, ())) for one in found]


def _drafts_of(pipelines: Sequence[Pipeline]) -> dict[UUID, tuple[Naming, ...]]:
    if len(_drafted) > _MOST_KEPT:
        _drafted.clear()
    known = {one.pk: _drafted.get((one.pk, one.draft.revision)) for one in pipelines}
    for draft in Draft.objects.filter(pipeline__in=[pk for pk, kept in known.items() if kept is None]):
        known[draft.pipeline_id] = _drafted[draft.pipeline_id, draft.revision] = tuple(namings(draft.document))
    return {pk: found or () for pk, found in known.items()}


def _locks_of(versions: Sequence[UUID]) -> dict[UUID | None, tuple[str, ...]]:
    if len(_locked) > _MOST_KEPT:
        _locked.clear()
    known: dict[UUID | None, tuple[str, ...]] = {pk: _locked[pk] for pk in versions if pk in _locked}
    fresh = PipelineVersion.objects.filter(pk__in=[pk for pk in versions if pk not in known]).only("lock")
    for version in fresh:
        known[version.pk] = _locked[version.pk] = tuple(version.lock.get("agents", ()))
    return known


def _ops(document: Mapping[str, Any], slug: str, newest: int) -> Iterator[dict[str, Any]]:
    """Yield one op per step that changes, containers before what they hold, so that no op undoes another."""
    changed = copy.deepcopy(dict(document))
    behind: dict[str, list[Naming]] = {}
    for naming in namings(document):
        if naming.slug == slug and naming.number is not None and naming.number < newest:
            behind.setdefault(naming.place, []).append(naming)
    touched = {place: node for place in behind if (node := _node(changed, place)) is not None}
    done = {
        place
        for place, node in touched.items()
        for naming in behind[place]
        if _replace(node, naming, f"{slug}@{newest}")
    }
    for place, node in touched.items():
        if place in done and not any(place.startswith(f"{outer}.") for outer in done):
            yield {"op": "set_node", "node": place, "value": node}


def _node(document: Mapping[str, Any], place: str) -> dict[str, Any] | None:
    graph, node = document["graph"], None
    for name in place.split("."):
        node = graph["nodes"].get(name)
        if node is None:
            return None
        graph = node.get("graph") or {"nodes": {}}
    return node


def _replace(node: dict[str, Any], naming: Naming, ref: str) -> bool:
    """Put another name where the node has this one; False where it does not stand there in these words."""
    *way, last = naming.where.split("/")
    inside: Any = node
    try:
        for part in way:
            inside = inside[int(part) if isinstance(inside, list) else part]
        key: Any = int(last) if isinstance(inside, list) else last
        if inside[key] != naming.ref:
            return False
        inside[key] = ref
    except (KeyError, IndexError, ValueError, TypeError):
        return False
    return True
