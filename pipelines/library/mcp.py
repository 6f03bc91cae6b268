"""Tools of MCP servers as a workspace registered them.

What a server says of its tools is hostile until shown otherwise: names, descriptions and schemas are bounded and
cleaned here, what a tool does to the world is said by an admin and never by the server or the author of a pipeline,
and a digest of the server's own words pins each version.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

import re2
from django.db import transaction

from accounts import audit
from accounts.access import Actor, Capability, get, require
from accounts.errors import Invalid
from accounts.models import Workspace
from pipelines.graph import schemas
from pipelines.graph.canonical import canonical_json, digest, sanitise
from pipelines.graph.model import Json
from pipelines.graph.tools import Delivery, Effect, ToolSpec
from pipelines.library.models import MCP
from pipelines.models import Connection, McpTool

PREFIX = "mcp"
MOST_TOOLS = 200
MOST_DESCRIPTION = 4_000
MOST_SCHEMA_BYTES = 65_536
# An id stands in the journal's and the agents' columns, with its version.
MOST_ID = 118
_NAME = re2.compile(r"^[A-Za-z0-9_.-]{1,64}$")
_SAID = ("name", "title", "description", "inputSchema", "outputSchema")


class Unfit(Exception):
    """A tool that is not taken; the message says why."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A tool in its server's words, bounded and cleaned. `pin` is the digest of the words as they came."""

    remote: str
    description: str
    args_schema: Mapping[str, Json]
    result_schema: Mapping[str, Json]
    pin: str


@dataclass(frozen=True, slots=True)
class Said:
    """What an admin says of one tool: what it does to the world, and how safely it is sent again."""

    effect: str = str(Effect.IRREVERSIBLE)
    delivery: str = str(Delivery.NEITHER)


@dataclass(slots=True)
class Registered:
    """`tools` are those that a pipeline may use now; `refused` maps what is not taken to the reason."""

    tools: list[ToolSpec] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def pin_of(offered: Mapping[str, Json]) -> str:
    """Return the digest of all that a model or a reviewer could be misled by; raise TypeError for what is no JSON."""
    return digest({name: offered.get(name) for name in _SAID})


def read(offered: Mapping[str, Json]) -> Definition:
    """Return the tool that a server offers ({name, description?, inputSchema, outputSchema?}); raise Unfit."""
    name = offered.get("name")
    if not isinstance(name, str) or not _NAME.match(name):
        raise Unfit("Its name is not 1 to 64 letters, digits, dots, hyphens and underscores.")
    description = clean(str(offered.get("description") or ""))
    if len(description) > MOST_DESCRIPTION:
        raise Unfit(f"Its description is longer than {MOST_DESCRIPTION:,} characters.")
    wanted = _schema(offered.get("inputSchema"), "arguments")
    if wanted.get("type") != "object":
        raise Unfit("Its arguments are no object.")
    returned = offered.get("outputSchema")
    structured = {} if returned is None else _schema(returned, "result")
    result = {"type": "object", "properties": {"text": {"type": "string"}, "structured": structured}}
    return Definition(name, description, wanted, result, pin_of(offered))


def clean(text: str) -> str:
    """Return the text without characters that nobody sees: they could tell a model what a person never read."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn"))


def register(
    actor: Actor, connection: Connection, offered: Iterable[Mapping[str, Json]], said: Mapping[str, Said] | None
) -> Registered:
    """Register what a server offers, or of it the tools in `said`, each in a new version where anything changed.

    A tool that an admin says nothing of keeps what was said of the same words before; else it is irreversible and
    never sent twice. Raise Invalid (`unknown_tool`) for a tool that the server does not offer, Forbidden.
    """
    require(actor, Capability.CONNECTIONS)
    found, registered = definitions(connection.name, offered)
    for index, name in enumerate(said or ()):
        if name not in found and name not in registered.refused:
            raise Invalid(
                f"{connection.name} offers no tool {name[:80]!r}.", code="unknown_tool", where=f"/tools/{index}/name"
            )
    with transaction.atomic():
        get(Connection.objects.select_for_update(), actor, pk=connection.pk)  # it may be gone since it was asked
        newest = newest_of(actor.workspace, connection.name)
        for name, definition in found.items():
            if said is None or name in said:
                row = _version(actor, connection, definition, newest.get(name), (said or {}).get(name))
                registered.tools.append(spec(row))
    return registered


def specs(workspace: Workspace) -> dict[str, ToolSpec]:
    """Return every registered tool version of a workspace by id@version. One query."""
    rows = McpTool.objects.filter(workspace=workspace).order_by("connection", "remote", "number")
    return {tool.id: tool for tool in map(spec, rows)}


def spec(row: McpTool) -> ToolSpec:
    """Return a registered tool as the engine reads it. Its title is ours: the server's could pose as another tool."""
    return ToolSpec(
        id=f"{PREFIX}.{row.connection}.{row.remote}@{row.number}",
        title=f"{row.remote} at {row.connection}",
        description=row.description,
        args_schema=row.args_schema,
        result_schema=row.result_schema,
        effect=Effect(row.effect),
        delivery=Delivery(row.delivery),
        connection=row.connection,
        remote=row.remote,
        pin=row.pin,
    )


def server(workspace_id: UUID, name: str) -> Connection | None:
    """Return the connection of this name that leads to an MCP server. One query."""
    return Connection.objects.filter(workspace_id=workspace_id, name=name, kind=MCP).first()


def definitions(connection: str, offered: Iterable[Mapping[str, Json]]) -> tuple[dict[str, Definition], Registered]:
    """Return by name the tools of what a server offers that can be taken, and why the others cannot (`refused`)."""
    found: dict[str, Definition] = {}
    registered = Registered()
    for position, tool in enumerate(offered):
        shown = clean(str(tool.get("name")))[:80] or f"tool {position + 1}"
        try:
            if position >= MOST_TOOLS:
                raise Unfit(f"A server may offer {MOST_TOOLS} tools here.")
            definition = read(tool)
            if len(f"{PREFIX}.{connection}.{definition.remote}") > MOST_ID:
                raise Unfit("Its name and the connection's are too long together.")
            if definition.remote in found:
                raise Unfit("The server offers two tools of this name.")
            found[definition.remote] = definition
        except (Unfit, TypeError) as error:
            found.pop(shown, None)
            registered.refused[shown] = str(error)
    return found, registered


def newest_of(workspace: Workspace, connection: str) -> dict[str, McpTool]:
    """Return the registered tools of a connection by the server's name for them, each in its newest version."""
    rows = McpTool.objects.filter(workspace=workspace, connection=connection).order_by("remote", "-number")
    return {row.remote: row for row in rows.distinct("remote")}


def _version(
    actor: Actor, connection: Connection, definition: Definition, newest: McpTool | None, said: Said | None
) -> McpTool:
    is_same = newest is not None and newest.pin == definition.pin
    if said is None:
        said = Said(newest.effect, newest.delivery) if newest is not None and is_same else Said()
    if newest is not None and is_same and (newest.effect, newest.delivery) == (said.effect, said.delivery):
        return newest
    row = McpTool.objects.create(
        workspace=actor.workspace,
        connection=connection.name,
        remote=definition.remote,
        number=(newest.number if newest else 0) + 1,
        description=definition.description,
        args_schema=definition.args_schema,
        result_schema=definition.result_schema,
        effect=said.effect,
        delivery=said.delivery,
        pin=definition.pin,
        created_by=actor.user,
    )
    told = {"effect": row.effect, "delivery": row.delivery, "pin": row.pin}
    audit.record(actor.workspace, actor.user, "tool.registered", spec(row).id, told)
    return row


def _schema(schema: Json, what: str) -> dict[str, Json]:
    if not isinstance(schema, dict):
        raise Unfit(f"The schema of its {what} is no object.")
    if sanitise(schema)[1] or len(canonical_json(schema)) > MOST_SCHEMA_BYTES:
        raise Unfit(f"The schema of its {what} is larger than {MOST_SCHEMA_BYTES:,} bytes or cannot be kept.")
    if (refusal := schemas.check_schema(schema)) is not None:
        raise Unfit(f"The schema of its {what} is refused: {refusal.message}")
    return dict(_without_hidden(schema))


def _without_hidden(schema: Mapping[str, Json]) -> dict[str, Json]:
    """Return a schema whose titles and descriptions say only what a person can read."""
    return {key: _cleaned(key, value) for key, value in schema.items()}


def _cleaned(key: str, value: Json) -> Json:
    match value:
        case str() if key in ("title", "description"):
            return clean(value)[:MOST_DESCRIPTION]
        case dict():
            return _without_hidden(value)
        case list():
            return [_cleaned(key, item) for item in value]
        case _:
            return value
