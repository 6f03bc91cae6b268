"""What changed, as a page tells it: one entry per step, texts word by word, and rings for the two pictures."""

import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.before_after import alone, before_after
from pipelines.changes import Told, marks, pieces, told
from pipelines.graph.parse import parse
from tests.graph.documents import START, a_document, a_graph, a_transform, an_agent

WRITE = an_agent("Write about ${input.topic}.", title="Write it")
OLD = a_document({"start": START, "write": WRITE}, "start > write")


def said(entry: Told) -> list[str]:
    """Return an entry's lines as text, with [-what went-] and {+what came+}."""
    signs = {"del": "[-{}-]", "ins": "{{+{}+}}"}
    return [
        f"{line.label}: " * bool(line.label) + "".join(signs.get(p.mark, "{}").format(p.text) for p in line.pieces)
        for line in entry.lines
    ]


def only(new: dict[str, Any], old: dict[str, Any] = OLD) -> Told:
    found = told(old, new)
    assert len(found) == 1, found
    return found[0]


def with_write(**fields: Any) -> dict[str, Any]:
    return a_document({"start": START, "write": WRITE | fields}, "start > write")


def test_a_changed_prompt_is_told_word_by_word() -> None:
    entry = only(with_write(prompt="Write a poem about ${input.topic}."))
    assert (entry.mark, entry.place, entry.title, entry.kind) == ("changed", "write", "Write it", "agent")
    assert said(entry) == ["prompt: Write {+a poem+} about ${input.topic}."]


def test_a_value_is_one_word_and_the_stop_after_it_stays() -> None:
    found, _ = pieces("Ask ${input.a}.", "Ask ${input.b}.")
    assert [(one.text, one.mark) for one in found] == [
        ("Ask ", ""),
        ("${input.a}", "del"),
        ("${input.b}", "ins"),
        (".", ""),
    ]


def test_texts_with_little_in_common_stand_whole_and_long_stretches_that_stayed_are_left_out() -> None:
    found, _ = pieces("One thing entirely", "Something new")
    assert [one.mark for one in found] == ["del", "ins"]
    added, _ = pieces("${input.question}", "Think it over from several sides first. ${input.question}")
    assert [one.mark for one in added] == ["ins", "", ""], "what is only added to is not struck out"
    longer, _ = pieces("About ${input.question}", "About ${input.question} Be short.")
    assert [(one.text, one.mark) for one in longer] == [("About ${input.question} ", ""), ("Be short.", "ins")]
    long = "word " * 400
    marks_of = [one.mark for one in pieces(long + "end", long + "stop")[0]]
    assert marks_of == ["gap", "", "del", "ins"]


def test_money_flags_and_data_are_said_as_people_write_them() -> None:
    capped = a_document({"start": START, "write": WRITE}, "start > write", budget={"max_cost_usd": "1"})
    dearer = a_document({"start": START, "write": WRITE}, "start > write", budget={"max_cost_usd": "2"})
    entry = only(dearer, capped)
    assert (entry.title, said(entry)) == ("The pipeline itself", ["cap: [-$1-]{+$2+}"])
    assert said(only(with_write(timeout="PT1H30M"))) == ["timeout: {+1 h 30 min+}"]
    assert said(only(with_write(disabled=True))) == ["disabled: {+yes+}"]
    entry = only(with_write(on_error={"then": "skip"}))
    assert entry.lines[0].label == "if it fails"
    assert entry.lines[0].is_data


def test_a_new_step_says_where_it_stands_and_its_own_lines_are_not_told_again() -> None:
    new = a_document(
        {"start": START, "plan": a_transform(x="1"), "write": WRITE}, "start > plan", "plan > write", name=OLD["name"]
    )
    came, order = told(OLD, new)
    assert (came.mark, said(came)) == ("new", ["is new, after Start and before Write it"])
    assert said(order) == ["Start no longer leads straight to Write it"]


def test_a_removed_step_is_told_once_and_ringed_in_the_older_picture_alone() -> None:
    entries = told(OLD, a_document({"start": START}))
    assert [(one.mark, one.title) for one in entries] == [("gone", "Write it")]
    assert marks(entries) == ({"write": "gone"}, {})


def test_a_renamed_step_is_ringed_under_each_of_its_names() -> None:
    entries = told(OLD, a_document({"start": START, "draft": WRITE}, "start > draft"))
    assert said(entries[0]) == ["name: [-write-]{+draft+}"]
    assert marks(entries) == ({"write": "changed"}, {"draft": "changed"})


def test_a_step_inside_a_container_is_told_by_its_own_name() -> None:
    def looped(prompt: str) -> dict[str, Any]:
        inner = a_graph({"dig": an_agent(prompt, title="Dig")})
        return a_document({"loop": {"kind": "each", "over": [1], "graph": inner}})

    entry = only(looped("Dig deeper."), looped("Dig."))
    assert (entry.place, entry.title) == ("loop.dig", "Dig")
    drawn = before_after(parse(looped("Dig.")), parse(looped("Dig deeper.")), [entry])
    assert drawn is not None
    assert {shape.place: shape.mark for shape in drawn[1].shapes} == {"loop": "", "loop.dig": "changed"}
    assert [shape.form for shape in drawn[1].shapes] == ["group", "step"]


def test_both_pictures_have_one_scale_and_new_and_lost_lines_are_marked() -> None:
    new = a_document({"start": START, "plan": a_transform(x="1"), "write": WRITE}, "start > plan", "plan > write")
    drawn = before_after(parse(OLD), parse(new), told(OLD, new))
    assert drawn is not None
    before, after = drawn
    assert (before.width, before.height, before.shown) == (after.width, after.height, after.shown)
    assert [stroke.mark for stroke in before.strokes] == ["gone"]
    assert [stroke.mark for stroke in after.strokes] == ["new", "new"]
    assert after.summary == "3 steps: 1 new"


def test_what_is_too_large_to_be_read_is_not_drawn() -> None:
    many = parse(a_document({f"n{index}": a_transform(x="1") for index in range(301)}))
    assert alone(many) is None
    assert before_after(many, many, []) is None


def test_two_long_texts_are_compared_in_less_than_a_second() -> None:
    began = time.process_time()
    pieces("to be or not " * 4_000, "to be and not " * 4_000)
    pieces("\n".join(f"{n} to be" for n in range(1_100)), "\n".join(f"{n} or not" for n in range(1_100)))
    assert time.process_time() - began < 1.0


WORDS = st.lists(st.sampled_from(["one ", "two", "three ", ".", "${input.a}", "\n"]), max_size=20).map("".join)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(WORDS, WORDS)
def test_the_pieces_of_a_text_hold_all_of_both_sides(before: str, after: str) -> None:
    found, _ = pieces(before, after)
    if any(one.mark == "gap" for one in found):
        return
    for text, other in ((before, "ins"), (after, "del")):
        kept = "".join(one.text for one in found if one.mark != other)
        assert "".join(kept.split()) == "".join(text.split())


@pytest.mark.parametrize("value", ["<script>", None, 3, [1], {"a": "b"}])
def test_any_value_may_come_or_go(value: Any) -> None:
    assert all(one.mark in ("del", "ins") for one in pieces(None, value)[0] + pieces(value, None)[0])
