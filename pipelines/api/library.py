"""Routes of what pipelines are made from: agents and connections."""

from typing import Any

from django.db.models import Prefetch
from django.http import HttpRequest
from ninja import Router, Status
from pydantic import Field

from accounts.access import get, scoped
from accounts.errors import NotFound
from accounts.paging import page
from accounts.schemas import Body
from pipelines import connection_uses
from pipelines.api import shapes
from pipelines.api.caller import caller
from pipelines.library import agents, circuits, connections
from pipelines.models import Agent, AgentVersion, Connection

router = Router(tags=["library"])


class AgentIn(shapes.AgentFieldsIn):
    slug: str
    name: str = Field("", max_length=120)


class PricesIn(Body):
    prices: dict[str, shapes.PriceIn]


@router.get("/agents", response=shapes.Page[shapes.AgentOut], summary="List agents, each in its newest version")
def list_agents(request: HttpRequest, cursor: str | None = None, limit: int | None = None) -> Any:
    newest = AgentVersion.objects.select_related("agent").order_by("agent_id", "-number").distinct("agent_id")
    rows = scoped(Agent, caller(request)).prefetch_related(Prefetch("versions", newest))
    return page(rows, cursor, limit, "slug", lambda row: shapes.agent(row.versions.all()[0]))


@router.post("/agents", response={201: shapes.AgentOut}, summary="Create an agent")
def create_agent(request: HttpRequest, body: AgentIn) -> Status[Any]:
    fields = body.model_dump()
    slug, name = fields.pop("slug"), fields.pop("name")
    created = agents.create(caller(request), slug, agents.AgentFields.from_json(fields), name)
    return Status(201, shapes.agent(created))


@router.get("/agents/{slug}", response=shapes.AgentOut, summary="Read an agent, in its newest version unless asked")
def read_agent(request: HttpRequest, slug: str, version: int | None = None) -> Any:
    rows = AgentVersion.objects.select_related("agent").filter(agent__slug=slug).order_by("-number")
    actor = caller(request)
    if version is not None:
        return shapes.agent(get(rows, actor, through="agent__workspace", number=version))
    newest = scoped(rows, actor, through="agent__workspace").first()
    if newest is None:
        raise NotFound
    return shapes.agent(newest)


@router.get(
    "/agents/{slug}/versions", response=shapes.Page[shapes.AgentOut], summary="List an agent's versions, newest first"
)
def agent_versions(request: HttpRequest, slug: str, cursor: str | None = None, limit: int | None = None) -> Any:
    agent = get(Agent, caller(request), slug=slug)
    return page(agent.versions.select_related("agent"), cursor, limit, "-number", shapes.agent)


@router.post("/agents/{slug}/versions", response={201: shapes.AgentOut}, summary="Save an agent's next version")
def create_agent_version(request: HttpRequest, slug: str, body: shapes.AgentFieldsIn) -> Status[Any]:
    agent = get(Agent, caller(request), slug=slug)
    fields = agents.AgentFields.from_json(body.model_dump())
    return Status(201, shapes.agent(agents.new_version(caller(request), agent, fields)))


@router.get("/connections", response=shapes.Page[shapes.ConnectionOut], summary="List connections to model providers")
def list_connections(request: HttpRequest, cursor: str | None = None, limit: int | None = None) -> Any:
    actor = caller(request)
    opened = circuits.opened(actor.workspace.pk)
    return page(scoped(Connection, actor), cursor, limit, "name", lambda row: shapes.connection(row, opened))


@router.post("/connections", response={201: shapes.ConnectionOut}, summary="Create a connection")
def create_connection(request: HttpRequest, body: shapes.ConnectionIn) -> Status[Any]:
    return Status(201, shapes.connection(connections.create(caller(request), _fields(body))))


@router.get("/connections/{name}", response=shapes.ConnectionOut, summary="Read a connection")
def read_connection(request: HttpRequest, name: str) -> Any:
    return shapes.connection(get(Connection, caller(request), name=name))


@router.put("/connections/{name}", response=shapes.ConnectionOut, summary="Replace a connection")
def change_connection(request: HttpRequest, name: str, body: shapes.ConnectionIn) -> Any:
    connection = get(Connection, caller(request), name=name)
    return shapes.connection(connections.change(caller(request), connection, _fields(body)))


@router.put("/connections/{name}/prices", response=shapes.ConnectionOut, summary="Set a connection's own prices")
def set_prices(request: HttpRequest, name: str, body: PricesIn) -> Any:
    connection = get(Connection, caller(request), name=name)
    prices = body.model_dump()["prices"]
    return shapes.connection(connections.set_prices(caller(request), connection, prices))


@router.delete("/connections/{name}", response={204: None}, summary="Remove a connection that nothing uses")
def remove_connection(request: HttpRequest, name: str) -> Status[None]:
    connection_uses.remove_unused(caller(request), name)
    return Status(204, None)


def _fields(body: shapes.ConnectionIn) -> connections.ConnectionFields:
    fields = body.model_dump()
    return connections.ConnectionFields(**{**fields, "secret": fields["secret"] or ""})
