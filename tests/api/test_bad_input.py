"""What no part of Baton can use is refused: a named code, a sentence, the place, nothing saved, at once."""

import json
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from runs.models import Run
from tests.api.programs import AT_ONCE, DEEP, Program, assert_is_a_sentence
from tests.api.rows import rows
from tests.api.world import World
from tests.people import signed_in_as
from tests.pipelines.builders import a_document

Document = dict[str, Any]


# Documents


def changed(change: Callable[[Document], Any]) -> str:
    """Return the text of a good document after a change."""
    document = a_document("acme-brief")
    change(document)
    return json.dumps(document)


def nodes(document: Document) -> Document:
    return document["graph"]["nodes"]  # type: ignore[no-any-return]


def with_text(hostile: str) -> str:
    """Return a good document in whose prompt this raw JSON stands."""
    return changed(lambda document: nodes(document)["write"].update(prompt="@")).replace('"@"', hostile)


def each_of(inner: Document) -> Document:
    return {"kind": "each", "over": "${input.topic}", "graph": {"nodes": inner, "edges": []}}


def ring(*names: str) -> Callable[[Document], Any]:
    arrows = [{"from": one, "to": other} for one, other in zip(names, names[1:] + names[:1], strict=True)]
    steps = {name: {"kind": "transform", "set": {"x": "1"}} for name in names}
    return lambda document: (nodes(document).update(steps), document["graph"]["edges"].extend(arrows))


def many(count: int) -> Callable[[Document], Any]:
    return lambda document: nodes(document).update(
        {f"n{number}": {"kind": "transform", "set": {"x": "1"}} for number in range(count)}
    )


WRITE = "/graph/nodes/write"
DOCUMENTS: dict[str, tuple[str, str, str]] = {
    "an unknown key": (changed(lambda d: d.update(colour=1)), "unknown_key", "/colour"),
    "an unknown key of a step": (
        changed(lambda d: nodes(d)["write"].update(colour=1)),
        "unknown_key",
        f"{WRITE}/colour",
    ),
    "an unknown key far down": (
        changed(lambda d: nodes(d)["write"].update(on_error={"retry": {"colour": 1}})),
        "unknown_key",
        f"{WRITE}/on_error/retry/colour",
    ),
    "an unknown key of an arrow": (
        changed(lambda d: d["graph"]["edges"][0].update(colour=1)),
        "unknown_key",
        "/graph/edges/0/colour",
    ),
    "an unknown key inside a container": (
        changed(lambda d: nodes(d).update(all=each_of({"one": {"kind": "transform", "set": {}, "colour": 1}}))),
        "unknown_key",
        "/graph/nodes/all/graph/nodes/one/colour",
    ),
    "a circle": (changed(ring("here", "there")), "cycle", "/graph/edges/3"),
    "a circle of one": (changed(ring("here")), "cycle", "/graph/edges/2"),
    "text for a list": (changed(lambda d: d["graph"].update(edges="x")), "wrong_type", "/graph/edges"),
    "a list for a graph": (changed(lambda d: d.update(graph=[])), "wrong_type", "/graph"),
    "a number for a name": (changed(lambda d: d.update(name=5)), "wrong_type", "/name"),
    "text for a step": (changed(lambda d: nodes(d).update(write="x")), "wrong_type", WRITE),
    "a number for money": (
        changed(lambda d: d.update(budget={"max_cost_usd": 5})),
        "wrong_type",
        "/budget/max_cost_usd",
    ),
    "no kind of step": (changed(lambda d: nodes(d)["write"].update(kind="code")), "bad_value", f"{WRITE}/kind"),
    "10,000 steps": (changed(many(10_000)), "too_many_nodes", "/graph/nodes"),
    "an arrow to nowhere": (
        changed(lambda d: d["graph"]["edges"].append({"from": "write", "to": "mars"})),
        "unknown_node",
        "/graph/edges/2/to",
    ),
    "an arrow from no port": (
        changed(lambda d: d["graph"]["edges"][0].update(port="side")),
        "unknown_port",
        "/graph/edges/0/port",
    ),
    "an arrow twice": (
        changed(lambda d: d["graph"]["edges"].append(d["graph"]["edges"][0])),
        "duplicate_edge",
        "/graph/edges/2",
    ),
    "another program's format": (changed(lambda d: d.update(format="n8n")), "unknown_format", "/format"),
    "a later format": (
        changed(lambda d: d.update(format_version="2.0")),
        "unknown_format_version",
        "/format_version",
    ),
    "NUL": (with_text('"a\\u0000b"'), "bad_text", f"{WRITE}/prompt"),
    "half a character": (with_text('"a\\ud800b"'), "bad_text", f"{WRITE}/prompt"),
    "NUL in a key": (with_text('{"a\\u0000b": 1}'), "bad_text", f"{WRITE}/prompt"),
    "a key twice": (with_text('{"a": 1, "a": 2}'), "duplicate_key", f"{WRITE}/prompt/a"),
    "a step twice": (
        changed(lambda d: None).replace('"start": {', '"write": {"kind": "input"}, "start": {'),
        "duplicate_key",
        WRITE,
    ),
    "1e400": (with_text("1e400"), "number_out_of_range bad_number", f"{WRITE}/prompt"),
    "an integer of 5,000 digits": (with_text("9" * 5_000), "number_out_of_range bad_number", f"{WRITE}/prompt"),
    "NaN": (with_text("NaN"), "bad_json bad_number", ""),
    "Infinity": (with_text("-Infinity"), "bad_json bad_number", ""),
    "10,000 levels": (with_text(DEEP), "too_deep", ""),
    "70 levels": (with_text("[" * 70 + "]" * 70), "too_deep", "/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0"),
    "no object": ("[]", "wrong_type", ""),
    "nothing": ("null", "wrong_type", ""),
    "an empty object": ("{}", "missing_key", ""),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_cannot_be_is_refused_at_every_door(
    program: Program, world: World, tmp_path: Path, name: str
) -> None:
    text, codes, where = DOCUMENTS[name]
    other = text.replace('"acme-brief"', '"acme-other"')
    refusals = [
        program.refused("POST", "/pipelines", f'{{"document": {other}}}'),
        program.refused("PUT", "/pipelines/acme-brief/draft", f'{{"document": {text}}}', **{"If-Match": "1"}),
    ]
    for refusal in refusals:
        assert refusal["code"] in codes.split(), refusal
        assert refusal["status"] in (400, 422)
        assert (refusal["where"] or "").endswith(where), refusal
        assert "/colour" not in where or "colour" in refusal["message"]
    file = tmp_path / "pipeline.json"
    file.write_text(other)
    before, started = rows(), time.process_time()
    with pytest.raises(CommandError) as refused:
        call_command("import_pipeline", file, workspace="acme", stdout=StringIO())
    assert time.process_time() - started < AT_ONCE
    assert rows() == before
    code, _, message = str(refused.value).partition(": ")
    assert code in (*codes.split(), "not_json"), refused.value
    assert where in message


def test_a_circle_names_its_steps(program: Program) -> None:
    text = changed(ring("alpha", "beta", "gamma")).replace("acme-brief", "acme-other")
    refusal = program.refused("POST", "/pipelines", f'{{"document": {text}}}')
    assert all(name in refusal["message"] for name in ("alpha", "beta", "gamma"))


def test_a_file_that_is_too_large_or_no_text_is_not_imported(world: World, tmp_path: Path) -> None:
    large, binary, absent = tmp_path / "large.json", tmp_path / "binary.json", tmp_path / "absent.json"
    large.write_text(changed(lambda d: d.update(description="x" * 5_100_000)))
    binary.write_bytes(b"PK\x03\x04\xff\xfe" + bytes(1_000))
    before = rows()
    for file, code in ((large, "too_large"), (binary, "not_json"), (absent, "cannot be read")):
        with pytest.raises(CommandError, match=code):
            call_command("import_pipeline", file, workspace="acme", stdout=StringIO())
    assert rows() == before


def test_missing_references_are_saved_with_problems_and_stop_publishing(program: Program) -> None:
    text = with_text('"${steps.absent.output} ${input.absent}"').replace("acme-brief", "acme-other")
    text = text.replace("writer@1", "ghost@9")
    assert program.send("POST", "/pipelines", f'{{"document": {text}}}').status_code == 201
    refusal = program.refused("POST", "/pipelines/acme-other/publish", "{}")
    assert (refusal["code"], refusal["status"]) == ("not_publishable", 422)
    errors = [problem for problem in refusal["problems"] if problem["severity"] == "error"]
    assert {problem["where"].removeprefix(WRITE)[:7] for problem in errors} == {"/prompt", "/agent"}
    for problem in errors:
        assert problem["node"] == "write"
        assert_is_a_sentence(problem["message"])


SCHEMAS = (
    {"$ref": "http://127.0.0.1:9/x"},
    {"$ref": "#"},
    {"type": 5},
    {"properties": []},
    {"properties": {"a": True, "b": {"enum": 5}}},
    {"properties": {"a": {"type": "array", "items": True}, "b": {"type": ["string", "null"]}}},
    {"properties": {"a": {"maxLength": "x", "title": {}, "examples": 5}}, "required": 5},
    {"properties": {"a": {"pattern": "(a+)+$"}, "b": {"pattern": "("}}},
)


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_a_draft_with_a_hostile_form_can_be_saved_and_looked_at(program: Program, world: World, schema: Any) -> None:
    text = changed(lambda d: d.update(id="acme-other", inputs=schema))
    assert program.send("POST", "/pipelines", f'{{"document": {text}}}').status_code == 201
    for path in ("/pipelines/acme-other/problems", "/pipelines/acme-other/draft"):
        assert program.send("GET", path, "").status_code == 200
    assert signed_in_as(world.olga).get("/pipelines/acme-other/").status_code == 200


# Runs

RUNS = "/pipelines/acme-brief/runs"


@pytest.mark.parametrize(
    ("body", "code", "where"),
    [
        *(({"version": version}, "invalid", "/version") for version in ("abc", "", "9" * 5_000, "1")),
        *(({"version": version}, "not_found", None) for version in (0, -1, 99, 2**40, 2**70)),
        *(({"version": version}, "invalid", "/version/") for version in (1.5, True, [], {})),
        *(({"input": value}, "invalid_input", "/input") for value in (None, [], "x", 5, True)),
        ({"input": {"topic": 5}}, "invalid_input", "/input/topic"),
        ({"input": {"n": 2**70}}, "invalid_input", "/input"),
        *(
            ({"budget": {"max_cost_usd": value}}, "invalid_budget", "/budget/max_cost_usd")
            for value in (
                *("abc", "-1", "0", "NaN", "sNaN", "Infinity", "1e400", "1e999999999", "1_0", "٣", ""),
                5,
                True,
            )
        ),
        *(
            ({"budget": {"max_tokens": value}}, "invalid_budget", "/budget/max_tokens")
            for value in (0, -1, 1.5, "5", True, [], 2**70, 1e300)
        ),
        ({"budget": {"max_seconds": -1}}, "invalid_budget", "/budget/max_seconds"),
        ({"budget": {"max_seconds": 1e300}}, "invalid_budget", "/budget/max_seconds"),
        ({"budget": {"max_dollars": "1"}}, "invalid_budget", "/budget/max_dollars"),
        ({"budget": {"on_exceed": "stop"}}, "invalid_budget", "/budget/on_exceed"),
        ({"budget": []}, "invalid", "/budget"),
        *(({"tags": tags}, "invalid", "/tags") for tags in ("x", [5], [""], ["x" * 64], ["x"] * 21, [None])),
        ({"rehearsal": "perhaps"}, "invalid", "/rehearsal"),
        ({"colour": 1}, "invalid", "/colour"),
        ([], "invalid", ""),
        ("x", "invalid", ""),
        (None, "invalid", ""),
    ],
)
def test_a_run_asked_for_wrongly_is_not_started(program: Program, body: Any, code: str, where: str | None) -> None:
    refusal = program.refused("POST", RUNS, json.dumps(body))
    assert refusal["code"] == code, refusal
    assert where is None or (refusal["where"] or "").startswith(where), refusal


def test_a_cap_may_be_lowered_and_left_open(program: Program) -> None:
    asked = {"max_cost_usd": "0.50", "max_tokens": 1_000, "max_llm_calls": None, "max_seconds": 30}
    answer = program.send("POST", RUNS, json.dumps({"budget": asked}))
    assert answer.status_code == 202
    kept = Run.objects.get(pk=answer.json()["id"]).budget
    assert (kept["max_cost_micros"], kept["max_tokens"], kept["max_seconds"]) == (500_000, 1_000, 30)
    answer = program.send("POST", RUNS, json.dumps({"budget": {"max_cost_usd": "9.00"}}))
    assert Run.objects.get(pk=answer.json()["id"]).budget["max_cost_micros"] == 1_000_000
