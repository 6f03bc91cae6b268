"""What a workspace offers to a pipeline, gathered for the validator and the lock in three queries."""

from collections.abc import Iterator, Mapping

from accounts.models import Workspace
from pipelines.graph.freeze import agents_of
from pipelines.graph.lock import AgentSpec, Library, Price
from pipelines.graph.model import Document, Kind
from pipelines.graph.places import places
from pipelines.library.agents import spec
from pipelines.library.models import DEMO_PRICES, route_among
from pipelines.library.prices import price_among
from pipelines.library.tools import TOOLS
from pipelines.models import AgentVersion, Connection, Pipeline


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


def library_of(workspace: Workspace, document: Document | None = None) -> Library:
    """Return the workspace's agents, tools, prices and published pipelines; with a document, only agents it names."""
    connections = {row.name: row for row in Connection.objects.filter(workspace=workspace)}
    return Library(
        agents=_agents(workspace, document),
        tools=TOOLS,
        prices=PriceBook(connections),
        pipelines=_pipelines(workspace, document),
    )


def _agents(workspace: Workspace, document: Document | None) -> Mapping[str, AgentSpec]:
    rows = AgentVersion.objects.filter(agent__workspace=workspace).select_related("agent")
    if document is not None:
        slugs = {ref.partition("@")[0] for place in places(document) for _, ref in agents_of(place.node)}
        rows = rows.filter(agent__slug__in=slugs)
    return {agent.id: agent for agent in map(spec, rows)}


def _pipelines(workspace: Workspace, document: Document | None) -> frozenset[str]:
    if document is not None and all(place.node.kind is not Kind.PIPELINE for place in places(document)):
        return frozenset()
    published = Pipeline.objects.filter(workspace=workspace, archived_at=None, published__isnull=False)
    return frozenset(published.values_list("slug", flat=True))
