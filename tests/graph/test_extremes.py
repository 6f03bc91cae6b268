"""Whole documents changed anywhere, texts of every script and size: read and kept as they are, or refused by name."""

import json
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.graph.canonical import canonical_json
from pipelines.graph.expressions import ExpressionError, evaluate, references, render
from pipelines.graph.freeze import content_hash
from pipelines.graph.layout import layout
from pipelines.graph.model import Document
from pipelines.graph.parse import parse, parse_text
from pipelines.graph.problems import Refusal
from pipelines.graph.validate import problems
from tests.graph.documents import LIBRARY, START, a_document, an_agent

DOCUMENTS = sorted(Path("pipelines/gallery/documents").glob("*.json"))
AT_ONCE = 2.0

# Letters that other letters cling to, that turn the line around, that are two code units or none at all.
LETTERS = ("e\u0301", "\u202e", "\u2066", "\u200d", "\ufeff", "\U0001f469", "\u00df", "\u0130", "\ufdfd", "\x1b", "\r")
ODD = st.sampled_from([*LETTERS, "\0", "\ud800", "\udfff"])
TEXT = st.text(max_size=40) | st.lists(ODD | st.text(max_size=3), max_size=12).map("".join)
CLEAN = TEXT.filter(lambda text: "\0" not in text and not any("\ud800" <= sign <= "\udfff" for sign in text))
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def read(data: Any) -> Document | Refusal:
    """Return the document or the refusal; any other exception fails the test."""
    try:
        return parse_text(json.dumps(data))
    except Refusal as refusal:
        return refusal


# Documents


@cache
def original(number: int) -> str:
    return DOCUMENTS[number].read_text(encoding="utf-8")


def places(value: Any, trail: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to everything inside."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [trail, *(found for key, item in items for found in places(item, (*trail, key)))]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(DOCUMENTS) - 1), st.data())
def test_a_template_changed_anywhere_is_judged_and_drawn_or_refused(number: int, data: st.DataObject) -> None:
    document = json.loads(original(number))
    for _ in range(data.draw(st.integers(1, 3))):
        *trail, last = data.draw(st.sampled_from([place for place in places(document) if place]))
        holder = document
        for key in trail:
            holder = holder[key]
        match data.draw(st.sampled_from(["replace", "remove", "copy"])):
            case "replace":
                holder[last] = data.draw(VALUE)
            case "remove":
                del holder[last]
            case "copy" if isinstance(holder, list):
                holder.append(holder[last])
            case "copy":
                holder[data.draw(TEXT)] = holder[last]
    found = read(document)
    if isinstance(found, Refusal):
        assert found.code
        assert found.message
        return
    assert all(problem.where.startswith("/") and problem.message for problem in problems(found, LIBRARY))
    assert layout(found).nodes.keys() >= found.graph.nodes.keys()
    again = json.loads(canonical_json(document))
    assert parse(again) == found
    assert content_hash(again) == content_hash(document)


@given(TEXT, TEXT)
def test_a_text_is_kept_to_the_letter_or_refused(name: str, prompt: str) -> None:
    found = read({**a_document({"a": an_agent(prompt), "start": START}), "name": name})
    if isinstance(found, Document):
        # In JSON two halves of a letter beside each other are that letter.
        assert [found.name, found.graph.nodes["a"].config["prompt"]] == json.loads(json.dumps([name, prompt]))
    else:
        assert found.code in ("bad_text", "bad_value", "bad_expression")


@pytest.mark.parametrize("letter", ["a", "é", "字", "\U0001f469", "\u202e", "$", "{", "\\", '"'])
def test_a_prompt_of_a_megabyte_is_read_and_judged_at_once(letter: str) -> None:
    text = letter * (1_000_000 // len(json.dumps(letter).encode()))
    began = time.process_time()
    found = read(a_document({"start": START, "a": an_agent(text)}, "start > a"))
    if isinstance(found, Document):
        problems(found, LIBRARY)
    assert time.process_time() - began < AT_ONCE


# Expressions


@given(CLEAN, CLEAN)
def test_texts_of_every_script_are_compared_as_they_are(text: str, other: str) -> None:
    values = {"input": {"a": text, "b": other}}
    assert evaluate("size(input.a)", values) == len(text)
    assert evaluate("input.a + input.b", values) == text + other
    assert evaluate("input.a == input.b", values) == (text == other)
    assert evaluate("input.a.contains(input.b)", values) == (other in text)
    assert evaluate("(input.a + input.b).startsWith(input.a)", values) is True
    assert render("${input.a}|${input.b}", values) == f"{text}|{other}"


@given(CLEAN.filter(bool))
def test_a_key_of_any_script_is_found_by_its_name(key: str) -> None:
    written = "".join(f"\\u{ord(sign):04x}" if sign < "\U00010000" else sign for sign in key)
    source = f"input['{written}']"
    assert evaluate(source, {"input": {key: 1}}) == 1
    assert [reference.segments for reference in references(f"${{{source}}}")] == [(key,)]


@given(TEXT)
def test_a_text_with_holes_anywhere_is_rendered_or_refused(text: str) -> None:
    for template in (text, f"${{{text}}}", f"${{input.a}}{text}${{", f"{text}${{input.a | default('{text}')}}"):
        try:
            assert "${" in template or render(template, {"input": {"a": 1}}) == text
            render(template, {"input": {"a": 1}})
        except ExpressionError:
            continue  # by name; anything else fails the test
