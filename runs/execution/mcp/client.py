"""A session with an MCP server: what it offers, and one call of a tool that is still what was registered.

Behind it is the `mcp` package's client. It is told nothing that it could act on by itself: no process is started, no
question of the server is answered, and its own check of results is off, because that one fetches references and runs
patterns of the server's choice.
"""

import asyncio
import functools
import importlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2

from accounts import secrets
from pipelines.graph.model import Json
from pipelines.graph.tools import Delivery, Effect, ToolSpec
from pipelines.library import mcp as library
from runs.engine.facts import ErrorClass
from runs.execution.egress import connection_guard
from runs.execution.failures import AnswerLost, Failure, config
from runs.execution.mcp.wire import Wire
from runs.execution.statuses import Refusal, failure_of

MOST_PAGES = 20
MOST_SAID = 500
PROBE_SECONDS = 10.0
KEY = "baton/idempotency-key"
# Codes that the client makes up for an answer that it could not read, or that never came. -32600 may be a server's own
# word too, but one that speaks the protocol says it with a status of 400.
_UNREADABLE = frozenset({-32700, -32600, -32000, -32001})
# JSON-RPC's internal error, and how the protocol's older library spells it: what was done before it, nobody says.
_BROKE = frozenset({-32603, 0})
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is and what opens it. `secret` is a value: never stored, never shown; it goes in `secret_header`,
    or as a bearer's where none is named."""

    name: str
    base_url: str
    secret: str = ""
    trusted_address: bool = False
    secret_header: str = ""


@dataclass(frozen=True, slots=True)
class _Sdk:
    transport: Any
    session: Any
    refusal: type[Exception]


@dataclass(frozen=True, slots=True)
class _Sending:
    """What a call would change, and whether it may be sent again."""

    changes: bool = False
    repeatable: bool = True

    @classmethod
    def of(cls, spec: ToolSpec, args: Mapping[str, Json]) -> "_Sending":
        changes = spec.effect_of(args) is not Effect.NONE
        return cls(changes, not changes or spec.delivery_of(args) is not Delivery.NEITHER)


async def offered(server: Server) -> list[dict[str, Json]]:
    """Return what a server says of its tools, in its own words; raise a Failure. The caller bounds the time."""

    async def work(session: Any) -> list[dict[str, Json]]:
        return _without_secret(await session.offered(), server)

    return await _in_session(server, work)


async def call(server: Server, spec: ToolSpec, args: Mapping[str, Json], key: str) -> Json:
    """Return {"text", "structured"?} of one call, made only if the tool is still what was registered.

    Raise a config Failure `tool_changed` or `tool_gone`, a `tool_error` when the tool failed or the server refused,
    a transient one when nothing was sent, and AnswerLost when it was and no answer came that says what was done.
    """

    async def work(session: Any) -> Json:
        found = [tool for tool in await session.offered() if tool.get("name") == spec.remote][:1]
        if not found:
            raise config("tool_gone", f"{server.name} does not offer {spec.remote} any more. Register its tools again.")
        (tool,) = _without_secret(found, server)
        if library.pin_of(tool) != spec.pin:
            raise config(
                "tool_changed",
                f"{server.name} has changed what it says of {spec.remote} since {spec.id} was registered, so it is not "
                "called. Look at the change, register the tool again and publish.",
            )
        result = await session.call_tool(spec.remote, dict(args), meta={KEY: key})
        return _read(result, spec, server)

    return await _in_session(server, work, _Sending.of(spec, args))


async def _in_session(
    server: Server, work: Callable[[Any], Awaitable[Answer]], sending: _Sending = _Sending()
) -> Answer:
    sdk = await _loaded()
    wire = Wire(connection_guard(server.base_url, server.trusted_address), server.name)
    try:
        async with _session(sdk, server, wire) as session:
            return await work(session)
    except Exception as error:
        raise _failure_of(error, wire, sdk, server, sending) from error
    finally:
        await wire.aclose()


def _without_secret(tools: list[dict[str, Json]], server: Server) -> list[dict[str, Json]]:
    """Return what a server says of tools, without the secret that it was sent, should it say that too."""
    said = json.dumps(tools, ensure_ascii=False)
    if _redacted(said, server) == said:
        return tools
    return [secrets.within(tool, lambda text: _redacted(text, server)) for tool in tools]


@asynccontextmanager
async def _session(sdk: Any, server: Server, wire: Wire) -> AsyncIterator[Any]:
    """Open a session: the stateless way of speaking where the server knows it, else the handshake before it."""
    headers = {"User-Agent": "Baton"}
    if server.secret:
        bearer = {"Authorization": f"Bearer {server.secret}"}
        headers |= {server.secret_header: server.secret} if server.secret_header else bearer
    async with (
        httpx2.AsyncClient(
            transport=wire, headers=headers, timeout=None, follow_redirects=False, trust_env=False
        ) as http,
        sdk.transport(server.base_url, http_client=http) as (reading, writing),
        sdk.session(reading, writing) as session,
    ):
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await session.discover()
        except (sdk.refusal, TimeoutError, RuntimeError, ValueError):  # it may not even answer what it does not know
            await session.initialize()
        wire.failure = None
        yield session


def _read(result: Any, spec: ToolSpec, server: Server) -> Json:
    found = [(block.type, _text_of(block)) for block in result.content]
    texts = [text for _, text in found if text is not None]
    other = sorted({kind for kind, text in found if text is None})
    text = _redacted("\n\n".join(texts), server)
    if result.is_error:
        raise Failure(ErrorClass.TOOL_ERROR, "mcp_failed", f"{spec.title} says: {text[:MOST_SAID] or 'it failed'}")
    answer: dict[str, Json] = {"text": text}
    if other:
        answer["left_out"] = other
    if result.structured_content is not None:
        answer["structured"] = secrets.within(result.structured_content, lambda said: _redacted(said, server))
    return answer


def _text_of(block: Any) -> str | None:
    """Return the text of a block, or of the file it encloses; None for pictures, sound and other bytes."""
    if block.type == "text":
        return str(block.text)
    return getattr(block.resource, "text", None) if block.type == "resource" else None


def _redacted(text: str, server: Server) -> str:
    return secrets.redact(text, [server.secret]) if len(server.secret) >= secrets.SHORTEST else text


def _failure_of(error: Exception, wire: Wire, sdk: _Sdk, server: Server, sending: _Sending) -> Failure:
    """Return our failure for what a session raised; the wire's own memory comes before the client's words."""
    leaves = _leaves(error)
    if (ours := next((leaf for leaf in leaves if isinstance(leaf, Failure)), wire.failure)) is not None:
        return ours
    words = _redacted(library.clean(str(leaves[0])), server)[:MOST_SAID]
    if wire.status >= 400:
        refusal = Refusal(wire.status, f"{server.name} answered {wire.status}: {words}", wire.retry_after)
        repeatable = sending.repeatable or not wire.called
        return failure_of(refusal, changes=wire.called and sending.changes, repeatable=repeatable)
    unsaid = AnswerLost if wire.called else Failure
    code = getattr(leaves[0], "code", 0) if isinstance(leaves[0], sdk.refusal) else None
    if code in _BROKE:
        return unsaid(ErrorClass.TRANSIENT, "mcp_failed", f"{server.name} broke: {words}")
    if code is None or code in _UNREADABLE:
        message = f"{server.name} sent no answer that can be read: {words}"
        return unsaid(ErrorClass.TOOL_ERROR, "malformed_answer", message)
    return Failure(ErrorClass.TOOL_ERROR, "mcp_refused", f"{server.name} refused: {words}")


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


async def _loaded() -> _Sdk:
    """Return the client library; its first import takes a second of CPU, which must not stall the loop."""
    return await asyncio.to_thread(_sdk)


@functools.cache
def _sdk() -> _Sdk:
    sessions = importlib.import_module("mcp.client.session")
    transports = importlib.import_module("mcp.client.streamable_http")
    types = importlib.import_module("mcp_types")
    errors = importlib.import_module("mcp.shared.exceptions")

    class Session(sessions.ClientSession):  # type: ignore[misc, name-defined]
        """The library's session without its check of results, which the module's first words tell of."""

        async def validate_tool_result(self, name: str, result: object) -> None:
            pass

        async def offered(self) -> list[dict[str, Json]]:
            """Return all tools as the server describes them, page after page within bounds."""
            found: list[dict[str, Json]] = []
            cursor: str | None = None
            for _ in range(MOST_PAGES):
                params = None if cursor is None else types.PaginatedRequestParams(cursor=cursor)
                answer = await self.list_tools(params=params)
                found += [tool.model_dump(by_alias=True, mode="json", exclude_none=True) for tool in answer.tools]
                cursor = answer.next_cursor
                if not cursor or len(found) > library.MOST_TOOLS:
                    break
            return found

    return _Sdk(transports.streamable_http_client, Session, errors.MCPError)
