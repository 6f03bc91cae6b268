"""A schema as rows of a form: what is typed becomes the schema, and no schema loses a word by being shown."""

from typing import Any

import pytest
from django.template.loader import render_to_string
from hypothesis import given
from hypothesis import strategies as st

from pipelines.schema_fields import Fields, read, shown, typed, was_changed

REPLY = {
    "type": "object",
    "required": ["reply", "tone"],
    "properties": {
        "reply": {"type": "string", "description": "What the customer reads"},
        "tone": {"type": "string", "enum": ["kind", "firm"]},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
}


def posted(*rows: dict[str, str], **others: str) -> dict[str, list[str]]:
    """Return a form as it is sent: every row with its number."""
    form: dict[str, list[str]] = {"schema-row": [str(n) for n in range(len(rows))]}
    for n, row in enumerate(rows):
        form |= {f"schema-{n}-{name}": [value] for name, value in row.items()}
    return form | {f"schema-{name}": [value] for name, value in others.items()}


def test_required_fields_come_first_and_in_the_authors_order() -> None:
    fields = shown(REPLY)
    assert [(row.name, row.type, row.required) for row in fields.rows] == [
        ("reply", "string", True),
        ("tone", "string", True),
        ("tags", "array", False),
    ]
    assert (fields.rows[1].enum, fields.rows[2].items) == ("kind, firm", "string")
    assert not fields.more


def test_what_is_typed_becomes_the_schema() -> None:
    form = posted(
        {"name": "reply", "type": "string", "required": "on", "description": "What the customer reads"},
        {"name": "tone", "type": "string", "required": "on", "enum": "kind, firm"},
        {"name": "tags", "type": "array", "items": "string"},
    )
    schema, fields = read(typed(form))
    assert fields.is_fine
    assert schema == REPLY


def test_no_rows_mean_no_schema() -> None:
    assert read(typed({})) == (None, Fields())
    assert read(shown(None))[0] is None


def test_a_blank_row_is_left_out() -> None:
    schema, fields = read(typed(posted({"name": "reply", "type": "string"}, {"name": " ", "type": "string"})))
    assert schema == {"type": "object", "properties": {"reply": {"type": "string"}}}
    assert len(fields.rows) == 1


def test_what_has_no_input_is_shown_as_json_and_kept() -> None:
    nested = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["to"],
        "properties": {"to": {"type": "string", "minLength": 3}, "address": nested},
    }
    fields = shown(schema)
    assert "minLength" in fields.rows[0].more
    assert "city" in fields.rows[1].more
    assert "additionalProperties" in fields.more
    assert read(fields)[0] == schema


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {},
        {"type": "array", "items": {"type": "string"}},
        {"properties": {"a": {}}},
        {"type": "object", "properties": {"a": True, "b": False, "c": {}}},
        {"type": "object", "properties": {"a": {"type": ["string", "null"], "enum": ["x", None]}}},
        {"type": "object", "properties": {"a": {"type": "string", "enum": ["one, two", "three"]}}},
        {"type": "object", "properties": {"a": {"type": "integer", "enum": [1, 2]}, " b": {"type": "string"}}},
        {"type": "object", "required": ["elsewhere"], "properties": {"a": {"description": "two\nlines"}}},
        {"type": "object", "required": [], "properties": {"a": {"type": "array", "items": {"type": "object"}}}},
        {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string", "maxLength": 3}}}},
        {"type": "object", "properties": {"a": {"type": "array"}}},
        {"type": "object", "properties": {"a": {"type": "number", "enum": [1, 2.5], "description": " "}}},
        {"type": "object", "properties": {"a": {"type": "boolean", "enum": [True]}}},
    ],
    ids=str,
)
def test_every_schema_survives_being_shown(schema: Any) -> None:
    found, fields = read(shown(schema))
    assert fields.is_fine, fields
    assert found == schema


_NAME = st.sampled_from(["a", "b", "reply", " edge ", "", "a/b", "ä~ö", "with space"])
_WORD = st.sampled_from(["", "What it says", "two\nlines", " edges ", "<b>"])
_VALUE = st.sampled_from(["x", "a, b", 1, 2.5, None, True, " s "])
_LEAF = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "number", "integer", "boolean", "array", "object", ["string", "null"]]),
        "description": _WORD,
        "enum": st.lists(
            st.sampled_from(["x", "a, b", 1, 2.5, None, True, " s "]), min_size=1, max_size=3, unique_by=repr
        ),
        "items": st.sampled_from([{"type": "string"}, {"type": "string", "minLength": 2}, True]),
        "minLength": st.integers(0, 5),
    },
)
_SCHEMAS = st.fixed_dictionaries(
    {"type": st.just("object"), "properties": st.dictionaries(_NAME, _LEAF | st.booleans(), max_size=5)},
    optional={"required": st.lists(_NAME, max_size=3, unique=True), "additionalProperties": st.booleans()},
)


@given(_SCHEMAS)
def test_no_schema_of_an_object_loses_a_word(schema: dict[str, Any]) -> None:
    found, fields = read(shown(schema))
    assert fields.is_fine, fields
    assert found["properties"] == schema["properties"]
    assert sorted(found.get("required", [])) == sorted(schema.get("required", []))
    assert ("required" in found) == ("required" in schema)
    assert found.get("additionalProperties") == schema.get("additionalProperties")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"type": "string", "description": "nameless"}, "Give this field a name"),
        ({"name": "a", "type": "integer", "enum": "1, two"}, "as numbers"),
        ({"name": "a", "type": "string", "more": "{"}, "cannot be read"),
        ({"name": "a", "type": "string", "more": "[1]"}, "in braces"),
        ({"name": "a", "type": "string", "more": '{"type": "number"}'}, "says type too"),
        ({"name": "a", "type": "string", "more": "true"}, "is no object"),
        ({"name": "a", "type": "string", "more": '{"minLength": "x"}'}, "not a JSON Schema"),
    ],
)
def test_what_cannot_be_is_said_at_its_row(row: dict[str, str], words: str) -> None:
    _, fields = read(typed(posted({"name": "fine", "type": "string"}, row)))
    assert not fields.is_fine
    assert words in fields.rows[1].error
    assert not fields.rows[0].error


def test_two_fields_of_one_name_are_refused() -> None:
    _, fields = read(typed(posted({"name": "a", "type": "string"}, {"name": "a", "type": "number"})))
    assert "two fields called a" in fields.rows[1].error


@pytest.mark.parametrize(
    ("more", "words"), [("{", "cannot be read"), ('{"type": "array"}', "no object"), ('{"required": "a"}', "a list")]
)
def test_json_that_does_not_go_with_the_fields_is_refused(more: str, words: str) -> None:
    _, fields = read(typed(posted({"name": "a", "type": "string"}, more=more)))
    assert words in fields.error


@pytest.mark.parametrize(
    ("button", "names"),
    [
        ("add", ["a", "b", "c", ""]),
        ("remove-1", ["a", "c"]),
        ("up-1", ["b", "a", "c"]),
        ("up-0", ["a", "b", "c"]),
        ("down-1", ["a", "c", "b"]),
        ("down-2", ["a", "b", "c"]),
        ("remove-9", ["a", "b", "c"]),
        ("nonsense", ["a", "b", "c"]),
    ],
)
def test_the_buttons_of_rows_work_without_script(button: str, names: list[str]) -> None:
    form = posted({"name": "a"}, {"name": "b"}, {"name": "c"}, do=button)
    fields = typed(form)
    assert was_changed(form)
    assert [row.name for row in fields.rows] == names
    assert len({row.n for row in fields.rows}) == len(names)


def test_a_very_wide_schema_stays_json() -> None:
    wide = {"type": "object", "properties": {f"f{n}": {"type": "string"} for n in range(200)}}
    fields = shown(wide)
    assert fields.rows == ()
    assert read(fields)[0] == wide


def test_the_form_shows_hostile_words_as_words() -> None:
    hostile = {"type": "object", "properties": {"<b>x": {"type": "string", "description": "<script>1</script>"}}}
    html = render_to_string("components/_schema_fields.html", {"fields": shown(hostile)})
    assert "<script>" not in html
    assert "<b>" not in html
    assert 'name="schema-0-name" value="&lt;b&gt;x"' in html
    assert 'name="schema-__n__-name"' in html
