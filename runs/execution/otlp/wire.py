"""OTLP over HTTP, version 1: spans as the bytes of a request, in protobuf or JSON, and what an answer means. Pure.

Source: opentelemetry-proto 1.x, `collector/trace/v1` and `trace/v1`; the JSON form writes ids in hex and 64-bit
numbers as text. Written here rather than taken from OpenTelemetry's SDK: see docs/adr/0012.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from struct import pack
from typing import Any

import orjson

from pipelines.graph.canonical import compact_json
from pipelines.graph.model import Json

PROTOBUF, JSON = "http/protobuf", "http/json"
CONTENT_TYPES: Mapping[str, str] = {PROTOBUF: "application/x-protobuf", JSON: "application/json"}
SCOPE = "baton"

INTERNAL, CLIENT = 1, 3
OK, ERROR = 1, 2

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VARINT, _FIXED64, _BYTES = 0, 1, 2
_MOST_INTEGER = 2**63


@dataclass(frozen=True, slots=True)
class SpanEvent:
    name: str
    at: datetime
    attributes: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class OtlpSpan:
    """A span on its way out. Ids are hex digits: 32 of the trace, 16 of a span; `kind` is INTERNAL or CLIENT."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    kind: int
    start: datetime
    end: datetime
    attributes: Mapping[str, Json]
    is_error: bool = False
    events: tuple[SpanEvent, ...] = field(default=())


def encoded(protocol: str, spans: Sequence[OtlpSpan], resource: Mapping[str, Json], version: str) -> bytes:
    """Return the body of an export request with these spans."""
    encode = _as_protobuf if protocol == PROTOBUF else _as_json
    return encode(spans, resource, version)


def refused_of(protocol: str, body: bytes) -> tuple[int, str]:
    """Return how many spans of a request that was taken the collector refused for good, and why."""
    try:
        if protocol == JSON:
            partial = (orjson.loads(body) or {}).get("partialSuccess") or {}
            return int(partial.get("rejectedSpans", 0)), str(partial.get("errorMessage", ""))
        partial = dict(_fields(dict(_fields(body)).get(1, b"")))
        return int(partial.get(1, 0)), bytes(partial.get(2, b"")).decode("utf-8", "replace")
    except (ValueError, TypeError, AttributeError, IndexError):
        return 0, ""  # it was taken; how the answer is worded changes nothing


# -- JSON -------------------------------------------------------------------------------------------------------------


def _as_json(spans: Sequence[OtlpSpan], resource: Mapping[str, Json], version: str) -> bytes:
    scope = {"scope": {"name": SCOPE, "version": version}, "spans": [_span_json(span) for span in spans]}
    return orjson.dumps({"resourceSpans": [{"resource": {"attributes": _pairs(resource)}, "scopeSpans": [scope]}]})


def _span_json(span: OtlpSpan) -> dict[str, Json]:
    data: dict[str, Json] = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": str(_nanoseconds(span.start)),
        "endTimeUnixNano": str(_nanoseconds(span.end)),
        "attributes": _pairs(span.attributes),
        "status": {"code": ERROR if span.is_error else OK},
    }
    if span.parent_span_id:
        data["parentSpanId"] = span.parent_span_id
    if span.events:
        data["events"] = [
            {"name": event.name, "timeUnixNano": str(_nanoseconds(event.at)), "attributes": _pairs(event.attributes)}
            for event in span.events
        ]
    return data


def _pairs(attributes: Mapping[str, Json]) -> list[Json]:
    return [{"key": name, "value": _value_json(value)} for name, value in attributes.items() if value is not None]


def _value_json(value: Json) -> Json:
    match value:
        case bool():
            return {"boolValue": value}
        case int() if -_MOST_INTEGER <= value < _MOST_INTEGER:
            return {"intValue": str(value)}
        case float() | int():
            return {"doubleValue": float(value)}
        case str():
            return {"stringValue": value}
        case list() if all(isinstance(item, str | int | float) for item in value):
            return {"arrayValue": {"values": [_value_json(item) for item in value]}}
        case _:
            return {"stringValue": compact_json(value)}


# -- protobuf ---------------------------------------------------------------------------------------------------------


def _as_protobuf(spans: Sequence[OtlpSpan], resource: Mapping[str, Json], version: str) -> bytes:
    scope = _text(1, SCOPE) + _text(2, version)
    scope_spans = _message(1, scope) + b"".join(_message(2, _span_bytes(span)) for span in spans)
    return _message(1, _message(1, _keys(1, resource)) + _message(2, scope_spans))


def _span_bytes(span: OtlpSpan) -> bytes:
    parts = [
        _message(1, bytes.fromhex(span.trace_id)),
        _message(2, bytes.fromhex(span.span_id)),
        _message(4, bytes.fromhex(span.parent_span_id)) if span.parent_span_id else b"",
        _text(5, span.name),
        _number(6, span.kind),
        _fixed64(7, _nanoseconds(span.start)),
        _fixed64(8, _nanoseconds(span.end)),
        _keys(9, span.attributes),
    ]
    for event in span.events:
        body = _fixed64(1, _nanoseconds(event.at)) + _text(2, event.name) + _keys(3, event.attributes)
        parts.append(_message(11, body))
    parts.append(_message(15, _number(3, ERROR if span.is_error else OK)))
    return b"".join(parts)


def _keys(number: int, attributes: Mapping[str, Json]) -> bytes:
    return b"".join(
        _message(number, _text(1, name) + _message(2, _value_bytes(value)))
        for name, value in attributes.items()
        if value is not None
    )


def _value_bytes(value: Json) -> bytes:
    match value:
        case bool():
            return _number(2, int(value))
        case int() if -_MOST_INTEGER <= value < _MOST_INTEGER:
            return _number(3, value)
        case float() | int():
            return _varint(4 << 3 | _FIXED64) + pack("<d", value)
        case str():
            return _text(1, value)
        case list() if all(isinstance(item, str | int | float) for item in value):
            return _message(5, b"".join(_message(1, _value_bytes(item)) for item in value))
        case _:
            return _text(1, compact_json(value))


def _message(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(body)) + body


def _text(number: int, text: str) -> bytes:
    return _message(number, text.encode("utf-8", "replace"))


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value % 2**64)


def _fixed64(number: int, value: int) -> bytes:
    return _varint(number << 3 | _FIXED64) + pack("<Q", value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _fields(body: bytes) -> Iterable[tuple[int, Any]]:
    """Yield the fields of a message of numbers and bytes; raise IndexError or ValueError where it is broken."""
    place = 0
    while place < len(body):
        tag, place = _read_varint(body, place)
        value, place = _read_varint(body, place)
        if tag & 7 == _VARINT:
            yield tag >> 3, value
        elif tag & 7 == _BYTES:
            yield tag >> 3, body[place : place + value]
            place += value
        else:
            raise ValueError("a field of another kind")


def _read_varint(body: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (body[place] & 0x7F) << shift
        place += 1
        if not body[place - 1] & 0x80:
            return value, place
        shift += 7


def _nanoseconds(moment: datetime) -> int:
    return max((moment - _EPOCH) // timedelta(microseconds=1), 0) * 1000
