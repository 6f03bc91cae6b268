"""Documents that are parsed and drawn once: what they say decides, and nobody can change what is kept."""

import copy

import pytest

from pipelines import readings
from pipelines.graph.parse import parse
from pipelines.graph.problems import Refusal
from tests.pipelines.builders import a_document


def test_the_same_words_are_read_once_and_others_anew() -> None:
    raw = a_document()
    first = readings.parsed(raw)

    assert readings.parsed(copy.deepcopy(raw)) is first
    other = raw | {"name": "Another name"}
    assert readings.parsed(other).name == "Another name"
    assert readings.parsed(raw) is first


def test_what_is_kept_does_not_follow_a_document_that_is_changed_later() -> None:
    raw = a_document()
    name = next(iter(raw["graph"]["nodes"]))
    kept = readings.parsed(raw)
    before = copy.deepcopy(raw)

    raw["graph"]["nodes"][name]["title"] = "Changed in place"
    raw["graph"]["nodes"][name].setdefault("checks", []).append("changed in place")

    assert readings.parsed(before) is kept
    assert kept == parse(before)


def test_a_refusal_is_given_every_time() -> None:
    raw = a_document() | {"graph": {"nodes": {"a": {"kind": "no such kind"}}, "edges": []}}
    for _ in range(2):
        with pytest.raises(Refusal, match="no kind of step"):
            readings.parsed(raw)


def test_a_picture_depends_on_what_is_known_and_on_where_boxes_were_put() -> None:
    raw = a_document()
    name = next(iter(raw["graph"]["nodes"]))
    first = readings.drawn(raw, {})

    assert readings.drawn(copy.deepcopy(raw), {}) is first
    moved = raw | {"ui": {"positions": {name: [700, 900]}}}
    assert readings.drawn(moved, {}).by_place[name].box != first.by_place[name].box
    assert readings.drawn(raw, {"agents": {"writer@1": {"model": "other"}}}) is not first
    assert readings.parsed(moved) is not readings.parsed(raw)


def test_a_move_changes_no_meaning() -> None:
    raw = a_document()
    name = next(iter(raw["graph"]["nodes"]))

    assert readings.meaning(raw | {"ui": {"positions": {name: [1, 2]}}}) == readings.meaning(raw)
    assert readings.meaning(raw | {"name": "Another"}) != readings.meaning(raw)


def test_a_number_that_the_database_gives_back_longer_than_64_bits_is_read() -> None:
    raw = a_document()
    raw["graph"]["nodes"]["write"]["use_default"] = 10**30
    with pytest.raises(Refusal):  # what it says of the number is for `parse`; that it can be read at all is meant here
        parse(raw)
    with pytest.raises(Refusal):
        readings.parsed(raw)
    fine = a_document() | {"ui": {"write": {"x": 10**30}}}
    assert readings.meaning(fine) == readings.meaning(a_document())
