import copy
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from pipelines.graph import published
from pipelines.graph.model import Kind
from pipelines.graph.parse import parse
from pipelines.graph.problems import Refusal
from tests.graph.documents import START, a_document, a_graph, an_agent
from tests.graph.test_parse import MINIMAL, REFUSED

VALIDATOR = Draft202012Validator(published.document_schema())
GALLERY = sorted(Path("pipelines/gallery/documents").glob("*.json"))


def both(document: object) -> tuple[bool, bool]:
    """Return what the parser and the schema say of a document: is it accepted?"""
    try:
        parse(copy.deepcopy(document))
    except Refusal:
        return False, VALIDATOR.is_valid(document)
    return True, VALIDATOR.is_valid(document)


def test_the_published_file_is_what_the_tables_say() -> None:
    assert json.dumps(published.stored_schema()) == json.dumps(published.document_schema())


def test_the_schema_is_a_valid_schema() -> None:
    Draft202012Validator.check_schema(published.document_schema())


@pytest.mark.parametrize("kind", Kind)
def test_both_accept_the_minimal_form_of_each_kind(kind: str) -> None:
    assert both(a_document({"a": {"kind": kind, **MINIMAL[kind]}})) == (True, True)


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_both_accept_the_gallery(path: Path) -> None:
    assert both(json.loads(path.read_bytes())) == (True, True)


@pytest.mark.parametrize("kind", Kind)
def test_both_refuse_an_unknown_key_in_each_kind(kind: str) -> None:
    assert both(a_document({"a": {"kind": kind, **MINIMAL[kind], "surprise": 1}})) == (False, False)


@pytest.mark.parametrize("kind", Kind)
def test_both_refuse_each_missing_field(kind: str) -> None:
    for name in MINIMAL[kind]:
        fields = {key: value for key, value in MINIMAL[kind].items() if key != name}
        parser, schema = both(a_document({"a": {"kind": kind, **fields}}))
        assert parser == schema


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("value", [None, True, 0, -1, 1.5, 3.0, "", "x", [], {}, ["x"], {"x": 1}])
def test_both_say_the_same_of_any_value_in_any_field(kind: str, value: object) -> None:
    for name in published.document_schema()["$defs"][f"node_{kind}"]["properties"]:
        if name in ("kind", "graph"):
            continue
        parser, schema = both(a_document({"a": {"kind": kind, **MINIMAL[kind], name: value}}))
        assert parser == schema, (kind, name, value)


@pytest.mark.parametrize(("fields", "_code", "_where"), REFUSED)
def test_both_refuse_the_same_wrong_fields(fields: dict[str, object], _code: str, _where: str) -> None:
    assert both(a_document({"a": an_agent(**fields)})) == (False, False)


@pytest.mark.parametrize(
    "changed",
    [
        {"zzz": 1},
        {"format": "n8n"},
        {"format_version": "2.0"},
        {"format_version": "1.7"},
        {"id": "A"},
        {"name": ""},
        {"budget": {"max_cost_usd": "0.1234567"}},
        {"budget": {"max_cost_usd": "0.000001", "alert_at": [0.5, 1]}},
        {"limits": {"max_depth": 6}},
        {"graph": {"nodes": {"Bad name": START}, "edges": []}},
        {"graph": {"nodes": {}, "edges": [{"from": "a"}]}},
        {"graph": {"nodes": {}}},
        {"approvals": {"irreversible": {"expires": "P3D", "on_expire": "reject"}}},
        {"approvals": {"reversible": {}}},
        {"ui": 1},
        {"ui": {"anything": [1]}},
        {"defaults": {"timeout": "PT"}},
        {"graph": a_graph({"l": {"kind": "each", "over": [], "graph": a_graph({"x": {"kind": "agent"}})}})},
    ],
)
def test_both_say_the_same_of_document_fields(changed: dict[str, object]) -> None:
    parser, schema = both(a_document({"a": START}) | changed)
    assert parser == schema
