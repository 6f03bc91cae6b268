import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pipelines.graph.problems import Refusal
from pipelines.graph.schemas import MAX_FINDINGS, check_schema, findings

DOUBLING: dict[str, Any] = {"$defs": {"a0": {"type": "object"}}, "$ref": "#/$defs/a18"}
for power in range(1, 19):
    DOUBLING["$defs"][f"a{power}"] = {"allOf": [{"$ref": f"#/$defs/a{power - 1}"}] * 2}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("schema", "code", "where"),
    [
        (DOUBLING, "schema_too_large", None),
        (nested(60), "schema_too_large", None),
        (nested(5_000), "bad_schema", ""),
        ({"properties": {f"p{i}": {"type": "string"} for i in range(10_000)}}, "schema_too_large", ""),
        ({"$ref": "#"}, "bad_schema", ""),
        ({"properties": {"a": {"$ref": "#"}}}, "bad_schema", ""),
        ({"$ref": "https://example.com/schema"}, "bad_schema", "/$ref"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "bad_schema", "/properties/a/$ref"),
        ({"$ref": "#/$defs/nowhere"}, "bad_schema", "/$ref"),
        ({"$id": "https://example.com"}, "bad_schema", "/$id"),
        ({"$dynamicRef": "#x"}, "bad_schema", "/$dynamicRef"),
        ({"patternProperties": {"(a+)+$": {}}}, "bad_schema", "/patternProperties"),
        ({"pattern": "(?=a)"}, "bad_schema", "/pattern"),
        ({"pattern": "a" * 600}, "bad_schema", "/pattern"),
        ({"items": {"pattern": "(((a{99}){99}){99})"}}, "bad_schema", "/items/pattern"),
        ({"type": "text"}, "bad_schema", "/type"),
        ({"required": "a"}, "bad_schema", "/required"),
        ([], "bad_schema", ""),
        ("object", "bad_schema", ""),
        (None, "bad_schema", ""),
    ],
)
def test_a_schema_that_cannot_be_trusted_is_refused_at_once(schema: Any, code: str, where: str | None) -> None:
    began = time.process_time()
    refusal = check_schema(schema)
    assert time.process_time() - began < 2
    assert refusal is not None
    assert refusal.code == code
    assert where is None or refusal.where == where
    with pytest.raises(Refusal):
        findings(schema, {})


def test_keywords_are_fine_as_names_of_fields() -> None:
    names = ["$id", "$ref", "pattern", "patternProperties", "properties", "enum", "const"]
    assert check_schema({"properties": {name: {"type": "string"} for name in names}}) is None
    assert check_schema({"enum": [{"$ref": "https://example.com", "pattern": "("}]}) is None


def test_a_reference_within_the_schema_is_followed() -> None:
    schema = {"$defs": {"id": {"type": "integer"}}, "type": "array", "items": {"$ref": "#/$defs/id"}}
    assert check_schema(schema) is None
    assert findings(schema, [1, 2]) == []
    assert [finding.pointer for finding in findings(schema, [1, "b"])] == ["/1"]


@pytest.mark.parametrize(
    ("schema", "value", "pointer", "message"),
    [
        ({"type": "string"}, 7, "", "This must be text, not 7."),
        ({"type": ["string", "null"]}, {}, "", "This must be text or null, not an object."),
        ({"required": ["a"]}, {}, "", "The field 'a' is missing."),
        ({"properties": {"a": {"minLength": 1}}}, {"a": ""}, "/a", "This must not be empty."),
        ({"maxLength": 2}, "abc", "", "This has 3 characters; at most 2 are allowed."),
        ({"minItems": 2}, [1], "", "This has 1 entries; at least 2 are allowed."),
        ({"enum": ["a", "b"]}, "c", "", "'c' is none of: a, b."),
        ({"minimum": 3}, 2, "", "2 is less than the minimum of 3."),
        ({"pattern": "^a"}, "b", "", "'b' does not match the pattern ^a."),
        ({"uniqueItems": True}, [1, {"a": 1}, {"a": 1.0}], "", "An object stands in the list twice."),
        ({"properties": {"a/b": {"type": "null"}}}, {"a/b": 1}, "/a~1b", "This must be null, not 1."),
    ],
)
def test_a_finding_says_what_is_wrong_and_where(schema: Any, value: Any, pointer: str, message: str) -> None:
    found = findings(schema, value)
    assert [(finding.pointer, finding.message) for finding in found] == [(pointer, message)]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": "(a+)+$"}, "a" * 28 + "b"),
        ({"items": {"pattern": "(a|b){900}x"}}, ["a" * 200_000] * 50),
        ({"items": {"required": ["a"], "properties": {"a": {"type": "number", "minimum": 3}}}}, [{"a": 5}] * 200_000),
        ({"items": {"anyOf": [{"allOf": [{"type": "integer"}] * 100}] * 20}}, ["a"] * 10_000),
        ({"uniqueItems": True}, [{"a": index} for index in range(50_000)] + [{"a": 1}]),
        ({"maxLength": 3}, "x" * 10_000_000),
        ({"enum": [1]}, {"a": "x" * 10_000_000}),
    ],
)
def test_a_check_ends_soon_whatever_the_value(schema: Any, value: Any) -> None:
    began = time.process_time()
    found = findings(schema, value)
    assert time.process_time() - began < 3
    assert found
    assert len(found) <= MAX_FINDINGS
    assert all(len(finding.message) <= 400 for finding in found)


SCHEMAS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["object", "array", "string", "integer", "number", "null", "boolean"]),
        "minimum": st.integers(-2, 2),
        "maxLength": st.integers(0, 3),
        "required": st.lists(st.sampled_from("ab"), unique=True),
        "properties": st.dictionaries(st.sampled_from("ab"), st.sampled_from([{}, {"type": "string"}, {"minimum": 1}])),
        "additionalProperties": st.booleans(),
        "items": st.sampled_from([{}, {"type": "string"}, {"maxLength": 1}]),
        "uniqueItems": st.booleans(),
        "enum": st.lists(st.integers(0, 2), min_size=1),
        "pattern": st.sampled_from(["^a", "b$", "[0-9]+"]),
        "not": st.sampled_from([{"type": "string"}, {"minimum": 0}]),
    },
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab1", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


@given(SCHEMAS, VALUES)
def test_the_bounded_validator_agrees_with_the_library(schema: Any, value: Any) -> None:
    assert check_schema(schema) is None
    assert (findings(schema, value) == []) == Draft202012Validator(schema).is_valid(value)
