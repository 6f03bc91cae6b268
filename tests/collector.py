"""A real OpenTelemetry collector on 127.0.0.1, in threads of its own: it decodes what it is sent and keeps it."""

import json
import struct
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Taken = dict[str, Any]
Answer = tuple[int, bytes]


class Collector:
    """`spans` are all it was sent, in order, each {trace, id, parent, name, kind, start, end, error, attributes,
    events}, also what it then did not answer for. `answer` says what it answers to the spans of one request; `silent`
    makes it keep them and never answer."""

    def __init__(self, port: int = 0) -> None:
        self.spans: list[Taken] = []
        self.requests: list[dict[str, Any]] = []
        self.answer: Callable[[list[Taken]], Answer] = lambda spans: (200, b"")
        self.silent = threading.Event()
        self.told = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector._take(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> "Collector":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def by_id(self) -> dict[str, Taken]:
        return {span["id"]: span for span in self.spans}

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        kind = handler.headers["Content-Type"]
        found = list(of_json(body) if kind == "application/json" else of_protobuf(body))
        self.requests.append({"path": handler.path, "headers": dict(handler.headers), "spans": found, "body": body})
        status, said = self.answer(found)
        self.spans += found
        self.told.set()
        if self.silent.is_set():
            handler.close_connection = True
            threading.Event().wait(30)
            return
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(said)))
        handler.end_headers()
        handler.wfile.write(said)


# -- JSON -------------------------------------------------------------------------------------------------------------


def of_json(body: bytes) -> Iterator[Taken]:
    for resource in json.loads(body)["resourceSpans"]:
        shared = _read_pairs(resource["resource"]["attributes"])
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                yield {
                    "trace": span["traceId"],
                    "id": span["spanId"],
                    "parent": span.get("parentSpanId"),
                    "name": span["name"],
                    "kind": span["kind"],
                    "start": int(span["startTimeUnixNano"]),
                    "end": int(span["endTimeUnixNano"]),
                    "error": span["status"]["code"] == 2,
                    "attributes": _read_pairs(span["attributes"]),
                    "events": [(one["name"], _read_pairs(one["attributes"])) for one in span.get("events", ())],
                    "resource": shared,
                    "scope": scope["scope"]["name"],
                }


def _read_pairs(pairs: list[Any]) -> dict[str, Any]:
    found = {pair["key"]: _read_value(pair["value"]) for pair in pairs}
    assert len(found) == len(pairs), "no attribute stands twice"
    return found


def _read_value(value: dict[str, Any]) -> Any:
    ((kind, held),) = value.items()
    match kind:
        case "intValue":
            assert isinstance(held, str), "64-bit numbers are text in JSON"
            return int(held)
        case "arrayValue":
            return [_read_value(item) for item in held["values"]]
        case "stringValue" | "boolValue" | "doubleValue":
            return held
    raise AssertionError(f"no value is called {kind}")


# -- protobuf ---------------------------------------------------------------------------------------------------------


def of_protobuf(body: bytes) -> Iterator[Taken]:
    for resource_spans in _all(body, 1):
        shared = _keys(_all(_all(resource_spans, 1)[0], 1))
        for scope_spans in _all(resource_spans, 2):
            scope = _all(_all(scope_spans, 1)[0], 1)[0].decode()
            for span in _all(scope_spans, 2):
                yield {**_span(span), "resource": shared, "scope": scope}


def _span(body: bytes) -> Taken:
    fields = _fields(body)
    (trace,), (own,), parents = fields[1], fields[2], fields.get(4, [])
    assert (len(trace), len(own)) == (16, 8)
    events = [_fields(event) for event in fields.get(11, [])]
    return {
        "trace": trace.hex(),
        "id": own.hex(),
        "parent": parents[0].hex() if parents else None,
        "name": fields[5][0].decode(),
        "kind": fields[6][0],
        "start": fields[7][0],
        "end": fields[8][0],
        "error": _fields(fields[15][0])[3][0] == 2,
        "attributes": _keys(fields.get(9, [])),
        "events": [(event[2][0].decode(), _keys(event.get(3, []))) for event in events],
    }


def _keys(pairs: list[bytes]) -> dict[str, Any]:
    read = [_fields(pair) for pair in pairs]
    found = {pair[1][0].decode(): _any(pair[2][0]) for pair in read}
    assert len(found) == len(pairs), "no attribute stands twice"
    return found


def _any(body: bytes) -> Any:
    (((number, (held,))),) = _fields(body).items()
    match number:
        case 1:
            return held.decode()
        case 2:
            return bool(held)
        case 3:
            return held - 2**64 if held >= 2**63 else held
        case 4:
            return struct.unpack("<d", struct.pack("<Q", held))[0]
        case 5:
            return [_any(item) for item in _fields(held).get(1, [])]
    raise AssertionError(f"no value has the number {number}")


def _all(body: bytes, number: int) -> list[Any]:
    return _fields(body).get(number, [])


def _fields(body: bytes) -> dict[int, list[Any]]:
    """Return a message's fields: numbers as int, texts and messages as bytes."""
    found: dict[int, list[Any]] = {}
    rest = memoryview(body)
    while rest:
        tag, rest = _varint(rest)
        match tag & 7:
            case 0:
                value, rest = _varint(rest)
            case 1:
                value, rest = int.from_bytes(rest[:8], "little"), rest[8:]
            case 2:
                size, rest = _varint(rest)
                assert len(rest) >= size
                value, rest = bytes(rest[:size]), rest[size:]
            case other:
                raise AssertionError(f"no field has the wire type {other}")
        found.setdefault(tag >> 3, []).append(value)
    return found


def _varint(rest: memoryview) -> tuple[int, memoryview]:
    value = 0
    for place, byte in enumerate(rest):
        value |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            return value, rest[place + 1 :]
    raise AssertionError("a number without an end")
