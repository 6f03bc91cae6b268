"""What stands behind the boxes of the canvas: safe zones as frames, and the way back of a Repeat."""

from typing import Any

from pipelines.canvas import picture
from pipelines.editor.areas import PAD, drawn_behind, safe_areas
from pipelines.graph.byhand import pins_of
from pipelines.graph.parse import parse
from tests.graph.documents import RESULT, START, a_document, a_graph, an_agent

SIDES = ("start > left", "start > right", "left > both", "right > both", "both > result")


def a_split(**fields: Any) -> dict[str, Any]:
    both = {"kind": "combine", "merge": "object", "min_ok": 1, "on_failed_input": "tolerate"}
    nodes = {"start": START, "left": an_agent("L"), "right": an_agent("R"), "both": both, "result": RESULT}
    return a_document(nodes, *SIDES, **fields)


def areas_of(document: dict[str, Any]) -> list[tuple[str, ...]]:
    parsed = parse(document)
    return [area.places for area in safe_areas(parsed, picture(parsed, None, pins_of(document.get("ui"))))]


def test_branches_whose_failure_a_combine_leaves_out_stand_in_one_frame() -> None:
    document = a_split()
    parsed = parse(document)
    drawn = picture(parsed)
    (area,) = safe_areas(parsed, drawn)
    assert area.places == ("left", "right")
    left, right = drawn.by_place["left"].box, drawn.by_place["right"].box
    assert (area.box.x, area.box.y) == (min(left.x, right.x) - PAD, left.y - PAD)
    assert area.box.w == abs(right.x - left.x) + left.w + 2 * PAD


def test_no_frame_is_drawn_around_a_step_that_is_not_safe() -> None:
    pins = {"left": [0, 300], "right": [600, 300], "both": [300, 300], "start": [300, 0], "result": [300, 700]}
    assert areas_of(a_split(ui={"positions": pins})) == []


def test_a_pipeline_without_a_tolerant_combine_has_no_frame() -> None:
    assert areas_of(a_document({"start": START, "one": an_agent("1"), "result": RESULT}, "start > one")) == []


def test_a_repeat_leads_back_from_its_last_step_to_its_first_within_its_group() -> None:
    inner = a_graph({"write": an_agent("W"), "check": an_agent("C")}, "write > check")
    loop = {"kind": "repeat", "until": "true", "max_rounds": 3, "graph": inner}
    parsed = parse(a_document({"start": START, "loop": loop, "result": RESULT}, "start > loop", "loop > result"))
    drawn = picture(parsed)
    (again,) = drawn_behind(parsed, drawn)["again"]
    box, write, check = (drawn.by_place[place].box for place in ("loop", "loop.write", "loop.check"))
    assert again["line"].startswith(f"M{check.x + check.w} {check.y + check.h * 2 // 3}")
    assert again["line"].endswith(f"L{write.x + write.w} {write.y + write.h // 3}")
    assert box.x < again["at"][0] < box.x + box.w


def test_an_empty_repeat_has_no_way_back() -> None:
    loop = {"kind": "repeat", "until": "true", "max_rounds": 3, "graph": {"nodes": {}, "edges": []}}
    parsed = parse(a_document({"start": START, "loop": loop, "result": RESULT}, "start > loop", "loop > result"))
    assert drawn_behind(parsed, picture(parsed))["again"] == [{"group": "loop", "line": "", "tip": "", "at": [0, 0]}]
