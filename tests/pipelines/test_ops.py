import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.errors import Invalid
from pipelines import ops
from tests.pipelines.builders import a_document


def nested() -> dict[str, Any]:
    document = a_document()
    document["graph"]["nodes"]["all"] = {
        "kind": "each",
        "over": "${input.topics}",
        "graph": {
            "nodes": {"dig": {"kind": "agent"}, "keep": {"kind": "transform"}},
            "edges": [{"from": "dig", "to": "keep"}],
        },
    }
    return document


EVERY_OP: list[dict[str, Any]] = [
    {"op": "set_node", "node": "write", "value": {"kind": "agent", "agent": "writer@2", "prompt": "Hi"}},
    {"op": "set_node", "node": "extra", "value": {"kind": "transform", "set": {}}},
    {"op": "set_node", "node": "all.third", "value": {"kind": "transform", "set": {}}},
    {"op": "remove_node", "node": "write"},
    {"op": "remove_node", "node": "all.dig"},
    {"op": "add_edge", "from": "start", "to": "all"},
    {"op": "add_edge", "from": "keep", "to": "dig", "port": "done", "scope": "all"},
    {"op": "remove_edge", "from": "start", "to": "write"},
    {"op": "remove_edge", "from": "dig", "to": "keep", "port": "done", "scope": "all"},
    {"op": "set_document", "fields": {"name": "New", "budget": None, "description": "More"}},
    {"op": "move", "positions": {"start": [0, 1], "all.dig": [2, 3]}},
    {"op": "move", "positions": {"start": None}},
    {"op": "replace", "document": a_document("brief", name="Other")},
]


def meaning(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with edges in one order: an edge taken back stands last."""
    found = copy.deepcopy(document)
    for graph in (found["graph"], found["graph"]["nodes"].get("all", {}).get("graph", {"edges": []})):
        graph["edges"].sort(key=lambda edge: (edge["from"], edge["to"], edge.get("port", "done")))
    if not found.get("ui", {}).get("positions", True):
        del found["ui"]
    return found


@pytest.mark.parametrize("op", EVERY_OP, ids=lambda op: f"{op['op']} {op.get('node', '')}")
def test_the_inverse_of_an_op_restores_the_document(op: dict[str, Any]) -> None:
    before = nested()
    after, inverse = ops.apply(before, [op])
    restored, _ = ops.apply(after, inverse)
    assert before == nested(), "the document given must not change"
    assert meaning(restored) == meaning(before)


@given(st.lists(st.sampled_from(EVERY_OP), min_size=1, max_size=6))
def test_any_accepted_series_of_ops_can_be_taken_back(series: list[dict[str, Any]]) -> None:
    try:
        after, inverse = ops.apply(nested(), series)
    except Invalid:
        return
    assert meaning(ops.apply(after, inverse)[0]) == meaning(nested())


def test_removing_a_step_removes_its_arrows() -> None:
    after, _ = ops.apply(a_document(), [{"op": "remove_node", "node": "write"}])
    assert after["graph"]["edges"] == []


@pytest.mark.parametrize(
    ("op", "where"),
    [
        ({"op": "explode"}, "/ops/0/op"),
        ({}, "/ops/0/op"),
        ({"op": "set_node", "node": "x"}, "/ops/0/value"),
        ({"op": "set_node", "node": 7, "value": {}}, "/ops/0/node"),
        ({"op": "set_node", "node": "x", "value": {}, "colour": "red"}, "/ops/0/colour"),
        ({"op": "set_node", "node": "nowhere.x", "value": {}}, "/ops/0/node"),
        ({"op": "set_node", "node": "write.x", "value": {}}, "/ops/0/node"),
        ({"op": "remove_node", "node": "ghost"}, "/ops/0/node"),
        ({"op": "remove_edge", "from": "start", "to": "result"}, "/ops/0/from"),
        ({"op": "add_edge", "from": "start", "to": "write", "scope": "ghost"}, "/ops/0/scope"),
        ({"op": "set_document", "fields": {"id": "other"}}, "/ops/0/fields"),
        ({"op": "set_document", "fields": {"graph": {}}}, "/ops/0/fields"),
    ],
)
def test_an_op_that_cannot_be_names_its_field(op: dict[str, Any], where: str) -> None:
    with pytest.raises(Invalid) as refusal:
        ops.apply(a_document(), [op])
    assert (refusal.value.code, refusal.value.where) == ("bad_op", where)


def test_ops_on_top_of_nonsense_are_refused_instead_of_crashing() -> None:
    nonsense = {"op": "replace", "document": {"graph": []}}
    for op in EVERY_OP[:9]:
        with pytest.raises(Invalid):
            ops.apply(a_document(), [nonsense, op])


def test_no_ops_and_too_many_ops_are_refused() -> None:
    for batch in ([], [{"op": "move", "positions": {}}] * (ops.MAX_OPS + 1)):
        with pytest.raises(Invalid) as refusal:
            ops.apply(a_document(), batch)
        assert refusal.value.where == "/ops"
