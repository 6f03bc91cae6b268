"""Tools of MCP servers: the connection looked up anew for each call, its secret revealed for the wire alone."""

from collections.abc import Mapping
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError

from accounts import secrets
from accounts.errors import NotFound
from pipelines.graph.model import Json
from pipelines.graph.tools import ToolSpec
from pipelines.library import mcp as library
from pipelines.models import Connection
from runs.execution import database
from runs.execution.context import ToolCall
from runs.execution.failures import config, transient
from runs.execution.mcp import client
from runs.execution.mcp.client import Server


async def run(spec: ToolSpec, args: Mapping[str, Json], call: ToolCall) -> Json:
    """Return what the tool answered; raise a Failure, AnswerLost when it may have acted."""
    try:
        server = await database.ask(lambda: _server(UUID(call.workspace_id), str(spec.connection)))
    except DatabaseError as error:
        raise transient("database", f"The connection {spec.connection} could not be looked up: {error}") from error
    return await client.call(server, spec, args, call.idempotency_key)


def server_of(connection: Connection) -> Server:
    """Return where a connection leads, with its secret's value; raise a config Failure. At most one query."""
    try:
        secret = secrets.reveal(connection.workspace_id, connection.secret) if connection.secret else ""
    except (NotFound, ImproperlyConfigured) as error:
        raise config("no_secret", f"The secret of {connection.name} cannot be read: {error}") from error
    return Server(connection.name, connection.base_url, secret, connection.trusted_address, connection.secret_header)


def _server(workspace_id: UUID, name: str) -> Server:
    connection = library.server(workspace_id, name)
    if connection is None:
        raise config("no_such_connection", f"There is no MCP connection named {name}. Add it under Connections.")
    return server_of(connection)
