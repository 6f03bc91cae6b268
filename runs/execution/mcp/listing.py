"""Asks an MCP server what it offers, within bounds; whoever asks is a person who waits."""

import asyncio

from asgiref.sync import async_to_sync

from accounts.errors import Refused
from pipelines.graph.model import Json
from pipelines.library.mcp import MOST_TOOLS
from pipelines.models import Connection
from runs.execution.failures import Failure
from runs.execution.mcp import client
from runs.execution.tools.mcp import server_of

LISTING_SECONDS = 20.0


class Unreachable(Refused):
    """The other side did not answer as it should."""

    code, status = "server_unreachable", 502


def offered(connection: Connection) -> list[dict[str, Json]]:
    """Return what a server says of its tools, in its own words and up to one more than can be taken; Unreachable."""

    async def ask() -> list[dict[str, Json]]:
        async with asyncio.timeout(LISTING_SECONDS):
            return await client.offered(server)

    try:
        server = server_of(connection)
        return async_to_sync(ask)()[: MOST_TOOLS + 1]
    except Failure as failure:
        raise Unreachable(failure.error.message) from failure
    except TimeoutError:
        raise Unreachable(f"{connection.name} did not say within {LISTING_SECONDS:g} s what it offers.") from None
