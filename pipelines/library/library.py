"""What a workspace offers to a pipeline, gathered for the validator and the lock in four queries at most."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.db.models import F
from django.db.models.fields.json import KeyTransform

from accounts.access import Actor, scoped
from accounts.models import Workspace
from pipelines.graph.freeze import agents_of, pipelines_among, pipelines_of
from pipelines.graph.lock import AgentSpec, Library, PipelineSpec, Price
from pipelines.graph.model import Document
from pipelines.graph.parse import read_budget
from pipelines.graph.places import places
from pipelines.graph.tools import ToolSpec
from pipelines.library import mcp
from pipelines.library.agents import spec
from pipelines.library.models import DEMO_PRICES, route_among
from pipelines.library.prices import price_among, window_among
from pipelines.library.tools import TOOLS
from pipelines.models import AgentVersion, Connection, PipelineVersion


class PriceBook(Mapping[str, Price | None]):
    """Prices by model, looked up when asked for: None for a model without a known price, KeyError for one that no
    connection leads to. Iterating yields the models that the workspace itself names."""

    def __init__(self, connections: Mapping[str, Connection]) -> None:
        self._connections = connections

    def __getitem__(self, ref: str) -> Price | None:
        if route_among(self._connections, ref) is None:
            raise KeyError(ref)
        return price_among(self._connections, ref)

    def __iter__(self) -> Iterator[str]:
        yield from DEMO_PRICES
        for name, connection in self._connections.items():
            yield from (f"{name}/{model}" for model in connection.prices)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class WindowBook(Mapping[str, int]):
    """How many tokens models read and write in one call, looked up when asked for; KeyError where nobody knows."""

    def __init__(self, connections: Mapping[str, Connection]) -> None:
        self._connections = connections

    def __getitem__(self, ref: str) -> int:
        if (window := window_among(self._connections, ref)) is None:
            raise KeyError(ref)
        return window

    def __iter__(self) -> Iterator[str]:
        return (ref for ref in PriceBook(self._connections) if window_among(self._connections, ref) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def library_of(actor: Actor, document: Document | None = None) -> Library:
    """Return the agents, tools and prices of the actor's workspace, and the published pipelines that they see; with a
    document, only agents and pipelines that it names."""
    workspace = actor.workspace
    connections = {row.name: row for row in Connection.objects.filter(workspace=workspace)}
    agents = _agents(workspace, document)
    return Library(
        agents=agents,
        tools=tools_of(workspace),
        prices=PriceBook(connections),
        windows=WindowBook(connections),
        pipelines=_pipelines(actor, document, agents.values()),
    )


def tools_of(workspace: Workspace) -> dict[str, ToolSpec]:
    """Return the built-in tools and those of the workspace's MCP servers, every version of each. One query."""
    return {**TOOLS, **mcp.specs(workspace)}


def _agents(workspace: Workspace, document: Document | None) -> Mapping[str, AgentSpec]:
    rows = AgentVersion.objects.filter(agent__workspace=workspace).select_related("agent")
    if document is not None:
        slugs = {ref.partition("@")[0] for place in places(document) for _, ref in agents_of(place.node)}
        rows = rows.filter(agent__slug__in=slugs)
    return {agent.id: agent for agent in map(spec, rows)}


def _pipelines(actor: Actor, document: Document | None, agents: Iterable[AgentSpec]) -> Mapping[str, PipelineSpec]:
    """Return the published versions of the pipelines that a document or its agents name; without one, of all."""
    rows = scoped(PipelineVersion, actor, through="pipeline__workspace").filter(
        pipeline__archived_at=None, pipeline__published__isnull=False, number__isnull=False
    )
    if document is not None:
        steps = (ref for place in places(document) for _, ref in pipelines_of(place.node))
        given = (ref for agent in agents for ref in pipelines_among(agent.tools))
        slugs = {ref.partition("@")[0] for ref in (*steps, *given)}
        if not slugs:
            return {}
        rows = rows.filter(pipeline__slug__in=slugs)
    fields = {f"its_{name}": KeyTransform(name, "document") for name in ("name", "description", "inputs", "budget")}
    found = rows.values("id", "number", "pipeline_id", slug=F("pipeline__slug"), **fields)
    return {one.id: one for one in map(_pipeline_spec, found)}


def _pipeline_spec(row: Mapping[str, Any]) -> PipelineSpec:
    return PipelineSpec(
        id=f"{row['slug']}@{row['number']}",
        pipeline=str(row["pipeline_id"]),
        version=str(row["id"]),
        name=row["its_name"] or row["slug"],
        description=row["its_description"] or "",
        inputs=row["its_inputs"],
        budget=read_budget(row["its_budget"]),
    )
