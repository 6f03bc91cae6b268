"""The canvas by keys alone: choosing several, arrows, ports, containers, the picture itself."""

import pytest
from playwright.sync_api import expect

from pipelines import drafts
from pipelines.models import DraftEdit
from tests.browser.canvas import Canvas, Open, a_canvas_document, until
from tests.browser.holding import hold, let_go
from tests.people import Team, acting

pytestmark = pytest.mark.browser


def focused(canvas: Canvas) -> str | None:
    place: str | None = canvas.page.evaluate("document.activeElement.dataset.place ?? null")
    return place


def test_several_steps_are_chosen_on_the_way_along_the_arrows(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("start")
    canvas.press("Alt+ArrowDown")
    canvas.press("Shift+Alt+ArrowDown")
    assert canvas.chosen() == ["check", "write"]
    canvas.press("Control+ArrowDown")
    assert (focused(canvas), canvas.chosen()) == ("all", ["check", "write"])
    canvas.press("Space")
    assert canvas.chosen() == ["all", "check", "write"]
    canvas.press("Space")
    assert canvas.chosen() == ["check", "write"]
    canvas.press("Delete")
    canvas.edits(1)
    assert canvas.steps() == {"start", "all", "result"}


def test_arrows_of_a_step_are_chosen_by_a_key_and_removed(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("check")
    canvas.press("e")
    expect(canvas.page.locator("#announce")).to_contain_text("from “Check the draft” to “Every item”")
    expect(canvas.page.locator('[data-edge="check:done:all"]')).to_have_class("on")
    canvas.press("e")
    expect(canvas.page.locator('[data-edge="write:done:check"]')).to_have_class("on")
    canvas.press("Shift+E")
    canvas.press("Delete")
    canvas.edits(1)
    assert "check:done:all" not in canvas.edges()
    assert {"from": "check", "to": "all"} not in canvas.draft.document["graph"]["edges"]
    until(lambda: canvas.chosen() == ["check"])
    canvas.page.locator("#toasts").get_by_role("button", name="Undo").click()
    canvas.edits(2)
    assert "check:done:all" in canvas.edges()


def test_a_step_is_added_on_an_arrow_that_was_chosen_by_key(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("write")
    canvas.press("e")
    canvas.press("a")
    canvas.page.keyboard.type("reshape")
    canvas.press("Enter")
    canvas.edits(1)
    assert {"write:done:transform", "transform:done:check"} <= canvas.edges()
    assert "write:done:check" not in canvas.edges()


def test_a_step_that_is_moved_on_before_the_answer_has_come_goes_on_from_where_it_is(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("write")
    before = canvas.at("write")
    moves = hold(canvas.page, "**/change/")
    canvas.press_in_one_breath(*["ArrowRight"] * 3)
    until(lambda: canvas.page.wait_for_timeout(10) is None and len(moves) == 1)
    canvas.press_in_one_breath(*["ArrowRight"] * 2)
    let_go(moves[0])
    until(lambda: canvas.page.wait_for_timeout(10) is None and len(moves) == 2)
    let_go(moves[1])
    canvas.edits(2)
    until(lambda: canvas.at("write")[0] == before[0] + 50)
    canvas.page.reload()
    until(lambda: canvas.at("write")[0] == before[0] + 50)


def test_a_step_that_was_moved_is_saved_although_another_one_is_moved_at_once(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("write")
    before = {place: canvas.at(place)[0] for place in ("write", "check")}
    canvas.press("ArrowRight")
    canvas.press("Alt+ArrowDown")
    canvas.press("ArrowLeft")
    canvas.edits(2)
    canvas.page.reload()
    assert {place: canvas.at(place)[0] - x for place, x in before.items()} == {"write": 10, "check": -10}


def test_what_is_moved_by_key_and_taken_back_at_once_is_where_it_was(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("write")
    before = canvas.at("write")
    canvas.press("ArrowRight")
    canvas.press("Control+z")
    canvas.edits(2)
    until(lambda: canvas.at("write") == before)


def test_the_picture_is_panned_by_keys_when_no_step_has_the_focus(open_canvas: Open) -> None:
    canvas = open_canvas()
    before = canvas.stage()
    canvas.page.locator("[data-graph]").focus()
    canvas.press("ArrowRight")
    until(lambda: canvas.stage() != before)
    moved = canvas.stage()
    canvas.press("ArrowLeft")
    until(lambda: canvas.stage() == before)
    canvas.page.mouse.click(*canvas.ground())
    canvas.press("ArrowRight")
    until(lambda: canvas.stage() == moved)
    assert DraftEdit.objects.filter(pipeline__slug="desk").count() == 1


def test_an_arrow_by_keys_leaves_from_the_port_whose_digit_is_pressed(open_canvas: Open, team: Team) -> None:
    document = a_canvas_document("forked")
    nodes, edges = document["graph"]["nodes"], document["graph"]["edges"]
    nodes["check"] = {"kind": "human", "title": "Is it good", "mode": "approve", "show": "${steps.write.output}"}
    nodes["result"]["value"] = "${steps.write.output}"
    edges[2] = {"from": "check", "to": "all", "port": "approved"}
    drafts.create(acting(team.alice), document)
    canvas = Canvas(open_canvas(path="/pipelines/forked/").page, "forked")
    canvas.choose("check")
    canvas.press("c")
    words = canvas.page.locator("#announce")
    expect(words).to_contain_text("Press")
    ports = canvas.box("check").locator("[data-port]").evaluate_all("all => all.map(one => one.dataset.port)")
    number = ports.index("rejected") + 1
    canvas.press(str(number))
    expect(canvas.box("check").locator('[data-port="rejected"]')).to_have_class("port out choice on")
    canvas.press("Escape")
    expect(canvas.box("check").locator(".port.on")).to_have_count(0)
    canvas.press("c")
    canvas.press(str(number))
    canvas.page.locator('[id="node-result"]').focus()
    canvas.press("c")
    canvas.edits(1)
    assert "check:rejected:result" in canvas.edges()


def test_a_step_goes_into_a_container_that_is_there_and_out_by_the_menu_alone(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("check")
    canvas.press("o")
    canvas.press("Tab")
    canvas.press("Tab")
    expect(canvas.page.get_by_role("button", name="Into “Every item”")).to_be_focused()
    canvas.press("Enter")
    canvas.edits(1)
    assert set(canvas.node("all")["graph"]["nodes"]) == {"dig", "sum", "check"}
    until(lambda: canvas.chosen() == ["all.check"])
    canvas.page.locator(".cvbar [data-group-menu] summary").click()
    canvas.page.get_by_role("button", name="Out of its group").click()
    canvas.edits(2)
    assert "check" in canvas.steps()
    until(lambda: canvas.chosen() == ["check"])
    canvas.press("o")
    canvas.press("Escape")
    expect(canvas.page.locator("[data-group-menu]").first).not_to_have_attribute("open", "")
    assert canvas.chosen() == ["check"]


def test_a_menu_opened_and_closed_in_one_breath_leaves_what_is_chosen(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("check")
    canvas.press_in_one_breath("o", "Escape")
    expect(canvas.page.locator(".cvbar [data-group-menu]")).not_to_have_attribute("open", "")
    assert canvas.chosen() == ["check"]


def test_steps_are_cut_and_what_was_done_is_done_again_by_keys(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("check")
    canvas.press("Control+x")
    canvas.edits(1)
    assert "check" not in canvas.steps()
    canvas.press("Control+z")
    canvas.edits(2)
    assert "check" in canvas.steps()
    canvas.press("Control+y")
    canvas.edits(3)
    assert "check" not in canvas.steps()
    canvas.press("Control+z")
    canvas.edits(4)
    canvas.press("Control+Shift+z")
    canvas.edits(5)
    assert "check" not in canvas.steps()
    canvas.choose("write")
    canvas.press("Control+v")
    canvas.edits(6)
    assert canvas.node("check")["title"] == "Check the draft"


def test_escape_ends_what_was_begun_last_and_only_that(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("write")
    canvas.press("c")
    canvas.press("/")
    canvas.press("Escape")
    expect(canvas.page.locator("[data-find]").first).to_be_hidden()
    expect(canvas.box("write")).to_have_class("box on joining")
    canvas.press("Escape")
    expect(canvas.box("write")).to_have_class("box on")
    canvas.press("a")
    canvas.press("Escape")
    expect(canvas.page.locator("#step-palette")).to_have_class("steps")
    assert canvas.chosen() == ["write"]
    canvas.press("Escape")
    assert canvas.chosen() == []


def test_the_help_names_the_keys_of_the_picture(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.press("?")
    keys = canvas.page.locator("#help .kbd").all_inner_texts()
    assert {"/", "O", "E", "Shift", "Space"} <= set(keys)
