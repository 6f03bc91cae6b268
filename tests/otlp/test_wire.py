"""What goes over the wire: both encodings say the same, and every value comes out as it went in."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.execution.otlp import wire
from tests.collector import of_json, of_protobuf

START = datetime(2026, 11, 20, 12, 0, 0, 123_456, tzinfo=UTC)
SPAN = wire.OtlpSpan("ab" * 16, "cd" * 8, "ef" * 8, "chat writer", wire.CLIENT, START, START, {})
_numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
_scalars = st.text() | st.booleans() | _numbers
_values = _scalars | st.lists(_scalars, max_size=3)


def sent(span: wire.OtlpSpan) -> list[dict[str, Any]]:
    """Return the span as a collector reads it from protobuf and from JSON."""
    resource = {"service.name": "baton", "service.version": None}
    protobuf, json = (wire.encoded(name, [span], resource, "1.0") for name in (wire.PROTOBUF, wire.JSON))
    return [*of_protobuf(protobuf), *of_json(json)]


@given(attributes=st.dictionaries(st.text(min_size=1, max_size=8), _values, max_size=4), name=st.text())
def test_every_value_comes_out_of_both_encodings_as_it_went_in(attributes: dict[str, Any], name: str) -> None:
    span = wire.OtlpSpan("ab" * 16, "cd" * 8, None, name, wire.INTERNAL, START, START, attributes)
    protobuf, json = sent(span)
    assert protobuf == json
    assert (json["attributes"], json["name"], json["parent"]) == (attributes, name, None)


def test_a_span_has_its_ids_times_kind_and_outcome_in_both_encodings() -> None:
    event = wire.SpanEvent("gen_ai.evaluation.result", START, {"gen_ai.evaluation.score.value": 0.5})
    span = wire.OtlpSpan(
        *("ab" * 16, "cd" * 8, "ef" * 8, "chat writer", wire.CLIENT, START, START + timedelta(seconds=1)),
        attributes={"unknown": None, "nested": {"a": [1]}},
        is_error=True,
        events=(event,),
    )
    expected = {
        "trace": "ab" * 16,
        "id": "cd" * 8,
        "parent": "ef" * 8,
        "name": "chat writer",
        "kind": 3,
        "start": 1_795_176_000_123_456_000,
        "end": 1_795_176_001_123_456_000,
        "error": True,
        "attributes": {"nested": '{"a":[1]}'},
        "events": [("gen_ai.evaluation.result", {"gen_ai.evaluation.score.value": 0.5})],
        "resource": {"service.name": "baton"},
        "scope": "baton",
    }
    assert sent(span) == [expected, expected]


def test_a_number_beyond_64_bits_becomes_a_float() -> None:
    span = wire.OtlpSpan("ab" * 16, "cd" * 8, None, "x", wire.INTERNAL, START, START, {"n": 2**70})
    assert [one["attributes"]["n"] for one in sent(span)] == [2.0**70, 2.0**70]


@pytest.mark.parametrize(
    ("protocol", "body", "refused"),
    [
        (wire.JSON, b'{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too old"}}', (2, "too old")),
        (wire.JSON, b"{}", (0, "")),
        (wire.JSON, b"", (0, "")),
        (wire.JSON, b"<html>", (0, "")),
        (wire.JSON, b"[1]", (0, "")),
        (wire.PROTOBUF, b"\x0a\x0b\x08\x02\x12\x07too old", (2, "too old")),
        (wire.PROTOBUF, b"", (0, "")),
        (wire.PROTOBUF, b"\x0a\x00", (0, "")),
        (wire.PROTOBUF, b"\xff\xff", (0, "")),
        (wire.PROTOBUF, b"<html>", (0, "")),
    ],
)
def test_the_answer_says_what_was_refused(protocol: str, body: bytes, refused: tuple[int, str]) -> None:
    assert wire.refused_of(protocol, body) == refused


@pytest.mark.parametrize("protocol", [wire.PROTOBUF, wire.JSON])
def test_a_number_beyond_64_bits_within_a_value_is_written_too(protocol: str) -> None:
    assert b"1e+20" in wire.encoded(protocol, [replace(SPAN, attributes={"a": {"b": [10**20]}})], {}, "1")
