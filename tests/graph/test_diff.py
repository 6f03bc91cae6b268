from typing import Any

import pytest

from pipelines.graph.diff import Change, changes
from tests.graph.documents import START, a_document, a_graph, a_transform, an_agent

OLD = a_document({"start": START, "write": an_agent("Write.", title="Write it")}, "start > write")


def only(new: dict[str, Any], old: dict[str, Any] = OLD) -> Change:
    found = changes(old, new)
    assert len(found) == 1, found
    return found[0]


def test_nothing_changed_when_only_boxes_moved() -> None:
    assert changes(OLD, {**OLD, "ui": {"positions": {"write": [1, 2]}}}) == []


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        (
            {"prompt": "Write more."},
            "/prompt",
            "The step 'Write it' (write): prompt changed from “Write.” to “Write more.”.",
        ),
        ({"max_turns": 3}, "/max_turns", "The step 'Write it' (write): max_turns is now 3."),
        (
            {"on_error": {"then": "skip"}},
            "/on_error",
            'The step \'Write it\' (write): on_error is now {"then":"skip"}.',
        ),
    ],
)
def test_a_changed_field_is_told_in_words(fields: dict[str, Any], field: str, message: str) -> None:
    new = a_document({"start": START, "write": an_agent("Write.", title="Write it") | fields}, "start > write")
    change = only(new)
    assert (change.kind, change.place, change.field, change.message) == ("changed", "write", field, message)
    assert change.where == f"/graph/nodes/write{field}"


def test_a_field_inside_a_field_is_named_by_its_way() -> None:
    old = a_document({"a": an_agent(on_error={"retry": {"max_attempts": 2}})})
    new = a_document({"a": an_agent(on_error={"retry": {"max_attempts": 3}})})
    assert only(new, old).message == "The step 'a': on_error → retry → max_attempts changed from 2 to 3."


def test_a_field_that_is_gone_is_told_with_what_it_was() -> None:
    change = only(a_document({"start": START, "write": an_agent("Write.")}, "start > write"))
    assert change.message == "The step 'write': title is no longer set; it was “Write it”."
    assert (change.before, change.after) == ("Write it", None)


def test_steps_and_lines_that_come_and_go_are_told() -> None:
    new = a_document({"start": START, "edit": a_transform(x="1")}, "start > edit")
    assert [(change.kind, change.place) for change in changes(OLD, new)] == [
        ("removed", "write"),
        ("added", "edit"),
        ("disconnected", "start"),
        ("connected", "start"),
    ]


def test_a_step_that_only_changed_its_name_is_renamed_with_its_lines() -> None:
    change = only(a_document({"start": START, "draft": an_agent("Write.", title="Write it")}, "start > draft"))
    assert (change.kind, change.place, change.before, change.after) == ("renamed", "draft", "write", "draft")


def test_changes_inside_a_container_and_of_the_pipeline_itself_are_told() -> None:
    def document(prompt: str, cap: str) -> dict[str, Any]:
        loop = {"kind": "each", "over": [1], "graph": a_graph({"x": an_agent(prompt)})}
        return a_document({"loop": loop}, budget={"max_cost_usd": cap})

    found = changes(document("One.", "1"), document("Two.", "2"))
    assert [(change.place, change.field, change.where) for change in found] == [
        ("", "/budget/max_cost_usd", "/budget/max_cost_usd"),
        ("loop.x", "/prompt", "/graph/nodes/loop/graph/nodes/x/prompt"),
    ]
    assert found[0].message == "The pipeline: budget → max_cost_usd changed from “1” to “2”."


def test_true_is_another_value_than_one_and_long_values_are_cut() -> None:
    old, new = a_document({"a": a_transform()}, x={"v": True}), a_document({"a": a_transform()}, x={"v": "long " * 50})
    assert len(only(new, old).message) < 160
    assert changes(old, a_document({"a": a_transform()}, x={"v": 1}))


def test_a_change_is_json() -> None:
    assert only(a_document({"start": START, "write": an_agent("Write.")}, "start > write")).as_json() == {
        "kind": "changed",
        "place": "write",
        "field": "/title",
        "where": "/graph/nodes/write/title",
        "message": "The step 'write': title is no longer set; it was “Write it”.",
        "before": "Write it",
        "after": None,
    }
