import json
import time
from itertools import combinations
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipelines.graph.byhand import pins_of
from pipelines.graph.geometry import GAP_X, HEADER, HEIGHT, MARGIN, WIDTH, Box, Layout
from pipelines.graph.layout import layout
from pipelines.graph.parse import parse
from tests.graph.documents import START, a_graph, a_transform, an_agent, parsed


def apart(a: Box, b: Box) -> bool:
    return a.x + a.w <= b.x or b.x + b.w <= a.x or a.y + a.h <= b.y or b.y + b.h <= a.y


def assert_sound(picture: Layout) -> None:
    """Boxes of one scope do not touch, inner boxes lie in their container, lines are orthogonal and lead downwards."""
    for (one, a), (other, b) in combinations(picture.nodes.items(), 2):
        if one.rpartition(".")[0] == other.rpartition(".")[0]:
            assert apart(a, b), (one, other)
    for place, box in picture.nodes.items():
        holder = picture.nodes.get(place.rpartition(".")[0], Box(0, 0, picture.width, picture.height))
        assert holder.x <= box.x
        assert box.x + box.w <= holder.x + holder.w
        assert holder.y <= box.y
        assert box.y + box.h <= holder.y + holder.h
    for line in picture.edges:
        source, target = picture.nodes[line.source], picture.nodes[line.target]
        assert line.points[0][1] == source.y + source.h
        assert source.x < line.points[0][0] < source.x + source.w
        assert line.points[-1] == (target.x + target.w // 2, target.y)
        for (x1, y1), (x2, y2) in zip(line.points, line.points[1:], strict=False):
            assert x1 == x2 or y1 == y2
            assert y2 >= y1
    assert all(isinstance(n, int) for box in picture.nodes.values() for n in (box.x, box.y, box.w, box.h))


def test_a_chain_is_a_straight_column() -> None:
    picture = layout(parsed({name: a_transform() for name in "abc"}, "a > b", "b > c"))
    assert len({box.x for box in picture.nodes.values()}) == 1
    assert [len(line.points) for line in picture.edges] == [2, 2]
    assert {(box.w, box.h) for box in picture.nodes.values()} == {(WIDTH, HEIGHT)}


def test_branches_stand_side_by_side_under_the_middle_of_their_fork() -> None:
    nodes = {name: a_transform() for name in ("a", "b", "c", "d", "e")}
    picture = layout(parsed(nodes, "a > b", "a > c", "a > d", "b > e", "c > e", "d > e"))
    a, b, c, d, e = (picture.nodes[name] for name in "abcde")
    assert b.y == c.y == d.y
    assert c.x - b.x == d.x - c.x == WIDTH + GAP_X
    assert a.x == c.x == e.x


def test_a_long_edge_passes_beside_the_boxes_between() -> None:
    picture = layout(parsed({name: a_transform() for name in "abc"}, "a > b", "b > c", "a > c"))
    skipping = next(line for line in picture.edges if (line.source, line.target) == ("a", "c"))
    b = picture.nodes["b"]
    for (x1, y1), (_, y2) in zip(skipping.points, skipping.points[1:], strict=False):
        if y1 < b.y + b.h and y2 > b.y:
            assert not b.x <= x1 <= b.x + b.w
    assert_sound(picture)


def test_a_container_holds_its_steps() -> None:
    inner = a_graph({"x": an_agent(), "y": an_agent(), "z": an_agent()}, "x > y", "x > z")
    nodes = {"start": START, "loop": {"kind": "each", "over": [1], "graph": inner}, "after": a_transform()}
    picture = layout(parsed(nodes, "start > loop", "loop > after"))
    assert set(picture.nodes) == {"start", "loop", "loop.x", "loop.y", "loop.z", "after"}
    assert {(line.source, line.target) for line in picture.edges} >= {("loop.x", "loop.y"), ("start", "loop")}
    assert_sound(picture)


def test_each_port_of_a_choice_has_a_spot_of_its_own() -> None:
    choice = {"kind": "decide", "routes": [{"port": "left", "when": "true"}], "otherwise": "right"}
    nodes = {"choice": choice, "a": a_transform(), "b": a_transform()}
    picture = layout(parsed(nodes, "choice.left > a", "choice.right > b"))
    left, right = (line.points[0][0] for line in picture.edges)
    assert left < right
    assert_sound(picture)


def test_boxes_stand_where_they_were_put_and_later_ones_find_room_under_what_leads_to_them() -> None:
    document = parsed({name: a_transform() for name in "abcd"}, "a > b", "a > c", "b > d")
    picture = layout(document, {"a": (-50, 10), "b": (300, 400)})
    a, b, c, d = (picture.nodes[name] for name in "abcd")
    assert ((a.x, a.y), (b.x, b.y)) == ((-50, 10), (300, 400))
    assert c.y > a.y + a.h
    assert d.y > b.y + b.h
    assert (picture.left, picture.top) == (-50 - MARGIN, 10 - MARGIN)
    assert all(apart(one, other) for one, other in combinations(picture.nodes.values(), 2))


def test_a_container_grows_around_what_was_moved_in_it() -> None:
    inner = a_graph({"x": an_agent(), "y": an_agent()}, "x > y")
    document = parsed({"loop": {"kind": "each", "over": [1], "graph": inner}})
    picture = layout(document, {"loop.x": (0, 0), "loop.y": (600, -300)})
    loop = picture.nodes["loop"]
    for name in ("loop.x", "loop.y"):
        box = picture.nodes[name]
        assert loop.x <= box.x
        assert box.x + box.w <= loop.x + loop.w
        assert loop.y + HEADER <= box.y
        assert box.y + box.h <= loop.y + loop.h
    assert picture.nodes["loop.y"].x - picture.nodes["loop.x"].x == 600


def test_what_is_no_position_is_left_out() -> None:
    positions = {"a": [1, 2], "b": [1], "c": "x", "d": [True, 1], "e": [10**9, 0], "f": None}
    assert pins_of({"positions": positions}) == {"a": (1, 2)}
    assert pins_of({"positions": 3}) == pins_of(None) == {}


def test_a_team_has_room_for_its_members_and_what_follows_stands_below() -> None:
    members = [f"agent_{index}@1" for index in range(12)]
    team = {"kind": "team", "task": "Talk.", "members": members, "stop": {"max_turns": 3}}
    document = parsed({"a": a_transform(), "talk": team, "b": a_transform()}, "a > talk", "talk > b")
    alone, roomy = layout(document).nodes["talk"], layout(document, with_crews=True)
    assert_sound(roomy)
    assert (alone.w, alone.h) == (WIDTH, HEIGHT)
    assert roomy.nodes["talk"].w > 3 * WIDTH, "twelve stand in three columns"
    assert roomy.nodes["talk"].h < 5 * HEIGHT


def test_an_empty_pipeline_has_an_empty_picture() -> None:
    picture = layout(parsed({}))
    assert (picture.nodes, picture.edges) == ({}, ())


def test_the_gallery_is_drawn_soundly_and_the_same_every_time() -> None:
    for path in Path("pipelines/gallery/documents").glob("*.json"):
        document = parse(json.loads(path.read_bytes()))
        assert_sound(layout(document))
        assert layout(document) == layout(document)


NAMES = "abcdefg"
EDGES = st.sets(st.sampled_from([f"{a} > {b}" for a, b in combinations(NAMES, 2)]))


@given(EDGES, st.sets(st.sampled_from(NAMES), max_size=2))
def test_any_graph_is_drawn_soundly(edges: set[str], containers: set[str]) -> None:
    loop: dict[str, Any] = {"kind": "each", "over": [1], "graph": a_graph({"x": START, "y": START}, "x > y")}
    nodes = {name: loop if name in containers else a_transform() for name in NAMES}
    assert_sound(layout(parsed(nodes, *sorted(edges))))


def test_two_thousand_steps_are_drawn_within_two_seconds() -> None:
    nodes = {f"n{i}": a_transform() for i in range(2_000)}
    document = parsed(nodes, *[f"n{i} > n{j}" for i in range(2_000) for j in range(i + 1, min(i + 6, 2_000))])
    began = time.process_time()
    layout(document)
    assert time.process_time() - began < 2
