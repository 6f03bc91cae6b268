"""Who takes part in a Team or works for a Supervisor, as cards inside its box: by pointer, by keys, and in the list."""

from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from pipelines import drafts
from pipelines.library import agents
from pipelines.library.agents import AgentFields
from tests.browser.canvas import Canvas, Open, Spot, a_canvas_document, until
from tests.browser.holding import hold, let_go
from tests.people import Team, acting

pytestmark = pytest.mark.browser

TEAM = {
    "kind": "team",
    "title": "Talk it over",
    "task": "Judge ${steps.write.output}.",
    "mode": "round_robin",
    "members": ["writer@1", "critic@1", "judge@1"],
    "stop": {"max_turns": 4},
}
LEAD = {
    "kind": "supervisor",
    "title": "Give it out",
    "task": "Research ${steps.write.output}.",
    "agent": "judge@1",
    "mode": "step",
    "workers": [
        {"agent": "writer@1"},
        {"supervisor": {"name": "desk", "agent": "critic@1", "workers": [{"agent": "writer@1"}, {"agent": "judge@1"}]}},
    ],
}


@pytest.fixture
def open_crew(open_canvas: Open, team: Team) -> Open:
    for slug in ("critic", "judge"):
        agents.create(acting(team.alice), slug, AgentFields(model="demo/writer", role="Doubts", instructions="Speak."))

    def opened(step: dict[str, Any] = TEAM, path: str = "/pipelines/talk/", **context: Any) -> Canvas:
        document = a_canvas_document("talk")
        document["graph"]["nodes"]["check"] = step
        drafts.create(acting(team.alice), document)
        return Canvas(open_canvas(path=path, **context).page, "talk")

    return opened


def mate(canvas: Canvas, at: str) -> Locator:
    return canvas.box("check").locator(f'[data-member="{at}"]')


def spot(found: Locator) -> Spot:
    box = found.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def titles(canvas: Canvas) -> list[str]:
    return canvas.box("check").locator(".mate b").all_inner_texts()


def focused(canvas: Canvas) -> str | None:
    at: str | None = canvas.page.evaluate(
        "document.activeElement.dataset.member ?? document.activeElement.dataset.place"
    )
    return at


def test_a_team_is_a_group_whose_members_stand_in_it_in_their_order(open_crew: Open) -> None:
    canvas = open_crew()
    assert titles(canvas) == ["Writer", "Critic", "Judge"]
    expect(canvas.box("check")).to_contain_text("In turn, in this order")
    expect(mate(canvas, "members/1")).to_contain_text("Doubts · demo/writer")
    assert canvas.box("check").locator(".nth").all_inner_texts() == ["1", "2", "3"]
    _, y, w, h = canvas.at("check")
    for at in ("members/0", "members/2"):
        inner = mate(canvas, at).evaluate("m => [m.offsetLeft, m.offsetTop, m.offsetWidth, m.offsetHeight]")
        assert inner[0] > 0
        assert inner[0] + inner[2] < w
        assert inner[1] + inner[3] < h
    below = canvas.at("all")
    assert below[1] >= y + h, "the layout leaves room for all of them"


def test_a_pressed_member_is_chosen_with_its_step_and_marked_in_its_form(open_crew: Open) -> None:
    canvas = open_crew()
    mate(canvas, "members/1").click()
    assert canvas.chosen() == ["check"]
    expect(mate(canvas, "members/1")).to_have_attribute("aria-current", "true")
    row = canvas.page.locator("#inspector .at-member")
    expect(row.locator("select")).to_have_value("critic@1")
    mate(canvas, "members/2").click()
    expect(row.locator("select")).to_have_value("judge@1")
    canvas.page.mouse.click(*canvas.middle("write"))
    expect(canvas.box("check").locator("[aria-current]")).to_have_count(0)


def test_keys_go_into_a_team_along_its_members_to_the_form_and_out(open_crew: Open) -> None:
    canvas = open_crew()
    canvas.choose("check")
    canvas.press("i")
    assert focused(canvas) == "members/0"
    canvas.press("ArrowDown")
    assert focused(canvas) == "members/1"
    canvas.press("Enter")
    expect(canvas.page.locator("#inspector .at-member select")).to_be_focused()
    mate(canvas, "members/1").focus()
    canvas.press("Escape")
    assert (focused(canvas), canvas.chosen()) == ("check", ["check"])
    canvas.press("i")
    canvas.press("Shift+I")
    assert focused(canvas) == "check"


def test_keys_go_into_a_for_each_and_out_of_it(open_crew: Open) -> None:
    canvas = open_crew()
    canvas.choose("all")
    canvas.press("i")
    until(lambda: canvas.chosen() == ["all.dig"])
    canvas.press("Shift+I")
    until(lambda: canvas.chosen() == ["all"])


def test_members_change_places_by_keys_however_fast_and_are_put_back_by_undo(open_crew: Open) -> None:
    canvas = open_crew()
    mate(canvas, "members/0").click()
    canvas.press("Alt+ArrowDown")
    canvas.press("Alt+ArrowDown")
    canvas.edits(2)
    assert canvas.node("check")["members"] == ["critic@1", "judge@1", "writer@1"]
    expect(mate(canvas, "members/2")).to_be_focused()
    assert titles(canvas) == ["Critic", "Judge", "Writer"]
    canvas.press("Alt+ArrowDown")
    expect(canvas.page.locator("#toasts .toast").last).to_contain_text("at the end of its list")
    canvas.press("Control+z")
    canvas.edits(3)
    assert canvas.node("check")["members"] == ["critic@1", "writer@1", "judge@1"]


def test_a_member_is_dragged_to_another_place_and_the_box_stays(open_crew: Open) -> None:
    canvas = open_crew()
    before = canvas.at("check")
    canvas.drag(spot(mate(canvas, "members/2")), spot(mate(canvas, "members/0")))
    canvas.edits(1)
    assert canvas.node("check")["members"] == ["judge@1", "writer@1", "critic@1"]
    until(lambda: titles(canvas) == ["Judge", "Writer", "Critic"])
    assert canvas.at("check") == before
    expect(mate(canvas, "members/0")).to_have_attribute("aria-current", "true")
    canvas.drag(spot(mate(canvas, "members/0")), canvas.ground())
    canvas.page.wait_for_timeout(200)
    canvas.edits(1)


def test_members_are_added_and_removed_by_keys_and_the_box_grows(open_crew: Open) -> None:
    canvas = open_crew({**TEAM, "members": ["writer@1", "critic@1"]})
    height = canvas.at("check")[3]
    mate(canvas, "members/0").click()
    canvas.press("a")
    canvas.edits(1)
    assert canvas.node("check")["members"] == ["writer@1", "judge@1", "critic@1"]
    expect(mate(canvas, "members/1")).to_be_focused()
    assert canvas.at("check")[3] > height
    canvas.press("Enter")
    choice = canvas.page.locator("#inspector .at-member select")
    expect(choice).to_be_focused()
    choice.select_option("critic@1")
    canvas.edits(2)
    assert canvas.node("check")["members"] == ["writer@1", "critic@1", "critic@1"]
    mate(canvas, "members/1").click()
    canvas.press("Delete")
    canvas.edits(3)
    assert canvas.node("check")["members"] == ["writer@1", "critic@1"]
    expect(mate(canvas, "members/1")).to_be_focused()
    canvas.page.locator("#toasts").get_by_role("button", name="Undo").click()
    canvas.edits(4)
    assert len(canvas.node("check")["members"]) == 3


def test_the_last_member_stays(open_crew: Open) -> None:
    canvas = open_crew({**TEAM, "members": ["writer@1"]})
    mate(canvas, "members/0").click()
    canvas.press("Delete")
    expect(canvas.page.locator("#toasts .toast").last).to_contain_text("Somebody has to take part")
    assert canvas.node("check")["members"] == ["writer@1"]


def test_members_are_added_by_the_button_and_by_a_step_dropped_on_the_group(open_crew: Open) -> None:
    canvas = open_crew({**TEAM, "members": ["writer@1"]})
    canvas.box("check").get_by_role("button", name="Add to it").click()
    canvas.edits(1)
    assert canvas.node("check")["members"] == ["writer@1", "critic@1"]
    expect(mate(canvas, "members/1")).to_have_attribute("aria-current", "true")
    expect(canvas.page.locator("#inspector .at-member select")).to_have_value("critic@1")
    canvas.drag(spot(canvas.page.locator('[data-preset="agent"]')), spot(mate(canvas, "members/0")))
    canvas.edits(2)
    assert canvas.node("check")["members"] == ["writer@1", "critic@1", "judge@1"]
    canvas.drag(spot(canvas.page.locator('[data-preset="tool"]')), spot(mate(canvas, "members/0")))
    expect(canvas.page.locator("#toasts .toast").last).to_contain_text("Only agents take part in a Team")


def test_the_whole_list_is_never_marked_for_a_member_that_the_form_does_not_have_yet(open_crew: Open) -> None:
    canvas = open_crew({**TEAM, "members": ["writer@1"]})
    canvas.choose("check")
    held = hold(canvas.page, "**/step/**")
    canvas.box("check").get_by_role("button", name="Add to it").click()
    canvas.edits(1)
    expect(mate(canvas, "members/1")).to_have_attribute("aria-current", "true")
    expect(canvas.page.locator("#inspector .at-member")).to_have_count(0)
    until(lambda: canvas.page.wait_for_timeout(10) is None and bool(held))
    canvas.page.unroute("**/step/**")
    for route in held:
        let_go(route)
    expect(canvas.page.locator("#inspector .at-member select")).to_have_value("critic@1")


def test_enter_waits_for_the_form_that_knows_the_added_member(open_crew: Open) -> None:
    canvas = open_crew({**TEAM, "members": ["writer@1", "critic@1"]})
    mate(canvas, "members/0").click()
    choice = canvas.page.locator("#inspector .at-member select")
    expect(choice).to_have_value("writer@1")
    held = hold(canvas.page, "**/step/**")
    canvas.press("a")
    canvas.edits(1)
    expect(mate(canvas, "members/1")).to_be_focused()
    canvas.press("Enter")
    expect(mate(canvas, "members/1")).to_be_focused()
    expect(choice).to_have_count(0)
    until(lambda: canvas.page.wait_for_timeout(10) is None and bool(held))
    canvas.page.unroute("**/step/**")
    for route in held:
        let_go(route)
    expect(choice).to_be_focused()
    expect(choice).to_have_value("judge@1")


def test_a_supervisor_shows_who_leads_and_who_works_under_whom(open_crew: Open) -> None:
    canvas = open_crew(LEAD)
    assert titles(canvas) == ["Judge", "Writer", "Desk", "Writer", "Judge"]
    expect(canvas.box("check")).to_contain_text("Task after task")
    expect(mate(canvas, "agent")).to_contain_text("Leads · demo/writer")
    mate(canvas, "agent").click()
    expect(canvas.page.locator("#inspector .at-member select")).to_have_value("judge@1")
    canvas.press("Delete")
    expect(canvas.page.locator("#toasts .toast").last).to_contain_text("changed in the form")
    mate(canvas, "workers/1/supervisor/workers/0").click()
    canvas.press("Alt+ArrowDown")
    canvas.edits(1)
    inner = canvas.node("check")["workers"][1]["supervisor"]["workers"]
    assert inner == [{"agent": "judge@1"}, {"agent": "writer@1"}]
    mate(canvas, "workers/0").click()
    expect(canvas.page.locator("#inspector .at-member select").first).to_have_value("writer@1")
    canvas.drag(spot(canvas.page.locator('[data-preset="tool"]')), spot(mate(canvas, "workers/0")))
    canvas.edits(2)
    assert "tool" in canvas.node("check")["workers"][2]


def test_who_works_under_a_supervisor_within_is_changed_in_fields(open_crew: Open) -> None:
    canvas = open_crew(LEAD)
    mate(canvas, "workers/1/supervisor/workers/0").click()
    desk = canvas.page.locator('#inspector [data-field="/workers/1/supervisor"]')
    expect(desk.locator(".at-member select").first).to_have_value("writer@1")
    desk.locator("[data-field$='/supervisor/mode'] select").first.select_option("plan")
    canvas.edits(1)
    under = desk.locator('[data-field="/workers/1/supervisor/workers"]')
    under.locator(":scope > [data-rows] > [data-rows-do=add]").click()
    under.locator("[data-row='2'] select").first.select_option("critic@1")
    canvas.edits(2)
    inner = canvas.node("check")["workers"][1]["supervisor"]
    assert (inner["mode"], inner["workers"][2]) == ("plan", {"agent": "critic@1"})
    under.locator("[data-row='0']").get_by_role("button", name="Remove", exact=True).last.click()
    canvas.edits(3)
    assert canvas.node("check")["workers"][1]["supervisor"]["workers"] == [{"agent": "judge@1"}, {"agent": "critic@1"}]


def test_an_added_row_waits_until_something_is_put_into_it(open_crew: Open) -> None:
    canvas = open_crew(LEAD)
    canvas.choose("check")
    form = canvas.page.locator("#inspector [data-step-form]")
    form.locator('[data-field="/workers"] > [data-rows] > [data-rows-do=add]').click()
    row = form.locator('[data-field="/workers"] > [data-rows] > ol > [data-row="2"]')
    row.locator("select").first.wait_for()
    form.locator('[name="title"]').fill("Lead them")
    canvas.edits(1)
    expect(row).to_have_count(1)
    row.locator("select").first.select_option("critic@1")
    canvas.edits(2)
    assert canvas.node("check")["workers"][2] == {"agent": "critic@1"}
    expect(row.locator("select").first).to_have_value("critic@1")


def test_a_supervisor_within_is_made_in_the_form(open_crew: Open) -> None:
    canvas = open_crew(LEAD)
    canvas.choose("check")
    form = canvas.page.locator("#inspector [data-step-form]")
    form.locator('[data-field="/workers"] > [data-rows] > [data-rows-do=add]').click()
    row = form.locator('[data-field="/workers"] > [data-rows] > ol > [data-row="2"]')
    row.get_by_text("Something else instead").first.click()
    made = row.locator('[data-field="/workers/__n0__/supervisor"], [data-field="/workers/2/supervisor"]')
    made.get_by_text("Supervisor", exact=True).first.click()
    made.locator(":scope > div > [data-field$='/supervisor/workers'] > [data-rows] > [data-rows-do=add]").click()
    made.locator("[data-field$='/supervisor/workers'] [data-row='0'] select").first.select_option("judge@1")
    made.locator("[data-field$='/supervisor/name'] input").fill("second")
    made.locator("[data-field$='/supervisor/agent'] select").select_option("critic@1")
    canvas.edits(1)
    assert canvas.node("check")["workers"][2] == {
        "supervisor": {"name": "second", "agent": "critic@1", "workers": [{"agent": "judge@1"}]}
    }


def test_a_whole_team_is_copied_moved_into_a_group_and_drawn_on_the_map(open_crew: Open) -> None:
    canvas = open_crew()
    canvas.choose("check")
    canvas.press("Control+c")
    canvas.press("Control+v")
    canvas.edits(1)
    assert canvas.node("check_2")["members"] == TEAM["members"]
    expect(canvas.box("check_2").locator(".mate")).to_have_count(3)
    x, y = canvas.middle("check_2")
    canvas.drag((x, y), canvas.middle("all"))
    canvas.edits(2)
    moved = next(name for name in canvas.node("all")["graph"]["nodes"] if name.startswith("check"))
    expect(canvas.box(f"all.{moved}").locator(".mate")).to_have_count(3)
    outer, inner = canvas.at("all"), canvas.at(f"all.{moved}")
    assert outer[0] < inner[0]
    assert inner[1] + inner[3] < outer[1] + outer[3]
    canvas.press("t")
    canvas.edits(3)


def test_two_people_on_one_team_the_second_is_told(open_crew: Open, open_canvas: Open, team: Team) -> None:
    canvas = open_crew()
    other = Canvas(open_canvas(team.dana, "/pipelines/talk/").page, "talk")
    mate(canvas, "members/2").click()
    canvas.press("Alt+ArrowUp")
    canvas.edits(1)
    mate(other, "members/0").click()
    other.press("Delete")
    expect(other.page.locator("#toasts .toast").last).to_contain_text("changed the step 'check' meanwhile")
    until(lambda: titles(other) == ["Writer", "Judge", "Critic"])
    assert canvas.node("check")["members"] == ["writer@1", "judge@1", "critic@1"]


def test_a_finger_moves_a_member(open_crew: Open) -> None:
    canvas = open_crew(has_touch=True)
    session = canvas.page.context.new_cdp_session(canvas.page)

    def touch(kind: str, *spots: Spot) -> None:
        points = [{"x": x, "y": y} for x, y in spots]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    (x, y), end = spot(mate(canvas, "members/0")), spot(mate(canvas, "members/2"))
    touch("touchStart", (x, y))
    for step in range(1, 6):
        touch("touchMove", (x, y + (end[1] - y) * step / 5))
    touch("touchEnd")
    canvas.edits(1)
    assert canvas.node("check")["members"] == ["critic@1", "judge@1", "writer@1"]


def test_the_list_names_every_member_and_its_keys_change_them(open_crew: Open) -> None:
    canvas = open_crew(path="/pipelines/talk/outline/")
    lines = canvas.page.locator('#outline [data-of="check"]')
    assert lines.locator("b").all_inner_texts() == ["1. Writer", "2. Critic", "3. Judge"]
    canvas.page.locator('#outline [data-step="check"]').focus()
    canvas.press("ArrowDown")
    canvas.press("ArrowDown")
    assert focused(canvas) == "members/1"
    canvas.press("Alt+ArrowUp")
    canvas.edits(1)
    assert canvas.node("check")["members"] == ["critic@1", "writer@1", "judge@1"]
    expect(lines.nth(0)).to_be_focused()
    canvas.press("a")
    canvas.edits(2)
    expect(lines).to_have_count(4)
    expect(lines.nth(1)).to_be_focused()
    canvas.press("Delete")
    canvas.edits(3)
    expect(lines).to_have_count(3)
    canvas.press("Enter")
    expect(canvas.page.locator("#inspector .at-member select")).to_be_focused()
    lines.nth(2).focus()
    canvas.press("ArrowDown")
    assert focused(canvas) is None
    assert canvas.page.evaluate("document.activeElement.dataset.step") == "all"


def test_who_may_only_look_chooses_members_and_changes_nothing(open_crew: Open, open_canvas: Open, team: Team) -> None:
    open_crew()
    canvas = Canvas(open_canvas(team.bob, "/pipelines/talk/").page, "talk")
    expect(canvas.box("check").get_by_role("button", name="Add to it")).to_be_hidden()
    mate(canvas, "members/0").click()
    canvas.press("Alt+ArrowDown")
    canvas.press("Delete")
    canvas.page.wait_for_timeout(200)
    assert titles(canvas) == ["Writer", "Critic", "Judge"]
    canvas.edits(0)
