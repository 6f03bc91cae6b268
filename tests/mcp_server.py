"""A real MCP server on 127.0.0.1, in a thread of its own, whose tools can change and whose answers can go wrong."""

import json
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server as Protocol

Send = Callable[[dict[str, Any]], Awaitable[None]]
ECHO: dict[str, Any] = {
    "name": "echo",
    "description": "Says what it was told.",
    "inputSchema": {
        "type": "object",
        "required": ["text"],
        "additionalProperties": False,
        "properties": {"text": {"type": "string"}},
    },
}


class McpServer:
    """`tools` are what it offers, by name and in the protocol's words; `calls` what it was asked to do.

    `answers` maps a tool to what its call comes to (default: its text). `faults` maps a method of the protocol to raw
    ASGI that answers instead. `legacy` makes it know only the handshake. `token`, if any, is asked for, as a
    bearer's or in `header`.
    """

    def __init__(self, *tools: dict[str, Any], legacy: bool = False, token: str = "") -> None:
        self.tools = {tool["name"]: tool for tool in (tools or (ECHO,))}
        self.calls: list[dict[str, Any]] = []
        self.methods: list[str] = []
        self.answers: dict[str, Callable[[dict[str, Any]], types.CallToolResult]] = {}
        self.faults: dict[str, Callable[[Send], Awaitable[None]]] = {}
        self.legacy, self.token, self.header = legacy, token, ""
        protocol: Any = Protocol("test", on_list_tools=self._list, on_call_tool=self._call)
        self._app = protocol.streamable_http_app(session_idle_timeout=None)
        config = uvicorn.Config(
            self._asgi, port=0, interface="asgi3", log_level="critical", lifespan="on", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    @property
    def url(self) -> str:
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}/mcp"

    def __enter__(self) -> "McpServer":
        self._thread.start()
        deadline = time.monotonic() + 30
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("The MCP server did not start.")
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)

    async def _list(self, _context: Any, _params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[types.Tool.model_validate(tool) for tool in self.tools.values()])

    async def _call(self, _context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        args = dict(params.arguments or {})
        self.calls.append({"name": params.name, "args": args, "meta": dict(params.meta or {})})
        answer = self.answers.get(params.name)
        return answer(args) if answer else says(str(args.get("text", "done")))

    async def _asgi(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        method = json.loads(body).get("method", "") if body else scope["method"]
        self.methods.append(method)
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        key = headers.get(self.header) if self.header else headers.get("authorization", "").removeprefix("Bearer ")
        if self.token and key != self.token:
            await answered(send, 401, b"{}")
        elif method in self.faults:
            await self.faults[method](send)
        elif self.legacy and method == "server/discover":
            await answered(send, 404, b"")
        else:
            rest = [{"type": "http.request", "body": body, "more_body": False}]

            async def replay() -> Any:
                return rest.pop() if rest else await receive()

            await self._app(scope, replay, send)


def says(text: str, **fields: Any) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], **fields)


async def answered(send: Send, status: int, body: bytes, kind: bytes = b"application/json") -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": body})
