import copy
from typing import Any

import pytest

from accounts.errors import Invalid
from pipelines import ops
from pipelines.canvas import picture
from pipelines.editor.commands import ops_of
from pipelines.editor.desk import Desk
from pipelines.editor.presets import PRESETS, Offer
from pipelines.graph.byhand import pins_of
from pipelines.graph.parse import parse
from tests.graph.documents import RESULT, START, a_document, a_graph, an_agent

CHAIN = ("start > draft", "draft > check", "check > result")
EDGE = {"from": "draft", "to": "check"}


def a_draft(**fields: Any) -> dict[str, Any]:
    nodes = {
        "start": START,
        "draft": an_agent("Write about ${input.topic}."),
        "check": an_agent("Check ${steps.draft.output}, not steps.draft in words."),
        "result": RESULT,
    }
    return a_document(nodes, *CHAIN, **fields)


def a_nested_draft() -> dict[str, Any]:
    inner = a_graph({"dig": an_agent("Dig ${item}."), "sum": an_agent("Sum ${steps.dig.output}.")}, "dig > sum")
    loop = {"kind": "each", "over": [1], "as": "item", "graph": inner}
    return a_document({"start": START, "all": loop, "result": RESULT}, "start > all", "all > result")


def a_desk(document: dict[str, Any], **fields: Any) -> Desk:
    drawn = picture(parse(document), None, pins_of(document.get("ui")))
    boxes = {place: placed.box for place, placed in drawn.by_place.items()}
    return Desk(document, boxes, Offer(["writer@1"], ["email.send@1"], ["child@1"]), **fields)


def after(document: dict[str, Any], name: str, **args: Any) -> dict[str, Any]:
    """Return the document after a command; what it came from is what its inverse gives back."""
    changed, inverse = ops.apply(document, ops_of(name, args, a_desk(document)))
    parse(changed)
    assert ops.apply(changed, inverse)[0]["graph"] == sorted_edges(document, ops.apply(changed, inverse)[0])
    return changed


def sorted_edges(document: dict[str, Any], undone: dict[str, Any]) -> dict[str, Any]:
    """An edge that is taken back stands at the end of the list; the order of edges has no meaning on the canvas."""
    graph = copy.deepcopy(document["graph"])
    graph["edges"] = sorted(graph["edges"], key=undone["graph"]["edges"].index)
    return graph


def edges_of(document: dict[str, Any]) -> set[str]:
    return {f"{edge['from']}.{edge.get('port', 'done')}>{edge['to']}" for edge in document["graph"]["edges"]}


def test_a_step_dropped_on_an_arrow_stands_between_its_ends() -> None:
    changed = after(a_draft(), "add", preset="agent", scope="", on_edge=EDGE)
    assert edges_of(changed) >= {"draft.done>step", "step.done>check"}
    assert "draft.done>check" not in edges_of(changed)
    assert changed["graph"]["nodes"]["step"]["agent"] == "writer@1"
    assert "${steps.draft.output}" in changed["graph"]["nodes"]["step"]["prompt"]


def test_a_step_added_after_another_hangs_on_it_under_a_name_of_its_own() -> None:
    once = after(a_draft(), "add", preset="agent", after={"node": "draft"})
    twice = after(once, "add", preset="agent", after={"node": "draft"})
    assert edges_of(twice) >= {"draft.done>step", "draft.done>step_2"}


def test_a_step_is_added_inside_a_container() -> None:
    changed = after(a_nested_draft(), "add", preset="transform", scope="all", after={"node": "all.sum"})
    assert changed["graph"]["nodes"]["all"]["graph"]["edges"][-1] == {"from": "sum", "to": "transform"}


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_can_be_added_anywhere_and_still_is_a_pipeline(preset: str) -> None:
    after(a_draft(), "add", preset=preset)
    after(a_draft(), "add", preset=preset, after={"node": "start"})
    after(a_draft(), "add", preset=preset, on_edge=EDGE)
    after(a_nested_draft(), "add", preset=preset, scope="all", after={"node": "all.dig"})


def test_a_step_is_added_before_another_and_all_that_led_there_leads_to_it() -> None:
    assert edges_of(after(a_draft(), "add", preset="agent", before="draft")) == {
        "start.done>step",
        "step.done>draft",
        "draft.done>check",
        "check.done>result",
    }
    inner = after(a_nested_draft(), "add", preset="agent", before="all.dig")["graph"]["nodes"]["all"]["graph"]
    assert {"from": "step", "to": "dig"} in inner["edges"]


def test_a_parallel_branch_begins_and_ends_with_the_step_it_stands_beside() -> None:
    inputs = {"type": "object", "properties": {"topic": {"type": "string"}}}
    changed = after(a_draft(inputs=inputs), "add", preset="agent", beside="draft")
    assert edges_of(changed) == edges_of(a_draft()) | {"start.done>step", "step.done>check"}
    assert "${input.topic}" in changed["graph"]["nodes"]["step"]["prompt"]


def test_nothing_runs_beside_the_start_and_nothing_follows_a_result() -> None:
    for args in ({"preset": "agent", "beside": "start"}, {"preset": "output", "before": "draft"}):
        with pytest.raises(Invalid) as refusal:
            ops_of("add", args, a_desk(a_draft()))
        assert refusal.value.code == "bad_command"
        assert "does not fit" not in refusal.value.message


@pytest.mark.parametrize(("place", "by"), [("check", "up"), ("draft", "down")])
def test_two_neighbours_of_a_chain_change_places(place: str, by: str) -> None:
    changed = after(a_draft(), "swap", place=place, by=by)
    assert edges_of(changed) == {"start.done>check", "check.done>draft", "draft.done>result"}
    assert edges_of(after(changed, "swap", place=place, by="down" if by == "up" else "up")) == edges_of(a_draft())


def test_neighbours_that_people_placed_change_their_spots_too() -> None:
    moved = after(a_draft(), "move", positions={"draft": [500, 600]})
    spots = moved["ui"]["positions"]
    now = after(moved, "swap", place="draft", by="down")["ui"]["positions"]
    assert (now["draft"], now["check"]) == (spots["check"], spots["draft"])


@pytest.mark.parametrize(("place", "by"), [("draft", "up"), ("check", "down"), ("start", "up"), ("result", "down")])
def test_the_start_stays_first_and_a_result_last(place: str, by: str) -> None:
    with pytest.raises(Invalid) as refusal:
        ops_of("swap", {"place": place, "by": by}, a_desk(a_draft()))
    assert refusal.value.code == "bad_command"


def test_a_removed_step_leaves_no_gap_in_a_chain() -> None:
    changed = after(a_draft(), "delete", places=["draft"])
    assert edges_of(changed) == {"start.done>check", "check.done>result"}
    assert edges_of(after(a_draft(), "delete", places=["draft", "check"])) == set()


def test_arrows_are_drawn_and_removed() -> None:
    cut = after(a_draft(), "disconnect", edges=[{"scope": "", **EDGE}])
    assert "draft.done>check" not in edges_of(cut)
    assert edges_of(after(cut, "connect", **EDGE, scope="")) == edges_of(a_draft())


def test_a_copy_refers_to_its_copied_neighbours_and_to_nothing_else_anew() -> None:
    changed = after(a_draft(), "duplicate", places=["draft", "check"])
    copied = changed["graph"]["nodes"]["check_2"]
    assert copied["prompt"] == "Check ${steps.draft_2.output}, not steps.draft in words."
    assert changed["graph"]["nodes"]["check"]["prompt"].startswith("Check ${steps.draft.output}")
    assert "draft_2.done>check_2" in edges_of(changed)
    alone = after(a_draft(), "duplicate", places=["check"])["graph"]["nodes"]["check_2"]
    assert alone["prompt"].startswith("Check ${steps.draft.output}")


def test_a_container_is_copied_with_all_it_holds() -> None:
    changed = after(a_nested_draft(), "duplicate", places=["all", "all.dig"])
    assert changed["graph"]["nodes"]["all_2"] == a_nested_draft()["graph"]["nodes"]["all"]


def test_steps_of_another_pipeline_are_pasted() -> None:
    desk = a_desk(a_nested_draft(), copied=a_draft())
    changed, _ = ops.apply(desk.document, ops_of("paste", {"places": ["draft", "check"], "scope": "all"}, desk))
    parse(changed)
    assert set(changed["graph"]["nodes"]["all"]["graph"]["nodes"]) == {"dig", "sum", "draft", "check"}


def test_the_first_box_that_is_moved_pins_its_neighbours_where_they_stand() -> None:
    document = a_nested_draft()
    before = picture(parse(document)).by_place
    changed = after(document, "move", positions={"all.dig": [before["all.dig"].box.x + 40, before["all.dig"].box.y]})
    assert set(changed["ui"]["positions"]) == {"all.dig", "all.sum"}
    now = picture(parse(changed), None, pins_of(changed["ui"])).by_place
    assert now["all.dig"].box.x - now["all.sum"].box.x == before["all.dig"].box.x - before["all.sum"].box.x + 40
    assert now["start"].box.y == before["start"].box.y


def test_a_second_move_counts_from_the_same_origin() -> None:
    moved = after(a_draft(), "move", positions={"draft": [500, 600]})
    again = after(moved, "move", positions={"draft": [510, 620]})
    assert again["ui"]["positions"]["draft"] == [510, 620]
    assert picture(parse(again), None, pins_of(again["ui"])).by_place["draft"].box.x == 510


def test_tidying_up_lets_every_box_flow_again() -> None:
    moved = after(a_draft(), "move", positions={"draft": [500, 600]})
    assert after(moved, "tidy")["ui"] == {"positions": {}}
    with pytest.raises(Invalid) as refusal:
        ops_of("tidy", {}, a_desk(a_draft()))
    assert refusal.value.code == "nothing_to_tidy"


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("explode", {}),
        ("add", {}),
        ("add", {"preset": "ghost"}),
        ("add", {"preset": "agent", "scope": "nowhere"}),
        ("add", {"preset": "agent", "after": {"node": "ghost"}}),
        ("add", {"preset": "agent", "on_edge": 3}),
        ("delete", {"places": ["ghost"]}),
        ("delete", {"places": []}),
        ("delete", {"places": 7}),
        ("move", {"positions": {"draft": ["a", 1]}}),
        ("move", {"positions": {"ghost": [1, 1]}}),
        ("move", {"positions": {"draft": [1e400, 1]}}),
        ("paste", {"places": ["draft.x"]}),
        ("connect", {"from": "draft"}),
        ("disconnect", {"edges": [{}]}),
        ("swap", {}),
        ("swap", {"place": "ghost", "by": "up"}),
        ("add", {"preset": "agent", "before": "ghost"}),
        ("add", {"preset": "agent", "beside": "nowhere.ghost"}),
    ],
)
def test_a_command_that_does_not_fit_is_refused(name: str, args: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refusal:
        ops_of(name, args, a_desk(a_draft()))
    assert refusal.value.code == "bad_command"


def held(document: dict[str, Any], place: str) -> dict[str, Any]:
    return document["graph"]["nodes"][place]["graph"]


def test_a_step_dropped_into_a_container_leaves_no_gap_and_stands_inside() -> None:
    document = a_nested_draft()
    document["graph"]["nodes"]["before"] = an_agent("Before ${input.topic}.")
    document["graph"]["edges"] = [
        {"from": "start", "to": "before"},
        {"from": "before", "to": "all"},
        {"from": "all", "to": "result"},
    ]
    changed = after(document, "move_into", places=["before"], scope="all")
    assert set(held(changed, "all")["nodes"]) == {"dig", "sum", "before"}
    assert edges_of(changed) == {"start.done>all", "all.done>result"}
    assert "ui" not in changed


def test_a_step_taken_out_under_another_name_is_still_read_by_those_that_stay() -> None:
    document = a_nested_draft()
    document["graph"]["nodes"]["dig"] = an_agent("Another.")
    changed = after(document, "move_into", places=["all.dig"], scope="")
    assert changed["graph"]["nodes"]["dig_2"]["prompt"] == "Dig ${item}."
    assert held(changed, "all")["nodes"]["sum"]["prompt"] == "Sum ${steps.dig_2.output}."
    assert held(changed, "all")["edges"] == []


def test_steps_that_move_together_keep_their_arrows_and_their_references() -> None:
    document = a_nested_draft()
    document["graph"]["nodes"]["dig"] = an_agent("Another.")
    changed = after(document, "move_into", places=["all.dig", "all.sum"], scope="")
    assert held(changed, "all") == {"nodes": {}, "edges": []}
    assert "dig_2.done>sum" in edges_of(changed)
    assert changed["graph"]["nodes"]["sum"]["prompt"] == "Sum ${steps.dig_2.output}."


def test_a_dropped_step_stands_where_it_was_dropped_and_no_other_jumps() -> None:
    document = a_nested_draft()
    before = picture(parse(document)).by_place
    at = [before["all"].box.x + 400, before["all"].box.y + 90]
    changed = after(document, "move_into", places=["all.sum"], scope="", positions={"all.sum": at})
    now = picture(parse(changed), None, pins_of(changed["ui"])).by_place
    assert [now["sum"].box.x, now["sum"].box.y] == at
    assert now["start"].box == before["start"].box


def test_a_container_that_moves_takes_along_where_its_boxes_stand() -> None:
    document = a_nested_draft()
    document["graph"]["nodes"]["other"] = copy.deepcopy(document["graph"]["nodes"]["all"])
    document["ui"] = {"positions": {"other.dig": [10, 20], "other.sum": [10, 200]}}
    changed = after(document, "move_into", places=["other"], scope="all")
    assert changed["ui"]["positions"] == {"all.other.dig": [10, 20], "all.other.sum": [10, 200]}


@pytest.mark.parametrize("kind", ["each", "repeat"])
def test_chosen_steps_are_grouped_and_what_follows_reads_the_group(kind: str) -> None:
    document = a_draft()
    document["graph"]["nodes"]["result"] = {"kind": "output", "value": "${steps.check.output}"}
    changed = after(document, "wrap", places=["draft", "check"], kind=kind)
    assert edges_of(changed) == {f"start.done>{kind}", f"{kind}.done>result"}
    assert set(held(changed, kind)["nodes"]) == {"draft", "check"}
    assert held(changed, kind)["edges"] == [{"from": "draft", "to": "check"}]
    assert changed["graph"]["nodes"]["result"]["value"] == f"${{steps.{kind}.output}}"


def test_a_refusal_is_no_way_out_of_a_group() -> None:
    nodes = {
        "start": START,
        "ask": {"kind": "human", "mode": "approve", "show": "Right?"},
        "yes": an_agent("Yes."),
        "no": an_agent("No."),
    }
    document = a_document(nodes, "start > ask", "ask.approved > yes", "ask.rejected > no")
    assert edges_of(after(document, "wrap", places=["ask"], kind="each")) == {"start.done>each", "each.done>yes"}


def test_boxes_that_stood_by_hand_stand_so_inside_their_group() -> None:
    moved = after(a_draft(), "move", positions={"draft": [500, 600]})
    changed = after(moved, "wrap", places=["draft"], kind="each")
    positions = changed["ui"]["positions"]
    assert (positions["each"], positions["each.draft"]) == ([500, 600], [500, 600])
    assert "draft" not in positions


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("move_into", {"places": ["all"], "scope": "all"}),
        ("move_into", {"places": ["all"], "scope": "all.deeper"}),
        ("move_into", {"places": ["all.dig"], "scope": "all"}),
        ("move_into", {"places": ["start"], "scope": "all"}),
        ("move_into", {"places": ["all.dig"], "scope": "start"}),
        ("wrap", {"places": ["start"], "kind": "each"}),
        ("wrap", {"places": ["all", "all.ghost"], "kind": "wrapper"}),
        ("wrap", {"places": ["all.dig", "result"], "kind": "each"}),
    ],
)
def test_a_step_moves_only_to_where_it_may_stand(name: str, args: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refusal:
        ops_of(name, args, a_desk(a_nested_draft()))
    assert refusal.value.code == "bad_command"
