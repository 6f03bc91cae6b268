"""A scripted model server that speaks OpenAI's wire format over loopback and counts what it is asked.

In a test's own loop: `async with ModelServer() as server: server.script(Reply(text="hello"))`.
As a process: `python -m tests.model_server PORT`, steered over HTTP:
  POST /admin/script   [{"text": "hi", "times": 1}, …]   replies are tried in order; each has an optional match
  GET  /admin/stats    {"calls", "most_in_flight", "markers": {run: {step: count}}}
  GET  /admin/calls    [{"model", "marker", "key", "body", "at"}]   in the order in which they came
  POST /admin/reset
A prompt may carry "[run=ID step=NAME]": calls are counted by that marker (the last one in the request wins).
A model named `stub-200ms` answers after 200 ms; `stub-<kind>` behaves as the Reply of that kind.
"""

import asyncio
import json
import re
import sys
import time
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from runs.execution.models.samples import Words, instance
from tests.loopback import HangUp, Request, Response, port_of, serve

MARKER = re.compile(r"\[run=([\w.:-]+) step=([\w.\[\]#~>/-]+)\]")
LATENCY = re.compile(r"stub-(\d+)ms$")
TEXT = "The figures were checked against the ledger and agree within tolerance."


@dataclass
class Reply:
    """How to answer. `kind`: ok, 429, 500, 503, 400, 401, 404, hang, close, malformed, truncated, empty, wrong_schema,
    not_json, refusal, filter, slow (a byte each `latency` seconds), big (6 MB), no_usage.

    `match` is text the request must contain; `times` how often the reply is given before the next one is tried.
    """

    kind: str = "ok"
    text: str | None = None
    json: Any = None
    tool_calls: list[dict[str, Any]] | None = None
    latency: float = 0.0
    retry_after: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int = 0
    finish: str | None = None
    match: str = ""
    times: int | None = None


@dataclass
class Call:
    model: str
    marker: tuple[str, str] | None
    key: str
    body: dict[str, Any]
    headers: dict[str, str]
    at: float = field(default_factory=time.time)


class ModelServer:
    """The server and its memory; `base_url` ends in /v1."""

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self.reset()

    def reset(self) -> None:
        self.replies: list[Reply] = []
        self.calls: list[Call] = []
        self.in_flight = self.most_in_flight = 0

    def script(self, *replies: Reply) -> None:
        """Answer with these, in order; when they are used up, with plain text or an instance of the schema."""
        self.replies = list(replies)

    @property
    def base_url(self) -> str:
        assert self._server
        return f"http://127.0.0.1:{port_of(self._server)}/v1"

    def count(self, run: str, step: str) -> int:
        return sum(call.marker == (run, step) for call in self.calls)

    def stats(self) -> dict[str, Any]:
        markers: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for call in self.calls:
            if call.marker:
                markers[call.marker[0]][call.marker[1]] += 1
        return {"calls": len(self.calls), "most_in_flight": self.most_in_flight, "markers": markers}

    async def __aenter__(self) -> "ModelServer":
        self._server = await serve(self._handle, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()

    async def _handle(self, request: Request) -> Response:
        match request.method, request.path:
            case "POST", "/admin/script":
                known = {field.name for field in fields(Reply)}
                self.script(*(Reply(**{k: v for k, v in item.items() if k in known}) for item in request.json()))
                return Response.of({})
            case "POST", "/admin/reset":
                self.reset()
                return Response.of({})
            case _, "/admin/stats":
                return Response.of(self.stats())
            case _, "/admin/calls":
                return Response.of([{**asdict(call), "headers": {}} for call in self.calls])
            case "POST", path if path.endswith("/chat/completions"):
                return await self._chat(request)
        return Response.of({"error": {"message": "There is nothing here."}}, 404)

    async def _chat(self, request: Request) -> Response:
        body = request.json()
        found = MARKER.findall(json.dumps(body["messages"]))
        key = request.headers.get("idempotency-key", "")
        self.calls.append(Call(body["model"], found[-1] if found else None, key, body, request.headers))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            reply = self._choose(body, request.body.decode())
            if reply.latency and reply.kind != "slow":
                await asyncio.sleep(reply.latency)
            return await _answer(reply, body)
        finally:
            self.in_flight -= 1

    def _choose(self, body: dict[str, Any], text: str) -> Reply:
        for reply in self.replies:
            if reply.match in text and reply.times != 0:
                if reply.times is not None:
                    reply.times -= 1
                return reply
        if match := LATENCY.search(body["model"]):
            return Reply(latency=int(match.group(1)) / 1000)
        _, _, kind = body["model"].rpartition("stub-")
        return Reply(kind=kind if body["model"].startswith("stub-") else "ok")


async def _answer(reply: Reply, body: dict[str, Any]) -> Response:
    if reply.kind.isdigit():
        retry = {"Retry_After": reply.retry_after} if reply.retry_after else {}
        error = {"message": reply.text or f"scripted {reply.kind}", "type": "scripted", "code": None}
        return Response.of({"error": error}, int(reply.kind), **retry)
    if reply.kind == "hang":
        await asyncio.sleep(3600)
    if reply.kind == "close":
        raise HangUp
    if reply.kind == "filter":
        return Response.of({"error": {"message": "blocked", "code": "content_filter"}}, 400)
    whole = json.dumps(_completion(reply, body)).encode()
    headers = (("Content-Type", "application/json"),)
    match reply.kind:
        case "malformed":
            return Response(200, whole[: len(whole) // 2], headers)
        case "truncated":
            return Response(200, whole[: len(whole) // 2], headers, cut=True)
        case "slow":
            return Response(200, whole, headers, drip=reply.latency or 1.0)
        case "big":
            return Response(200, whole[:-1] + b" " * 6_000_000 + b"}", headers)
    return Response(200, whole, headers)


def _completion(reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": _content(reply, body)}
    if reply.tool_calls:
        message["tool_calls"] = [
            {"id": call.get("id", f"call_{n}"), "type": "function", "function": _function(call)}
            for n, call in enumerate(reply.tool_calls)
        ]
    if reply.kind == "refusal":
        message |= {"content": None, "refusal": reply.text or "I cannot help with that."}
    said = json.dumps(message)
    finish = reply.finish or ("tool_calls" if reply.tool_calls else "stop")
    completion = {
        "id": f"chatcmpl-{time.monotonic_ns()}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    if reply.kind != "no_usage":
        sent = len(json.dumps(body)) // 4 if reply.input_tokens is None else reply.input_tokens
        written = len(said) // 4 if reply.output_tokens is None else reply.output_tokens
        completion["usage"] = {
            "prompt_tokens": sent,
            "completion_tokens": written,
            "total_tokens": sent + written,
            "prompt_tokens_details": {"cached_tokens": reply.cached_tokens},
        }
    return completion


def _function(call: dict[str, Any]) -> dict[str, Any]:
    args = call["args"]
    return {"name": call["name"], "arguments": args if isinstance(args, str) else json.dumps(args)}


def _content(reply: Reply, body: dict[str, Any]) -> str | None:
    if reply.kind == "empty":
        return ""
    if reply.kind == "wrong_schema":
        return json.dumps({"unexpected": True})
    if reply.kind == "not_json":
        return "Sure! Here is what you asked for."
    if reply.json is not None:
        return json.dumps(reply.json)
    if reply.text is not None:
        return reply.text
    if reply.tool_calls:
        return None
    schema = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
    if schema:
        asked = str(body["messages"][-1].get("content"))
        return json.dumps(instance(schema, Words("Figures", TEXT, (TEXT,), asked)))
    return TEXT


async def _forever(port: int) -> None:
    async with ModelServer(port) as server:
        print(server.base_url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_forever(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
