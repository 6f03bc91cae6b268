"""The canvas of the editor in a real browser: every gesture by pointer and by key; nothing that was done is lost."""

import pytest
from playwright.sync_api import expect

from orchestrator_site.build import MODULES
from pipelines import publish
from pipelines.models import DraftEdit
from tests.browser.canvas import Canvas, Open, until
from tests.pages.builders import a_run_of, a_step
from tests.people import Team, acting

pytestmark = pytest.mark.browser

AXE = MODULES / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def test_the_picture_is_panned_zoomed_and_fitted(open_canvas: Open) -> None:
    canvas = open_canvas()
    before, zoom = canvas.stage(), canvas.zoom()
    x, y = canvas.ground()
    canvas.drag((x, y), (x - 90, y - 40))
    panned = canvas.stage()
    assert panned != before
    canvas.page.mouse.wheel(0, 120)
    until(lambda: canvas.stage() != panned)
    canvas.page.keyboard.down("Control")
    canvas.page.mouse.wheel(0, -200)
    canvas.page.keyboard.up("Control")
    until(lambda: canvas.zoom() > zoom)
    canvas.page.get_by_role("button", name="Smaller").click()
    canvas.page.get_by_role("button", name="Show all").click()
    until(lambda: canvas.zoom() == zoom)
    canvas.choose("write")
    canvas.press("+")
    until(lambda: canvas.zoom() > zoom)
    canvas.press("0")
    until(lambda: canvas.zoom() == zoom)


def test_steps_are_chosen_one_by_one_and_by_a_frame(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("write")
    expect(canvas.page.locator("#inspector")).to_contain_text("Write a draft")
    canvas.page.keyboard.down("Shift")
    canvas.page.mouse.click(*canvas.middle("check"))
    canvas.page.keyboard.up("Shift")
    assert canvas.chosen() == ["check", "write"]
    left, top = canvas.middle("start")
    low = canvas.middle("check")[1]
    canvas.drag((left - 160, top - 10), (left + 160, low), keys="Shift")
    assert canvas.chosen() == ["check", "start", "write"]
    canvas.page.mouse.click(*canvas.ground())
    assert canvas.chosen() == []


def test_arrow_keys_with_alt_walk_along_the_arrows(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("start")
    for place in ("write", "check", "all"):
        canvas.press("Alt+ArrowDown")
        until(lambda place=place: canvas.chosen() == [place])
    canvas.press("Alt+ArrowUp")
    assert canvas.chosen() == ["check"]
    canvas.press("Control+a")
    assert len(canvas.chosen()) == 7
    canvas.press("Escape")
    assert canvas.chosen() == []


def test_a_dragged_box_stands_on_the_grid_and_comes_back_by_undo_even_after_a_reload(open_canvas: Open) -> None:
    canvas = open_canvas()
    before = canvas.at("write")
    x, y = canvas.middle("write")
    canvas.drag((x, y), (x + 123, y + 17))
    canvas.edits(1)
    after = canvas.at("write")
    assert ((after[0] - before[0]) % 10, (after[1] - before[1]) % 10) == (0, 0)
    assert after[0] > before[0]
    canvas.page.reload()
    assert canvas.at("write") == after
    canvas.page.get_by_role("button", name="Undo").click()
    canvas.edits(2)
    assert canvas.at("write") == before
    canvas.page.get_by_role("button", name="Redo").click()
    canvas.edits(3)
    assert canvas.at("write") == after
    canvas.choose("write")
    canvas.press("t")
    canvas.edits(4)
    assert canvas.at("write") == before


def test_a_box_is_moved_by_keys_and_a_drag_is_broken_off_by_escape(open_canvas: Open) -> None:
    canvas = open_canvas()
    before = canvas.at("write")
    canvas.choose("write")
    canvas.press_in_one_breath("ArrowRight", "Shift+ArrowRight")
    canvas.edits(1)
    assert canvas.at("write")[0] == before[0] + 60
    x, y = canvas.middle("check")
    stood = canvas.at("check")
    canvas.page.mouse.move(x, y)
    canvas.page.mouse.down()
    canvas.page.mouse.move(x + 80, y, steps=3)
    canvas.press("Escape")
    canvas.page.mouse.up()
    assert canvas.at("check") == stood
    assert DraftEdit.objects.filter(pipeline__slug="desk").count() == 2


def test_a_container_grows_with_what_is_dragged_inside_it(open_canvas: Open) -> None:
    canvas = open_canvas()
    x, y = canvas.middle("all.sum")
    width = canvas.at("all")[2]
    canvas.drag((x - 60, y), (x + 20, y))
    canvas.edits(1)
    assert canvas.at("all")[2] > width
    assert "all.sum" in canvas.draft.document["ui"]["positions"]


def test_a_step_dropped_into_a_container_moves_there_and_out_again(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.drag(canvas.middle("check"), canvas.middle("all.sum"))
    canvas.edits(1)
    assert "check" in canvas.node("all")["graph"]["nodes"]
    assert "write:done:all" in canvas.edges()
    until(lambda: canvas.chosen() == ["all.check"])
    canvas.drag(canvas.middle("all.check"), canvas.ground())
    canvas.edits(2)
    until(lambda: canvas.chosen() == ["check"])
    canvas.press("Control+z")
    canvas.edits(3)
    assert "check" in canvas.node("all")["graph"]["nodes"]


def test_chosen_steps_are_grouped_by_the_menu_and_by_its_key(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("write")
    canvas.page.keyboard.down("Shift")
    canvas.page.mouse.click(*canvas.middle("check"))
    canvas.page.keyboard.up("Shift")
    canvas.page.locator(".cvbar [data-group-menu] summary").click()
    canvas.page.get_by_role("button", name="Into a Repeat").click()
    canvas.edits(1)
    assert set(canvas.node("repeat")["graph"]["nodes"]) == {"write", "check"}
    until(lambda: canvas.chosen() == ["repeat"])
    expect(canvas.page.locator(".elab.again")).to_have_text("again")
    canvas.press("Control+z")
    canvas.edits(2)
    canvas.page.locator('[id="node-check"]').focus()
    canvas.choose("check")
    canvas.press("o")
    canvas.press("Enter")
    canvas.edits(3)
    assert set(canvas.node("each")["graph"]["nodes"]) == {"check"}


def test_an_arrow_is_drawn_from_a_port_and_a_wrong_one_is_refused_and_gone(open_canvas: Open) -> None:
    canvas = open_canvas()
    before = canvas.edges()
    canvas.drag(canvas.port("write"), canvas.middle("result"))
    canvas.edits(1)
    assert canvas.edges() - before == {"write:done:result"}
    canvas.drag(canvas.port("check"), canvas.middle("write"))  # a circle
    expect(canvas.page.locator("#announce")).to_contain_text("wait for each other: check → write → check")
    assert canvas.edges() - before == {"write:done:result"}
    canvas.drag(canvas.port("check"), canvas.middle("all.dig"))
    assert canvas.edges() - before == {"write:done:result"}
    assert DraftEdit.objects.filter(pipeline__slug="desk").count() == 2


def test_steps_are_joined_by_the_key_c(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("write")
    canvas.press("c")
    canvas.choose("all")
    canvas.press("c")
    canvas.edits(1)
    assert "write:done:all" in canvas.edges()


def test_a_removed_step_leaves_a_way_and_comes_back(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("check")
    canvas.press("Delete")
    canvas.edits(1)
    assert "write:done:all" in canvas.edges()
    canvas.page.locator('[id="node-write"]').focus()
    canvas.press("Control+z")
    canvas.edits(2)
    assert {"write:done:check", "check:done:all"} <= canvas.edges()
    canvas.page.mouse.click(*canvas.on_edge("check:done:all"))
    canvas.press("Delete")
    canvas.edits(3)
    assert "check:done:all" not in canvas.edges()
    assert {"from": "check", "to": "all"} not in canvas.draft.document["graph"]["edges"]


def test_steps_are_copied_into_another_pipeline_and_duplicated(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("write")
    canvas.page.keyboard.down("Shift")
    canvas.page.mouse.click(*canvas.middle("check"))
    canvas.page.keyboard.up("Shift")
    canvas.press("Control+c")
    canvas.press("Control+d")
    canvas.edits(1)
    assert canvas.steps() >= {"write_2", "check_2"}
    until(lambda: canvas.chosen() == ["check_2", "write_2"])
    canvas.page.goto(canvas.page.url.partition("/pipelines/")[0] + "/pipelines/other/")
    other = Canvas(canvas.page, "other")
    other.choose("all")
    other.press("Control+v")
    other.edits(1)
    assert set(other.node("all")["graph"]["nodes"]) == {"dig", "sum", "write", "check"}


def test_a_step_is_added_by_a_press_by_keys_and_by_an_arrow_dropped_on_the_ground(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("write")
    canvas.page.locator('.preset[data-preset="check"]').click()
    canvas.edits(1)
    assert {"write:done:check_2", "check_2:done:check"} <= canvas.edges()
    canvas.choose("check")
    canvas.press("a")
    canvas.page.keyboard.type("reshape")
    canvas.press("Enter")
    canvas.edits(2)
    assert {"check:done:transform", "transform:done:all"} <= canvas.edges()
    assert "check:done:all" not in canvas.edges()
    canvas.drag(canvas.port("write"), canvas.ground())
    expect(canvas.page.locator("#step-palette")).to_have_class("steps asked")
    canvas.page.keyboard.type("action")
    canvas.press("Enter")
    canvas.edits(3)
    assert "write:done:action" in canvas.edges()


def test_a_step_is_dragged_from_the_palette_onto_an_arrow_and_onto_the_ground(open_canvas: Open) -> None:
    canvas = open_canvas()
    (x, y), top = canvas.port("write"), canvas.page.locator('.preset[data-preset="transform"]').bounding_box()
    assert top
    canvas.drag((top["x"] + 20, top["y"] + 10), (x, y + 26))
    canvas.edits(1)
    assert {"write:done:transform", "transform:done:check"} <= canvas.edges()
    canvas.drag((top["x"] + 20, top["y"] + 10), canvas.ground())
    canvas.edits(2)
    assert "transform_2" in canvas.steps()


def test_a_step_is_found_by_its_title(open_canvas: Open) -> None:
    canvas = open_canvas(viewport={"width": 1280, "height": 420})
    canvas.choose("start")
    canvas.press("/")
    canvas.page.keyboard.type("sum")
    expect(canvas.page.locator(".cv [data-found]")).to_have_text("1 of 1")
    expect(canvas.box("all.sum")).to_be_in_viewport()
    canvas.press("Escape")
    until(lambda: canvas.chosen() == ["all.sum"])
    canvas.press("/")
    canvas.page.keyboard.type("the nothing that is not there")
    expect(canvas.page.locator(".cv [data-found]")).to_have_text("None")
    assert DraftEdit.objects.filter(pipeline__slug="desk").count() == 1


def test_a_problem_leads_to_its_field_and_offers_its_fix(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("check")
    field = canvas.prompt
    field.fill("Check ${steps.writ.output}.")
    canvas.edits(1)
    problem = canvas.page.locator("#problems .problem").filter(has_text="writ").first
    canvas.page.mouse.click(*canvas.ground())
    problem.click()
    expect(field).to_be_focused()
    optional = canvas.page.locator("#problems li").filter(has_text="'topic'")
    optional.get_by_role("button", name="Use nothing where it is missing").click()
    canvas.edits(2)
    assert "default" in canvas.node("write")["prompt"]


def test_only_the_value_that_is_wrong_is_marked(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("check")
    canvas.prompt.fill("Check ${steps.write.output} against ${steps.writ.output} on ${input.topic}.")
    canvas.edits(1)
    expect(canvas.pills).to_have_count(3)
    expect(canvas.pills.and_(canvas.page.locator(".bad"))).to_have_count(1)
    expect(canvas.pills.nth(1)).to_have_class("bad")
    expect(canvas.pills.nth(1)).to_contain_text("writ")


def test_a_field_is_saved_while_it_is_edited_and_shown_on_the_card(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("write")
    canvas.page.locator("#inspector").get_by_label("Title").fill("Write the first draft")
    canvas.edits(1)
    expect(canvas.box("write")).to_contain_text("Write the first draft")
    canvas.page.locator("#inspector").get_by_label("Title").fill("Gone with the page")
    canvas.page.reload()
    canvas.edits(2)
    assert canvas.node("write")["title"] == "Gone with the page"


def test_a_refused_field_says_so_at_the_field(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("write")
    canvas.page.get_by_text("All settings").click()
    canvas.page.locator('#inspector [name="f.timeout"]').fill("soon")
    expect(canvas.page.locator("#inspector [data-complaint]")).to_be_visible()
    assert "timeout" not in canvas.node("write")


def test_a_finger_drags_a_box_and_two_zoom(open_canvas: Open) -> None:
    canvas = open_canvas(has_touch=True)
    touch = canvas.page.context.new_cdp_session(canvas.page)

    def send(kind: str, *points: tuple[float, float]) -> None:
        spots = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": spots})

    before = canvas.at("write")
    x, y = canvas.middle("write")
    send("touchStart", (x, y))
    for step in range(1, 6):
        send("touchMove", (x + 20 * step, y))
    send("touchEnd")
    canvas.edits(1)
    assert canvas.at("write")[0] > before[0] + 50
    zoom = canvas.zoom()
    x, y = canvas.ground()
    send("touchStart", (x - 20, y), (x - 60, y))
    for step in range(1, 6):
        send("touchMove", (x - 20 + 4 * step, y), (x - 60 - 20 * step, y))
    send("touchEnd")
    until(lambda: canvas.zoom() > zoom)


def test_two_people_lose_nothing_of_each_others_changes(open_canvas: Open, team: Team) -> None:
    alice, dana = open_canvas(), open_canvas(team.dana)
    alice.choose("write")
    alice.page.locator("#inspector").get_by_label("Title").fill("By Alice")
    alice.edits(1)
    dana.choose("check")
    dana.page.locator("#inspector").get_by_label("Title").fill("By Dana")
    dana.edits(2)
    expect(dana.box("write")).to_contain_text("By Alice")
    assert (dana.node("write")["title"], dana.node("check")["title"]) == ("By Alice", "By Dana")
    alice.choose("check")  # her form comes with what Dana wrote
    alice.prompt.fill("Mine")
    alice.edits(3)
    expect(alice.box("check")).to_contain_text("By Dana")
    assert (alice.node("check")["title"], alice.node("check")["prompt"]) == ("By Dana", "Mine")
    assert DraftEdit.objects.filter(pipeline__slug="desk").count() == 4


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_a_step_open_on_the_canvas_breaks_no_rule_of_accessibility(open_canvas: Open, theme: str, width: int) -> None:
    look = {"viewport": {"width": width, "height": 844}, "color_scheme": theme, "bypass_csp": True}
    page = open_canvas(path="/pipelines/desk/?node=write", **look).page
    page.add_script_tag(path=str(AXE))
    answer = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
    assert [f"{one['id']} {one['nodes'][0]['html'][:120]}" for one in answer["violations"]] == []
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")


def test_cards_and_the_bar_say_what_earlier_runs_cost(open_canvas: Open, team: Team) -> None:
    pipeline = acting(team.alice).workspace.pipeline_set.get(slug="desk")
    version = publish.freeze_draft(acting(team.alice), pipeline)
    for micros in (2_000, 6_000):
        run = a_run_of(pipeline, team, version=version, state="succeeded", cost_micros=2 * micros)
        a_step(run, "write", "agent", state="succeeded", cost_micros=micros)
        a_step(run, "all[0].dig", "agent", state="succeeded", cost_micros=micros)
    canvas = open_canvas()
    expect(canvas.box("write").locator(".expected")).to_have_text("$0.002 – $0.006")
    expect(canvas.box("all").locator(".group-h .expected")).to_have_text("$0.002 – $0.006")
    expect(canvas.box("check").locator(".expected")).to_have_count(0)
    expect(canvas.page.locator("#run-cost")).to_have_text("$0.004 – $0.012 a run")
    canvas.choose("write")
    canvas.page.locator("#inspector").get_by_label("Title").fill("Another title")
    canvas.edits(1)
    expect(canvas.box("write").locator(".expected")).to_have_text("$0.002 – $0.006")
    outline = open_canvas(path="/pipelines/desk/outline/").page
    expect(outline.locator('#outline [data-step="write"] .expected')).to_have_text("$0.002 – $0.006")
