"""Boards that runs share: one order of changes for all of them, each once, and nothing overlooked."""

from typing import Any

import pytest

from pipelines.graph.model import Document
from runs.engine.board import Change
from runs.engine.status import RunState
from tests.engine.building import a_document, a_graph
from tests.engine.kin import Family
from tests.engine.test_board import board
from tests.engine.test_children import calling

SHARED = calling(inputs={}, share_board=True)


def a_child(drawing: str, slug: str = "child", document: Any = None, **nodes: Any) -> Document:
    ends = {"result": {"value": "${steps.r.output}"}} if "r" in nodes else {}
    return a_document(a_graph(drawing, **{**ends, **nodes}), id=slug, **(document or {}))


def a_parent(drawing: str, document: Any = None, **nodes: Any) -> Document:
    return a_child(drawing, "parent", document, **nodes)


def writing(name: str) -> dict[str, Any]:
    return board("append", "log", value=name)


def test_a_child_reads_what_its_parent_wrote_and_its_parent_what_it_wrote() -> None:
    child = a_child(
        "start >> r >> a >> w >> result",
        r=board("read", "topic"),
        a={"prompt": "About ${board.topic}."},
        w=board("write", "found", value="${steps.a.output}"),
    )
    parent = a_parent(
        "start >> w >> call >> r >> result",
        w=board("write", "topic", value="bees"),
        call=SHARED,
        r=board("read", "found"),
    )
    for seed in range(5):
        family = Family(parent, {"child": child}, {"a": lambda start: start.input["prompt"]}).play(seed, crash_every=4)
        assert (family.root.run.output, family.root.row("call")["output"]) == ("About bees.", "bees")
        assert family.root.row("r")["meta"] == {"version": 1}
        assert family.children()[0].started[0].trust == {"/prompt": "tool"}


def test_a_board_goes_down_as_far_as_it_is_handed_on_and_no_further() -> None:
    below = a_child("start >> w >> result", "below", w=writing("below"))
    alone = a_child("start >> w >> result", "alone", w=writing("alone"))
    child = a_child("start >> w >> deep, own >> result", w=writing("child"), deep={**SHARED, "pipeline": "below"},
                    own=calling(inputs={}, pipeline="alone"))  # fmt: skip
    parent = a_parent("start >> call >> r >> result", call=SHARED, r=board("read", "log"))
    for seed in range(5):
        family = Family(parent, {"child": child, "below": below, "alone": alone}).play(seed, crash_every=5)
        assert family.root.run.output == ["child", "below"]
        assert [len(changes) for changes in family.boards.values()] == [2]
        (other,) = [one for one in family.members.values() if one.document.id == "alone"]
        assert other.run.board.values == {"log": ["alone"]}


@pytest.mark.parametrize("seed", range(12))
def test_of_many_runs_that_append_at_once_none_is_lost_or_doubled_whoever_crashes(seed: int) -> None:
    child = a_child("start >> a >> b >> result", a=writing("a"), b=writing("b"))
    calls = {f"c{n}": {**SHARED, "inputs": {"n": n}} for n in range(4)}
    drawing = f"start >> w, {', '.join(calls)} >> join >> r >> result"
    parent = a_parent(drawing, w=writing("own"), r=board("read", "log"), **calls)
    family = Family(parent, {"child": child}).play(seed, crash_every=7)
    assert sorted(family.root.run.output) == ["a"] * 4 + ["b"] * 4 + ["own"]
    assert [change.version for change in family.boards["root"]] == list(range(1, 10))
    told = [event.payload["version"] for one in family.members.values() for event in one.events
            if event.type == "board_changed"]  # fmt: skip
    assert sorted(told) == list(range(1, 10)), "each change stands in one log"


def test_of_two_runs_that_write_at_the_same_version_one_gets_the_conflict() -> None:
    child = a_child("start >> w >> result", w=board("write", "k", value="${input.n}", if_version=0))
    calls = {f"c{n}": {**SHARED, "inputs": {"n": n}, "on_error": {"then": "skip"}} for n in range(2)}
    parent = a_parent(f"start >> {', '.join(calls)} >> join >> r >> result", r=board("read"), **calls)
    for seed in range(6):
        family = Family(parent, {"child": child}).play(seed)
        codes = [one.run.error["code"] for one in family.children() if one.run.state is RunState.FAILED]
        assert codes == ["board_conflict"]
        (lost,) = [one for one in family.children() if one.run.state is RunState.FAILED]
        assert (lost.row("w")["error"]["class"], lost.row("w")["attempt"]) == ("transient", 3)
        assert family.root.row("r")["meta"] == {"version": 1}


def test_a_conflict_is_tried_again_with_what_stands_there_then() -> None:
    drawing = "start >> w >> result; start >> call"
    parent = a_parent(drawing, call=SHARED, w=board("write", value="${board.k | default('none')} seen", if_version=1))
    family = Family(parent, {"child": a_child("start >> w >> result", w=board("write", value="mine"))})
    family.root.begin()
    family.root.finish("w")
    assert family.root.state("w") == "retrying"
    family.root.crash()
    family.play()
    assert family.boards["root"][-1] == Change("k", 2, "write", "mine seen")


def test_a_detached_child_writes_on_when_its_parent_has_ended() -> None:
    child = a_child("start >> a >> w >> result", w=writing("late"))
    parent = a_parent("start >> call >> w >> result", call={**SHARED, "detached": True}, w=writing("own"))
    family = Family(parent, {"child": child})
    family.root.begin()
    family.root.finish("w")
    assert family.root.run.state is RunState.SUCCEEDED
    family.play()
    assert [change.value for change in family.boards["root"]] == ["own", "late"]


def test_first_values_of_a_child_count_where_nothing_has_stood() -> None:
    child = a_child("start >> r >> own >> result", document={"board": {"k": "child's", "more": 1}}, r=board("read"),
                    own=board("read", "more"))  # fmt: skip
    parent = a_parent("start >> call >> result", {"board": {"k": "parent's"}}, call=SHARED)
    family = Family(parent, {"child": child}).play()
    (below,) = family.children()
    assert (below.row("r")["output"], below.row("own")["output"]) == ("parent's", 1)
    assert family.root.run.board.values == {"k": "parent's", "more": 1}


@pytest.mark.parametrize("seed", range(6))
def test_items_that_run_apart_use_the_board_of_the_run_around_them(seed: int) -> None:
    inner = {
        "nodes": {
            "a": {"kind": "agent", "agent": "writer@1", "prompt": "${board.topic} ${item}"},
            "w": writing("${item}"),
        },
        "edges": [{"from": "a", "to": "w"}],
    }
    each = {"kind": "each", "over": [1, 2, 3], "spread": True, "graph": inner}
    parent = a_parent("start >> each >> r >> result", {"board": {"topic": "bees"}}, each=each, r=board("read", "log"))
    family = Family(parent, {}, {"a": lambda start: start.input["prompt"]}).play(seed, crash_every=4)
    assert sorted(family.root.run.output) == [1, 2, 3]
    assert sorted(one.started[0].input["prompt"] for one in family.children()) == ["bees 1", "bees 2", "bees 3"]
    assert all("board" not in one.input for one in family.children())
