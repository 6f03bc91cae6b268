from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from pipelines import gallery
from pipelines.editor.outline import Item, outline, walk
from pipelines.graph.parse import parse
from pipelines.graph.places import places
from tests.graph.documents import RESULT, START, a_document, a_graph, an_agent


def listed(document: dict[str, Any]) -> list[str]:
    """Return the outline as lines, two spaces to a level."""
    return list(lines(outline(parse(document).graph, {}), 0))


def lines(items: tuple[Item, ...], level: int) -> Any:
    margin = "  " * level
    for item in items:
        again = "go on with " if item.again else ""
        yield f"{margin}{item.word}: {again}{item.place}" if item.word else f"{margin}{again}{item.place}"
        if item.inside:
            yield f"{margin}  {item.inside_word}"
            yield from lines(item.inside, level + 2)
        for way in item.ways:
            yield f"{margin}  {way.word}" + ("" if way.items else " …")
            yield from lines(way.items, level + 2)


def test_a_chain_reads_as_then_and_then() -> None:
    nodes = {"start": START, "draft": an_agent("a"), "result": RESULT}
    assert listed(a_document(nodes, "start > draft", "draft > result")) == ["start", "then: draft", "then: result"]


def test_branches_are_lists_of_their_own_until_they_meet() -> None:
    nodes = {"start": START, "a": an_agent("a"), "b": an_agent("b"), "c": an_agent("c"), "result": RESULT}
    document = a_document(nodes, "start > a", "start > b", "b > c", "a > result", "c > result")
    assert listed(document) == [
        "start",
        "  in parallel",
        "    a",
        "  in parallel",
        "    b",
        "    then: c",
        "then, when they meet: result",
    ]


def test_a_route_says_which_way_is_taken_when() -> None:
    route = {"kind": "decide", "mode": "rules", "routes": [{"port": "billing", "when": "true"}], "otherwise": "other"}
    nodes = {"start": START, "route": route, "pay": an_agent("a"), "result": RESULT}
    edges = ("start > route", "route.billing > pay", "pay > result", "route.other > result")
    assert listed(a_document(nodes, *edges)) == [
        "start",
        "then: route",
        "  if billing",
        "    pay",
        "  if other …",
        "then, when they meet: result",
    ]


def test_what_a_container_holds_stands_inside_it() -> None:
    inner = a_graph({"dig": an_agent("a"), "sum": an_agent("b")}, "dig > sum")
    loop = {"kind": "each", "over": [1], "as": "row", "graph": inner}
    document = a_document({"start": START, "all": loop, "result": RESULT}, "start > all", "all > result")
    assert listed(document) == [
        "start",
        "then: all",
        "  for each row",
        "    all.dig",
        "    then: all.sum",
        "then: result",
    ]


def test_a_way_into_the_middle_of_another_names_the_step_and_does_not_repeat_it() -> None:
    nodes = {"start": START, **{name: an_agent(name) for name in "abcd"}, "result": RESULT}
    document = a_document(nodes, "start > a", "start > b", "a > c", "b > c", "b > d", "c > result", "d > result")
    assert listed(document) == [
        "start",
        "  in parallel",
        "    a",
        "    then: c",
        "  in parallel",
        "    b",
        "      in parallel",
        "        go on with c",
        "      in parallel",
        "        d",
        "then, when they meet: result",
    ]


def test_a_step_that_nothing_leads_to_stands_by_itself() -> None:
    nodes = {"start": START, "lost": an_agent("a"), "result": RESULT}
    assert listed(a_document(nodes, "start > result")) == ["start", "then: result", "by itself: lost"]


@pytest.mark.parametrize("template", gallery.templates(), ids=lambda template: str(template.name))
def test_every_step_of_every_template_stands_in_its_outline_once(template: Any) -> None:
    document = parse(template.document)
    found = walk(outline(document.graph, {}))
    assert Counter(found) == Counter(place.name for place in places(document))


def test_ways_inside_ways_end_at_a_depth_that_can_be_read() -> None:
    count = 400
    route = {"kind": "decide", "mode": "rules", "routes": [{"port": "yes", "when": "true"}], "otherwise": "no"}
    nodes: dict[str, Any] = {"start": START, "result": RESULT}
    nodes |= {f"r{number}": route for number in range(count)} | {f"e{number}": RESULT for number in range(count)}
    edges = [f"r{one}.no > r{other}" for one, other in pairwise(range(count))]
    edges += [f"r{number}.yes > e{number}" for number in range(count)]
    document = parse(a_document(nodes, "start > r0", f"r{count - 1}.no > result", *edges))
    assert len(walk(outline(document.graph, {}))) == len(nodes)
