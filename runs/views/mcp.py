"""The Model Context Protocol at /mcp: a workspace's published pipelines as tools, over HTTP without sessions.

Source: modelcontextprotocol.io, 2025-06-18. A message comes in, one answer goes out as JSON; there is no stream to
open and nothing to keep between two requests, so any web process answers any of them. Only an API token opens it: a
page of another site has none.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from accounts import json_body
from accounts.access import Actor
from accounts.api.auth import authenticate
from accounts.errors import Forbidden, NotSignedIn, Refused, TooMany
from pipelines.graph.model import Json
from runs import offered
from runs.models import Run

VERSIONS = ("2025-06-18", "2025-03-26")
WAIT_SECONDS = 25.0
LOOK_SECONDS = 0.25
LOOK_LATER_SECONDS = 1.0
_INVALID_REQUEST, _UNKNOWN_METHOD, _INVALID_PARAMS, _PARSE_ERROR = -32600, -32601, -32602, -32700
_ABOUT = (
    "Each tool starts a run of a pipeline. A run may take minutes or wait for a person; then the answer says so, and "
    f"{offered.READ_RUN} tells later what came of it."
)


class ProtocolError(Exception):
    """What JSON-RPC calls an error: the request itself cannot be carried out."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@csrf_exempt
async def mcp(request: HttpRequest) -> HttpResponse:
    """Answer one message of the protocol."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    try:
        actor = await sync_to_async(_caller)(request)
        message = json_body.parse(request.body)
    except NotSignedIn as refused:
        return _refusal(refused, {"WWW-Authenticate": "Bearer"})
    except (Forbidden, TooMany) as refused:
        return _refusal(refused)
    except Refused as refused:
        return JsonResponse(_error(None, _PARSE_ERROR, refused.message), status=400)
    version = request.headers.get("MCP-Protocol-Version", VERSIONS[0])
    if version not in VERSIONS:
        said = f"This server speaks {' and '.join(VERSIONS)}, not {version[:40]!r}."
        return JsonResponse(_error(None, _INVALID_REQUEST, said), status=400)
    answer = await _answered(actor, message)
    response = HttpResponse(status=202) if answer is None else JsonResponse(answer)
    response.headers["Cache-Control"] = "no-store"
    return response


def _caller(request: HttpRequest) -> Actor:
    """Return who calls, by token alone; a browser's page may not, whatever its session says."""
    if not request.headers.get("Authorization"):
        raise NotSignedIn("Send an API token as Authorization: Bearer TOKEN.")
    origin = request.headers.get("Origin")
    if origin and origin != settings.BASE_URL:
        raise Forbidden("Pages of other sites may not call this address.")
    return authenticate(request)


async def _answered(actor: Actor, message: Json) -> dict[str, Json] | None:
    """Return the answer to a message; None for what wants none."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return _error(None, _INVALID_REQUEST, "This is no message of JSON-RPC 2.0. Send one at a time.")
    key, method = message.get("id"), message.get("method")
    if method is None or "id" not in message:
        return None  # an answer or a notification
    if not isinstance(key, str | int) or isinstance(key, bool) or not isinstance(method, str):
        return _error(None, _INVALID_REQUEST, "A request has a method and an id that is text or a number.")
    params = message.get("params") or {}
    try:
        if not isinstance(params, dict):
            raise ProtocolError(_INVALID_PARAMS, "params must be an object.")
        return {"jsonrpc": "2.0", "id": key, "result": await _result(actor, method, params)}
    except ProtocolError as error:
        return _error(key, error.code, str(error))


async def _result(actor: Actor, method: str, params: Mapping[str, Any]) -> dict[str, Json]:
    match method:
        case "initialize":
            return _introduction(params)
        case "ping":
            return {}
        case "tools/list":
            return await sync_to_async(_listed)(actor, params)
        case "tools/call":
            return await _called(actor, params)
    raise ProtocolError(_UNKNOWN_METHOD, f"There is no method {method[:60]!r} here.")


def _introduction(params: Mapping[str, Any]) -> dict[str, Json]:
    wanted = params.get("protocolVersion")
    return {
        "protocolVersion": wanted if wanted in VERSIONS else VERSIONS[0],
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": {"name": "baton", "title": "Baton", "version": "1.0"},
        "instructions": _ABOUT,
    }


def _listed(actor: Actor, params: Mapping[str, Any]) -> dict[str, Json]:
    cursor = params.get("cursor") or ""
    if not isinstance(cursor, str) or "\0" in cursor:
        raise ProtocolError(_INVALID_PARAMS, "The cursor is not one that this list gave out.")
    try:
        found, after = offered.tools(actor, cursor)
    except Refused as refused:
        raise ProtocolError(_INVALID_PARAMS, refused.message) from None
    return {"tools": found} | ({"nextCursor": after} if after else {})


async def _called(actor: Actor, params: Mapping[str, Any]) -> dict[str, Json]:
    name, arguments = params.get("name"), params.get("arguments") or {}
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise ProtocolError(_INVALID_PARAMS, "name must be text, and arguments an object.")
    try:
        run = await sync_to_async(offered.call)(actor, name, arguments)
    except offered.NoSuchTool as refused:
        raise ProtocolError(_INVALID_PARAMS, refused.message) from None
    except Refused as refused:
        where = f" (at {refused.where})" if refused.where else ""
        return {"content": [{"type": "text", "text": f"{refused.message}{where}"}], "isError": True}
    run = await _ended(actor, run)
    return {
        "content": [{"type": "text", "text": offered.words(run)}],
        "structuredContent": offered.told(run),
        "isError": run.state in ("failed", "cancelled"),
    }


async def _ended(actor: Actor, run: Run) -> Run:
    """Return the run once nothing more comes by itself, or as it is when the caller has waited long enough."""
    until, pause = time.monotonic() + WAIT_SECONDS, LOOK_SECONDS
    while time.monotonic() < until and not await sync_to_async(offered.is_over)(run):
        await asyncio.sleep(pause)
        pause = min(pause * 1.2, LOOK_LATER_SECONDS)
        run = await sync_to_async(offered.run_of)(actor, run.pk)
    return run


def _error(key: Json, code: int, message: str) -> dict[str, Json]:
    return {"jsonrpc": "2.0", "id": key, "error": {"code": code, "message": message}}


def _refusal(refused: Refused, headers: dict[str, str] | None = None) -> HttpResponse:
    return JsonResponse(refused.answer(), status=refused.status, headers={**refused.headers, **(headers or {})})
