"""The tools there are; and what an MCP server offers, asked and registered. What reaches out is the execution's."""

from typing import Any

from django.http import HttpRequest
from ninja import Router, Status
from pydantic import Field

from accounts.access import Actor, Capability, actor_of, get, require
from accounts.errors import Invalid
from accounts.schemas import Body
from pipelines.api.shapes import Page, ToolOut
from pipelines.api.shapes import tool as shown
from pipelines.graph.tools import Delivery, Effect
from pipelines.library import mcp as library
from pipelines.library.library import tools_of
from pipelines.library.mcp import Said
from pipelines.library.models import MCP
from pipelines.models import Connection
from runs.execution.mcp import listing

router = Router(tags=["library"])


class ToolIn(Body):
    name: str = Field(max_length=64, description="what the server calls it")
    effect: Effect = Field(Effect.IRREVERSIBLE, description="what a call does to the world")
    delivery: Delivery | None = Field(
        None, description="how safely a call is sent again; what changes nothing is idempotent"
    )

    @property
    def said(self) -> Said:
        safe = Delivery.IDEMPOTENT if self.effect is Effect.NONE else Delivery.NEITHER
        return Said(self.effect, self.delivery or safe)


class ToolsIn(Body):
    connection: str = Field(max_length=63, description="a connection of the kind mcp")
    tools: list[ToolIn] | None = Field(None, max_length=200, description="those to register; null for all")


class RefusedTool(Body):
    name: str
    reason: str


class RegisteredOut(Body):
    items: list[ToolOut]
    refused: list[RefusedTool] = Field(description="what the server offers and is not taken")


@router.get("/tools", response=Page[ToolOut], summary="List the tools and what they do to the world")
def list_tools(request: HttpRequest) -> Any:
    actor = actor_of(request)
    require(actor, Capability.READ)
    return {"items": [shown(tool) for tool in tools_of(actor.workspace).values()], "next": None}


@router.post("/tools", response={201: RegisteredOut}, summary="Register the tools of an MCP server")
def register(request: HttpRequest, body: ToolsIn) -> Status[Any]:
    actor = actor_of(request)
    connection = _connection(actor, body.connection)
    said = None if body.tools is None else {tool.name: tool.said for tool in body.tools}
    done = library.register(actor, connection, listing.offered(connection), said)
    refused = [{"name": name, "reason": reason} for name, reason in done.refused.items()]
    return Status(201, {"items": [shown(tool) for tool in done.tools], "refused": refused})


def _connection(actor: Actor, name: str) -> Connection:
    require(actor, Capability.CONNECTIONS)
    connection = get(Connection, actor, name=name)
    if connection.kind != MCP:
        raise Invalid(f"{name} leads to models. Choose a connection of the kind mcp.", where="/connection")
    return connection
