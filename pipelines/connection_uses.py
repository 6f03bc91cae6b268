"""What uses a connection, and what of pipelines uses a secret: connections, agents, and the steps of pipelines."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import transaction
from django.urls import reverse

from accounts.access import Actor, Capability, get, require, scoped
from accounts.errors import Conflict
from accounts.safe import Use, grouped, told
from pipelines import splits
from pipelines.graph import parse
from pipelines.graph.freeze import agents_of, models_of, tools_of
from pipelines.graph.model import Json, Node
from pipelines.graph.places import places
from pipelines.graph.problems import Refusal
from pipelines.library import connections
from pipelines.library.mcp import PREFIX
from pipelines.models import AgentVersion, Connection, Draft, Pipeline, PipelineVersion

SECRET_HEADERS = "secret_headers"  # noqa: S105  (the name of an argument)

Pins = Callable[[Actor], Iterable[tuple[UUID, int]]]
_pins: list[Pins] = []
Finder = Callable[[Actor], Iterable[tuple[str, Use]]]
_finders: list[Finder] = []


def on_pins(pins: Pins) -> None:
    """Have an app asked which versions it starts, whatever is published; it yields (pipeline, number)."""
    _pins.append(pins)


def on_look(finder: Finder) -> None:
    """Have an app asked which models of its own it names; it yields (model, use)."""
    _finders.append(finder)


@dataclass(frozen=True, slots=True)
class Names:
    """What one step, agent or version names: connections and secrets. `place` is the step's, "" of what is none."""

    place: str
    connections: frozenset[str]
    secrets: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a draft or version names by itself; `agents` are those a draft holds to a version, `calls` the versions
    of other pipelines that a version starts. What a draft's pipelines start counts once it is published."""

    names: tuple[Names, ...] = ()
    agents: frozenset[tuple[str, int]] = frozenset()
    calls: frozenset[UUID] = frozenset()


def uses(actor: Actor) -> dict[str, list[Use]]:
    """Return the agents and pipelines that use which connection, by its name, as far as the actor sees them."""
    agents = ((name, use) for names, use in _agents(actor) for name in sorted(names.connections))
    pipelines = ((name, use) for found in _pipelines(actor) for name, use in found.uses_of("connections"))
    others = ((name, use) for finder in _finders for model, use in finder(actor) for name in _ways([model], ()))
    return grouped([*agents, *pipelines, *others])


def of_secrets(actor: Actor) -> Iterator[tuple[str, Use]]:
    """Yield the connections, agents and pipelines that use a secret, each with its name."""
    for row in scoped(Connection, actor).exclude(secret="").order_by("name"):
        yield row.secret, Use("connection", row.name, reverse("connection", args=[row.name]))
    for names, use in _agents(actor):
        yield from ((name, use) for name in sorted(names.secrets))
    for found in _pipelines(actor):
        yield from found.uses_of("secrets")


def remove_unused(actor: Actor, name: str) -> None:
    """Remove a connection that nothing uses; Conflict `connection_in_use`, Forbidden, NotFound."""
    require(actor, Capability.CONNECTIONS)
    uses(actor)  # what is to be read is read before anybody waits for the row
    _remove_unused(actor, name)


@transaction.atomic
def _remove_unused(actor: Actor, name: str) -> None:
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
            said = [f"{len(steps)} step{'' if len(steps) == 1 else 's'}" if steps else "through what it asks"]
            said += [] if runs else ["in the draft only"]
            url = reverse("pipeline", args=[self.pipeline.slug])
            yield name, Use("pipeline", self.pipeline.name, url, ", ".join(said))


# Reading a document takes milliseconds, and neither a revision of a draft nor a version ever changes. Others clear and
# fill it meanwhile: whoever asks answers from what it got itself.
_read: dict[tuple[UUID, int] | UUID, _Reading] = {}
_MOST_KEPT = 20_000


def _agents(actor: Actor) -> Iterator[tuple[Names, Use]]:
    newest = AgentVersion.objects.select_related("agent").order_by("agent__slug", "-number").distinct("agent__slug")
    for row in scoped(newest, actor, through="agent__workspace"):
        yield _of_version(row), Use("agent", row.agent.name or row.agent.slug, reverse("agent", args=[row.agent.slug]))


def _pipelines(actor: Actor) -> list[_Found]:
    """Return the pipelines that the actor sees, by name, without the archived, which start nothing by themselves."""
    rows = scoped(Pipeline, actor).filter(archived_at=None, draft__isnull=False)
    found = list(rows.select_related("draft").defer("draft__document").order_by("name", "slug"))
    if len(_read) > _MOST_KEPT:
        _read.clear()
    running, drafts = _running(actor, found), _drafts(found)
    versions = _versions({pk for some in running.values() for pk in some})
    pinned = _pinned_agents(actor, drafts.values())
    return [
        _Found(
            one,
            [*drafts[one.pk].names, *(pinned[ref] for ref in sorted(drafts[one.pk].agents) if ref in pinned)],
            list(_in_versions(running[one.pk], versions)),
        )
        for one in found
    ]


def _running(actor: Actor, pipelines: Sequence[Pipeline]) -> dict[UUID, list[UUID]]:
    """Return the versions that new runs may be of: published, sharing the runs, or named by what starts them."""
    running = {one.pk: [one.published_id] if one.published_id else [] for one in pipelines}
    wanted = {(one.pk, arm.version) for one in pipelines for arm in splits.arms_of(one)}
    wanted |= {pin for pins in _pins for pin in pins(actor) if pin[0] in running}
    rows = PipelineVersion.objects.filter(
        pipeline__in={pk for pk, _ in wanted}, number__in={number for _, number in wanted}
    )
    for pk, pipeline, number in rows.values_list("pk", "pipeline_id", "number") if wanted else ():
        if (pipeline, number) in wanted and pk not in running[pipeline]:
            running[pipeline].append(pk)
    return running


def _in_versions(own: Sequence[UUID], versions: Mapping[UUID, _Reading]) -> Iterator[Names]:
    """Yield what a pipeline's versions name, and what the versions that they start do, at no place of the pipeline."""
    seen: set[UUID] = set()
    waiting = list(own)
    while waiting:
        pk = waiting.pop()
        if pk in versions and pk not in seen:
            seen.add(pk)
            yield from (names if pk in own else replace(names, place="") for names in versions[pk].names)
            waiting.extend(versions[pk].calls)


def _drafts(pipelines: Sequence[Pipeline]) -> dict[UUID, _Reading]:
    known = {one.pk: kept for one in pipelines if (kept := _read.get((one.pk, one.draft.revision)))}
    fresh = [one.pk for one in pipelines if one.pk not in known]
    for draft in Draft.objects.filter(pipeline__in=fresh).iterator() if fresh else ():
        known[draft.pipeline_id] = _read[draft.pipeline_id, draft.revision] = _of_document(draft.document)
    return {one.pk: known.get(one.pk, _Reading()) for one in pipelines}


def _versions(wanted: set[UUID]) -> dict[UUID, _Reading]:
    """Return what these versions name, and the versions that they start, and so on."""
    known: dict[UUID, _Reading] = {}
    while wanted:
        wave = {pk: kept for pk in wanted if (kept := _read.get(pk))}
        fresh = wanted - wave.keys()
        rows = PipelineVersion.objects.filter(pk__in=fresh).only("document", "lock")
        for row in rows.iterator() if fresh else ():
            wave[row.pk] = _read[row.pk] = _of_locked(row)
        known |= wave
        wanted = {pk for one in wave.values() for pk in one.calls} - known.keys()
    return known


def _of_document(document: Json) -> _Reading:
    """Return what each step of a raw document names; nothing of a draft that no longer parses."""
    try:
        parsed = parse.parse(document)
    except Refusal:
        return _Reading()
    names, agents = [], set()
    for place in places(parsed):
        step = Names(place.name, _ways(models_of(place.node), tools_of(place.node)), _secrets(place.node))
        names += [step] if step.connections or step.secrets else []
        refs = (ref.partition("@") for _, ref in agents_of(place.node))
        agents |= {(slug, int(number)) for slug, _, number in refs if number.isdecimal()}
    return _Reading(tuple(names), frozenset(agents))


def _of_locked(row: PipelineVersion) -> _Reading:
    agents = (row.lock.get("agents") or {}).values()
    calls = (row.lock.get("pipelines") or {}).values()
    return _Reading(
        (*_of_document(row.document).names, *(_of_agent(agent) for agent in agents)),
        calls=frozenset(UUID(one["version"]) for one in calls),
    )


def _pinned_agents(actor: Actor, drafts: Iterable[_Reading]) -> dict[tuple[str, int], Names]:
    """Return what the versions of agents name that drafts hold to."""
    wanted = {ref for draft in drafts for ref in draft.agents}
    if not wanted:
        return {}
    rows = AgentVersion.objects.select_related("agent").filter(
        agent__slug__in={slug for slug, _ in wanted}, number__in={number for _, number in wanted}
    )
    found = {(row.agent.slug, row.number): _of_version(row) for row in scoped(rows, actor, through="agent__workspace")}
    return {ref: names for ref, names in found.items() if ref in wanted}


def _of_version(row: AgentVersion) -> Names:
    return Names("", _ways((row.model, *row.fallback), row.tools), frozenset(row.secrets))


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
