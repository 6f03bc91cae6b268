"""How a text is cut: nothing is lost, nothing is too long, and a place leads to where the words stand."""

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.knowledge.passages import MOST, OVERLAP, cut

TEXTS = st.lists(
    st.one_of(
        st.sampled_from(["\n", "\n\n", ". ", "! ", " ", "# Heading\n\n", "\r\n", "\t"]),
        st.text(max_size=8),
        st.integers(1, 3_000).map("x".__mul__),
    ),
    max_size=40,
).map("".join)


def lines_of(text: str, place: str) -> str:
    """Return what stands in the lines that a place names."""
    numbers = [int(number) for number in place.split(" ")[1].split("–")]
    return "\n".join(text.split("\n")[numbers[0] - 1 : numbers[-1]])


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_every_word_is_in_a_passage_and_none_is_too_long(text: str) -> None:
    cuts = cut(text)
    assert all(1 <= len(one.text) <= MOST for one in cuts)
    letters = iter("".join("".join(one.text.split()) for one in cuts))
    assert all(letter in letters for letter in "".join(text.split())), "a letter is lost, or comes before another"
    assert all(one.text in lines_of(text, one.place) for one in cuts)


def test_a_short_text_is_one_passage() -> None:
    (only,) = cut("One line.\n\nAnother.\n")
    assert (only.text, only.place) == ("One line.\n\nAnother.", "lines 1–3")


def test_a_heading_begins_a_passage_and_headings_stay_with_what_follows() -> None:
    cuts = cut("Intro.\n\n# Leave\n\n## Holidays\n\nThirty days.\n\n## Illness\n\nCall us.")
    assert [one.text for one in cuts] == ["Intro.", "# Leave\n\n## Holidays\n\nThirty days.", "## Illness\n\nCall us."]
    assert [one.place for one in cuts] == ["line 1", "lines 3–7", "lines 9–11"]


def test_paragraphs_stay_whole_where_they_fit() -> None:
    paragraphs = [f"{letter * 500}." for letter in "abcd"]
    cuts = cut("\n\n".join(paragraphs))
    assert [one.text for one in cuts] == ["\n\n".join(paragraphs[:2]), "\n\n".join(paragraphs[2:])]


def test_a_cut_inside_a_paragraph_repeats_the_sentence_before_it() -> None:
    sentences = [f"{n:03d} {'word ' * 20}end." for n in range(30)]
    cuts = cut(" ".join(sentences))
    assert len(cuts) > 2
    for before, after in pairwise(cuts):
        again = after.text[: after.text.index("end.") + 4]
        assert before.text.endswith(again)
        assert len(again) <= OVERLAP


def test_a_sentence_without_an_end_is_cut_between_words() -> None:
    cuts = cut("word " * 1_000)
    assert all(set(one.text.split()) == {"word"} for one in cuts)


def test_paragraphs_are_counted_where_there_are_no_lines_to_name() -> None:
    text = "\n\n".join("x" * 700 for _ in range(3))
    assert [one.place for one in cut(text, by_paragraph=True)] == ["§1", "§2", "§3"]
    assert [one.place for one in cut("One.\n\nTwo.", by_paragraph=True)] == ["§1–2"]


@pytest.mark.parametrize("unit", ["x", "\n", " ", "a. ", "\n \t", ". \n", "# a\n\n", "é\n\n"])
def test_cutting_takes_time_in_proportion(unit: str) -> None:
    begun = time.perf_counter()
    cut(unit * (400_000 // len(unit)))
    assert time.perf_counter() - begun < 8
