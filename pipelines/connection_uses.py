"""What uses a connection, and what of pipelines uses a secret: connections, agents, and the steps of pipelines."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.urls import reverse

from accounts.access import Actor, get, scoped
from accounts.errors import Conflict
from accounts.safe import Use, grouped, told
from pipelines import splits
from pipelines.graph import parse
from pipelines.graph.freeze import models_of, tools_of
from pipelines.graph.model import Json, Node
from pipelines.graph.places import places
from pipelines.graph.problems import Refusal
from pipelines.library import connections
from pipelines.library.mcp import PREFIX
from pipelines.models import AgentVersion, Connection, Draft, Pipeline, PipelineVersion

SECRET_HEADERS = "secret_headers"  # noqa: S105  (the name of an argument)


@dataclass(frozen=True, slots=True)
class Names:
    """What one step, agent or version names: connections and secrets. `place` is the step's, "" of what is none."""

    place: str
    connections: frozenset[str]
    secrets: frozenset[str] = frozenset()


def uses(actor: Actor) -> dict[str, list[Use]]:
    """Return the agents and pipelines that use which connection, by its name, as far as the actor sees them."""
    agents = ((name, use) for names, use in _agents(actor) for name in sorted(names.connections))
    pipelines = ((name, use) for found in _pipelines(actor) for name, use in found.uses_of("connections"))
    return grouped([*agents, *pipelines])


def of_secrets(actor: Actor) -> Iterator[tuple[str, Use]]:
    """Yield the connections, agents and pipelines that use a secret, each with its name."""
    for row in scoped(Connection, actor).exclude(secret="").order_by("name"):
        yield row.secret, Use("connection", row.name, reverse("connection", args=[row.name]))
    for names, use in _agents(actor):
        yield from ((name, use) for name in sorted(names.secrets))
    for found in _pipelines(actor):
        yield from found.uses_of("secrets")


@transaction.atomic
def remove_unused(actor: Actor, name: str) -> None:
    """Remove a connection that nothing uses; Conflict `connection_in_use`, Forbidden, NotFound."""
    connection = get(Connection.objects.select_for_update(), actor, name=name)
    if found := uses(actor).get(name):
        raise Conflict(
            f"The connection {name} is used by {told(found)}. Let them name another, then remove it.",
            code="connection_in_use",
        )
    connections.remove(actor, connection)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a pipeline names, in its draft and in the versions that run."""

    pipeline: Pipeline
    drafted: Sequence[Names]
    running: Sequence[Names]

    def uses_of(self, what: str) -> Iterator[tuple[str, Use]]:
        """Yield (name, this pipeline) for each connection or secret that it names."""
        every = [*self.drafted, *self.running]
        for name in sorted({name for one in every for name in getattr(one, what)}):
            steps = {one.place for one in every if one.place and name in getattr(one, what)}
            runs = any(name in getattr(one, what) for one in self.running)
            said = [f"{len(steps)} step{'' if len(steps) == 1 else 's'}" if steps else "through its agents"]
            said += [] if runs else ["in the draft only"]
            url = reverse("pipeline", args=[self.pipeline.slug])
            yield name, Use("pipeline", self.pipeline.name, url, ", ".join(said))


# Reading a document takes milliseconds, and neither a revision of a draft nor a version ever changes.
_read: dict[tuple[UUID, int] | UUID, tuple[Names, ...]] = {}
_MOST_KEPT = 20_000


def _agents(actor: Actor) -> Iterator[tuple[Names, Use]]:
    newest = AgentVersion.objects.select_related("agent").order_by("agent__slug", "-number").distinct("agent__slug")
    for row in scoped(newest, actor, through="agent__workspace"):
        names = Names("", _ways((row.model, *row.fallback), row.tools), frozenset(row.secrets))
        yield names, Use("agent", row.agent.name or row.agent.slug, reverse("agent", args=[row.agent.slug]))


def _pipelines(actor: Actor) -> list[_Found]:
    """Return the pipelines that the actor sees, by name. Two queries, and two where drafts or versions are new here."""
    rows = scoped(Pipeline, actor).filter(archived_at=None, draft__isnull=False)
    rows = rows.select_related("draft").defer("draft__document").order_by("name", "slug")
    found = list(rows)
    if len(_read) > _MOST_KEPT:
        _read.clear()
    running = _running(found)
    _read_drafts(found)
    _read_versions({pk for versions in running.values() for pk in versions})
    return [
        _Found(
            one,
            _read.get((one.pk, one.draft.revision), ()),
            [names for version in running[one.pk] for names in _read.get(version, ())],
        )
        for one in found
    ]


def _running(pipelines: Sequence[Pipeline]) -> dict[UUID, list[UUID]]:
    """Return the versions that new runs may be of: the published one, and those that share the runs."""
    running = {one.pk: [one.published_id] if one.published_id else [] for one in pipelines}
    shared = {(one.pk, arm.version) for one in pipelines for arm in splits.arms_of(one)}
    rows = PipelineVersion.objects.filter(
        pipeline__in={pk for pk, _ in shared}, number__in={number for _, number in shared}
    )
    for pk, pipeline, number in rows.values_list("pk", "pipeline_id", "number") if shared else ():
        if (pipeline, number) in shared and pk not in running[pipeline]:
            running[pipeline].append(pk)
    return running


def _read_drafts(pipelines: Sequence[Pipeline]) -> None:
    fresh = [one.pk for one in pipelines if (one.pk, one.draft.revision) not in _read]
    for draft in Draft.objects.filter(pipeline__in=fresh) if fresh else ():
        _read[draft.pipeline_id, draft.revision] = tuple(_steps(draft.document))


def _read_versions(versions: Iterable[UUID]) -> None:
    fresh = [pk for pk in versions if pk not in _read]
    for row in PipelineVersion.objects.filter(pk__in=fresh).only("document", "lock") if fresh else ():
        agents = (row.lock.get("agents") or {}).values()
        _read[row.pk] = (*_steps(row.document), *(_of_agent(agent) for agent in agents))


def _steps(document: Json) -> Iterator[Names]:
    """Yield what each step of a raw document names; nothing of a draft that no longer parses."""
    try:
        parsed = parse.parse(document)
    except Refusal:
        return
    for place in places(parsed):
        names = Names(place.name, _ways(models_of(place.node), tools_of(place.node)), _secrets(place.node))
        if names.connections or names.secrets:
            yield names


def _of_agent(agent: Mapping[str, Any]) -> Names:
    models = (agent["model"], *(agent.get("fallback") or ()))
    return Names("", _ways(models, agent.get("tools") or ()), frozenset(agent.get("secrets") or ()))


def _ways(models: Iterable[str], tools: Iterable[str]) -> frozenset[str]:
    """Return the connections in the names of models (CONNECTION/model) and tools (mcp.CONNECTION.tool)."""
    leading = {model.partition("/")[0] for model in models if "/" in model}
    return frozenset(leading | {tool.split(".")[1] for tool in tools if tool.startswith(f"{PREFIX}.")})


def _secrets(node: Node) -> frozenset[str]:
    """Return the secrets in a step's headers, written as "crm-key" or "Bearer crm-key"."""
    headers = (node.config.get("args") or {}).get(SECRET_HEADERS) if isinstance(node.config.get("args"), dict) else None
    said = headers.values() if isinstance(headers, dict) else ()
    return frozenset(text.rpartition(" ")[2] for text in said if isinstance(text, str) and text)
