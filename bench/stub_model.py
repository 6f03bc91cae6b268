"""A model server for measuring: OpenAI's chat completions after a fixed latency, on loopback, as fast as it goes.

Run `python -m bench.stub_model PORT`. The model `stub-<N>ms` answers after N milliseconds. A prompt that carries
`[run=RUN step=STEP]` is counted: `GET /calls` returns {"RUN": {"STEP": n}}.
"""

import asyncio
import re
import sys

import orjson
import uvloop

ANSWER = ("The quarterly figures were checked against the ledger and agree within tolerance. " * 4)[:300]
MARK = re.compile(rb"\[run=([\w.:-]+) step=([\w.-]+)\]")
LATENCY = re.compile(r"stub-(\d+)ms$")


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests are answered in order."""

    calls: dict[str, dict[str, int]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, separator, rest = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        size = int(length.group(1)) if length else 0
        if len(rest) < size:
            return
        self.buffer = rest[size:]
        self.answer(head.split(b" ", 2)[1], rest[:size])

    def answer(self, path: bytes, body: bytes) -> None:
        if path == b"/calls":
            self.send(orjson.dumps(self.calls))
            return
        request = orjson.loads(body)
        for mark in MARK.finditer(body):
            run, step = mark.group(1).decode(), mark.group(2).decode()
            steps = self.calls.setdefault(run, {})
            steps[step] = steps.get(step, 0) + 1
        found = LATENCY.search(request["model"])
        delay = int(found.group(1)) / 1000 if found else 0.0
        reply = orjson.dumps(completion(request["model"], len(body) // 4))
        if delay:
            asyncio.get_running_loop().call_later(delay, self.send, reply)
        else:
            self.send(reply)

    def send(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        if not self.transport.is_closing():
            self.transport.write(head + body)


def completion(model: str, input_tokens: int) -> dict[str, object]:
    return {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": ANSWER}},
        ],
        "usage": {"prompt_tokens": input_tokens, "completion_tokens": 75, "total_tokens": input_tokens + 75},
    }


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
