"""What two versions of an agent say differently: words within their sentence, settings in words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.agent_diff import changed, difference
from pipelines.graph.lock import AgentSpec
from pipelines.wording import MOST_TOKENS, words

TEXTS = st.text(alphabet="ab .\n", max_size=40)


def marked(old: str, new: str) -> str:
    """Return the pieces with + and - around what came and went."""
    marks = {"": "{}", "ins": "[+{}]", "del": "[-{}]"}
    return "".join(marks[piece.mark].format(piece.text) for piece in words(old, new))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("Use 120 words.", "Use 90 words.", "Use [-120][+90] words."),
        ("Be kind.", "Be kind. Apologise once.", "Be kind.[+ Apologise once.]"),
        ("Be kind. Be short.", "Be short.", "Be [-kind. Be ]short."),
        ("One two three", "One four five", "One [-two three][+four five]"),
        ("", "All new", "[+All new]"),
        ("All gone", "", "[-All gone]"),
        ("Same", "Same", "Same"),
        ("", "", ""),
    ],
)
def test_words_are_marked_within_their_sentence(old: str, new: str, said: str) -> None:
    assert marked(old, new) == said


@given(TEXTS, TEXTS)
def test_both_texts_can_be_read_from_the_marks(old: str, new: str) -> None:
    pieces = words(old, new)
    assert "".join(piece.text for piece in pieces if piece.mark != "del") == new
    assert "".join(piece.text for piece in pieces if piece.mark != "ins") == old


def test_a_very_long_text_is_compared_as_a_whole() -> None:
    old, new = "a " * (MOST_TOKENS + 1), "b " * (MOST_TOKENS + 1)
    assert [piece.mark for piece in words(old, new)] == ["del", "ins"] or len(words(old, new)) <= 3


def spec(**fields: Any) -> AgentSpec:
    return AgentSpec(**{"id": "writer@1", "model": "demo/writer", **fields})


def settings(old: AgentSpec, new: AgentSpec) -> list[tuple[str, str, str]]:
    return [(one.name, one.before, one.after) for one in difference(old, new).settings]


def test_settings_differ_in_words() -> None:
    old = spec(tools=("email.send@1",), max_cost_micros=500_000)
    new = spec(model="demo/echo", tools=("notes.append@1",), temperature=0.5, fallback=("demo/judge",))
    assert settings(old, new) == [
        ("Model", "demo/writer", "demo/echo"),
        ("Temperature", "the model's own", "0.5"),
        ("Cap of a step", "$0.5", "none"),
        ("Fallbacks", "none", "demo/judge"),
        ("Tool “email.send@1”", "given", ""),
        ("Tool “notes.append@1”", "", "given"),
    ]
    assert changed(old, new) == "model, fallbacks, tools, temperature, cap"


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def test_fields_of_the_answer_differ_one_by_one() -> None:
    old = spec(output_schema=schema(reply={"type": "string"}, tone={"type": "string"}, note={"minLength": 1}))
    new = spec(output_schema=schema(reply={"type": "string", "enum": ["a", "b"]}, refund={"type": "number"}, note={}))
    assert settings(old, new) == [
        ("Field “tone”", "a text, optional", ""),
        ("Field “reply”", "a text, optional", "a text, optional, one of a, b"),
        ("Field “refund”", "", "a number, optional"),
        ("Further rules of “note”", '{\n  "minLength": 1\n}', "none"),
    ]


def test_text_that_becomes_fields_is_said_once() -> None:
    assert settings(spec(), spec(output_schema=schema(reply={"type": "string"}))) == [
        ("Answer", "plain text", "fields reply")
    ]
