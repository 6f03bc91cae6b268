"""More of what hands do on the canvas: the map in the corner, the palette, zones, shapes of ports, notes to undo."""

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import expect

from pipelines import drafts
from pipelines.models import DraftEdit
from tests.browser.canvas import Canvas, Open, Spot, a_canvas_document, until
from tests.browser.holding import hold, let_go
from tests.people import Team, acting, signed_in_as

pytestmark = pytest.mark.browser
SMALL = {"width": 1100, "height": 480}
Send = Callable[..., None]


def spot_in(canvas: Canvas, selector: str, x: float, y: float) -> Spot:
    """Return a spot of an element by shares of its width and height."""
    found = canvas.page.locator(selector).bounding_box()
    assert found
    return found["x"] + x * found["width"], found["y"] + y * found["height"]


def sight(canvas: Canvas) -> tuple[float, float]:
    found: list[float] = canvas.page.locator(".minimap .sight").evaluate(
        "one => [...new DOMMatrix(one.style.transform).toFloat32Array().slice(12, 14)]"
    )
    return found[0], found[1]


def fingers(canvas: Canvas) -> Send:
    touch = canvas.page.context.new_cdp_session(canvas.page)

    def send(kind: str, *points: Spot) -> None:
        spots = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": spots})

    return send


def slide(send: Send, start: Spot, end: Spot) -> None:
    send("touchStart", start)
    for step in range(1, 9):
        send("touchMove", tuple(a + (b - a) * step / 8 for a, b in zip(start, end, strict=True)))
    send("touchEnd")


def a_split_canvas(open_canvas: Open, team: Team) -> Canvas:
    """Return start >> left, right >> both (goes on when one of them failed) >> result."""
    document: dict[str, Any] = a_canvas_document("split")
    agent = document["graph"]["nodes"]["write"]
    document["graph"] = {
        "nodes": {
            "start": {"kind": "input"},
            "left": agent | {"title": "Left"},
            "right": agent | {"title": "Right"},
            "both": {"kind": "combine", "title": "Both", "merge": "object", "min_ok": 1, "on_failed_input": "tolerate"},
            "result": {"kind": "output", "value": "${steps.both.output}"},
        },
        "edges": [
            {"from": "start", "to": "left"},
            {"from": "start", "to": "right"},
            {"from": "left", "to": "both"},
            {"from": "right", "to": "both"},
            {"from": "both", "to": "result"},
        ],
    }
    drafts.create(acting(team.alice), document)
    return Canvas(open_canvas(path="/pipelines/split/").page, "split")


def test_the_map_in_the_corner_moves_the_view_and_follows_it(open_canvas: Open) -> None:
    canvas = open_canvas(viewport=SMALL)
    expect(canvas.page.locator(".minimap")).to_be_visible()
    before, seen = canvas.stage(), sight(canvas)
    canvas.page.mouse.click(*spot_in(canvas, ".minimap", 0.5, 0.9))
    until(lambda: canvas.stage() != before)
    until(lambda: sight(canvas)[1] > seen[1])
    low = sight(canvas)
    canvas.drag(spot_in(canvas, ".minimap", 0.5, 0.9), spot_in(canvas, ".minimap", 0.5, 0.1))
    until(lambda: sight(canvas)[1] < low[1] - 10)
    high = sight(canvas)
    x, y = canvas.ground()
    canvas.drag((x, y), (x, y - 80))
    until(lambda: sight(canvas)[1] > high[1])
    assert DraftEdit.objects.filter(pipeline__slug="desk").count() == 1
    assert canvas.chosen() == []


def test_steps_whose_failure_a_combine_leaves_out_are_shaded(open_canvas: Open, team: Team) -> None:
    canvas = a_split_canvas(open_canvas, team)
    area = canvas.page.locator(".safe-area")
    expect(area).to_have_count(1)
    words = canvas.page.locator(".safe-words")
    expect(words).to_contain_text("Safe zone")
    expect(canvas.box("left")).to_contain_text("may fail")
    frame, box = area.bounding_box(), canvas.box("left").bounding_box()
    assert frame
    assert box
    assert frame["x"] < box["x"]
    assert frame["y"] < box["y"]
    said = words.bounding_box()
    assert said
    # The names of the ways that lead in stand on the upper border.
    assert abs(said["y"] + said["height"] / 2 - frame["y"] - frame["height"]) < 2
    canvas.choose("both")
    canvas.page.locator("#inspector details").evaluate_all("all => all.forEach(one => { one.open = true })")
    canvas.page.locator('#inspector [name="f.on_failed_input"]').select_option("propagate")
    expect(area.or_(words)).to_have_count(0)
    expect(canvas.box("left")).not_to_contain_text("may fail")


def test_the_shape_of_a_port_says_what_comes_out(open_canvas: Open, team: Team) -> None:
    document = a_canvas_document("shaped")
    nodes = document["graph"]["nodes"]
    nodes["check"] = {
        "kind": "decide",
        "title": "Is it tea",
        "mode": "rules",
        "routes": [{"port": "tea", "when": "input.topic == 'tea'"}],
        "otherwise": "other",
    }
    nodes["result"]["value"] = "${steps.write.output}"
    document["graph"]["edges"][2:3] = [{"from": "check", "to": "all", "port": "tea"}]
    drafts.create(acting(team.alice), document)
    canvas = Canvas(open_canvas(path="/pipelines/shaped/").page, "shaped")

    def shape(place: str, port: str) -> tuple[str, str]:
        found = canvas.box(place).locator(f'[data-port="{port}"]')
        style = "one => { const s = getComputedStyle(one); return [s.borderRadius, s.rotate + s.transform] }"
        radius, turn = found.evaluate(style)
        return str(radius), str(turn)

    shapes = {place: shape(place, port) for place, port in (("write", "done"), ("check", "tea"), ("all", "done"))}
    assert len(set(shapes.values())) == 3
    assert shapes["write"][0] == "50%"


def test_the_button_tidies_what_was_moved(open_canvas: Open) -> None:
    canvas = open_canvas()
    before = canvas.at("write")
    x, y = canvas.middle("write")
    canvas.drag((x, y), (x + 120, y))
    canvas.edits(1)
    canvas.page.get_by_role("button", name="Tidy up").click()
    canvas.edits(2)
    assert canvas.at("write") == before


def test_a_box_that_is_grasped_again_stays_in_the_hand_when_the_first_answer_comes(open_canvas: Open) -> None:
    canvas = open_canvas()
    before = canvas.at("write")
    moves = hold(canvas.page, "**/change/")
    x, y = canvas.middle("write")
    canvas.drag((x, y), (x + 120, y))
    until(lambda: canvas.page.wait_for_timeout(10) is None and len(moves) == 1)
    dropped = canvas.at("write")
    assert dropped[0] > before[0]
    canvas.page.mouse.click(x + 120, y)
    assert canvas.at("write") == dropped
    canvas.page.mouse.down()
    canvas.page.mouse.move(x + 140, y, steps=2)
    canvas.page.mouse.move(x + 160, y, steps=2)
    until(lambda: canvas.at("write")[0] >= dropped[0] + 40)
    further = canvas.at("write")
    let_go(moves[0])
    canvas.edits(1)
    assert canvas.at("write") == further
    canvas.page.mouse.up()
    until(lambda: canvas.page.wait_for_timeout(10) is None and len(moves) == 2)
    let_go(moves[1])
    canvas.edits(2)
    until(lambda: canvas.at("write") == further)
    canvas.page.reload()
    until(lambda: canvas.at("write") == further)


def test_a_step_of_the_palette_is_dropped_into_a_container(open_canvas: Open) -> None:
    canvas = open_canvas()
    start = spot_in(canvas, '.preset[data-preset="transform"]', 0.3, 0.5)
    head = canvas.box("all").bounding_box()
    assert head
    canvas.drag(start, (head["x"] + 14, head["y"] + head["height"] - 12))
    canvas.edits(1)
    assert set(canvas.node("all")["graph"]["nodes"]) == {"dig", "sum", "transform"}
    until(lambda: canvas.chosen() == ["all.transform"])
    canvas.drag(start, (start[0], start[1] + 40))  # let go over the palette itself
    expect(canvas.page.locator(".carried")).to_have_count(0)
    assert DraftEdit.objects.filter(pipeline__slug="desk").count() == 2


def test_a_step_is_added_by_keys_after_one_was_dragged_from_the_palette(open_canvas: Open) -> None:
    canvas = open_canvas()
    head = canvas.box("all").bounding_box()
    assert head
    start = spot_in(canvas, '.preset[data-preset="transform"]', 0.3, 0.5)
    canvas.drag(start, (head["x"] + 14, head["y"] + head["height"] - 12))
    canvas.edits(1)
    canvas.choose("write")
    canvas.press("a")
    canvas.page.keyboard.type("reshape")
    canvas.press("Enter")
    canvas.edits(2)
    assert {"write:done:transform", "transform:done:check"} <= canvas.edges()
    canvas.page.mouse.click(*spot_in(canvas, '.preset[data-preset="transform"]', 0.3, 0.5))
    canvas.edits(3)


def test_a_finger_pans_draws_an_arrow_and_takes_a_step_from_the_palette(open_canvas: Open) -> None:
    canvas = open_canvas(has_touch=True)
    send = fingers(canvas)
    before, (x, y) = canvas.stage(), canvas.ground()
    slide(send, (x, y), (x - 40, y))
    until(lambda: canvas.stage() != before)
    slide(send, canvas.port("write"), canvas.middle("result"))
    canvas.edits(1)
    assert "write:done:result" in canvas.edges()
    (px, py) = canvas.port("start")
    slide(send, spot_in(canvas, '.preset[data-preset="transform"]', 0.3, 0.5), (px, py + 26))
    canvas.edits(2)
    assert {"start:done:transform", "transform:done:write"} <= canvas.edges()
    expect(canvas.page.locator(".carried")).to_have_count(0)


def test_an_arrow_that_is_taken_away_and_a_group_can_be_taken_back_in_a_note(open_canvas: Open) -> None:
    canvas = open_canvas()
    undo = canvas.page.locator("#toasts").get_by_role("button", name="Undo")
    canvas.page.mouse.click(*canvas.on_edge("check:done:all"))
    canvas.press("Delete")
    canvas.edits(1)
    undo.click()
    canvas.edits(2)
    assert "check:done:all" in canvas.edges()
    canvas.choose("check")
    canvas.press("o")
    canvas.press("Enter")
    canvas.edits(3)
    undo.click()
    canvas.edits(4)
    assert "check" in canvas.steps()
    canvas.drag(canvas.middle("check"), canvas.middle("all.sum"))
    canvas.edits(5)
    undo.click()
    canvas.edits(6)
    assert "check" in canvas.steps()


def test_errors_hold_back_publishing_until_they_are_mended(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.choose("check")
    prompt = canvas.prompt
    prompt.fill("Check ${steps.writ.output}.")
    canvas.edits(1)
    canvas.page.get_by_role("link", name="Publish").click()
    publish = canvas.page.get_by_role("button", name="Publish")
    expect(publish).to_be_disabled()
    expect(canvas.page.locator("main")).to_contain_text("writ")
    canvas.page.go_back()
    canvas.choose("check")
    prompt.fill("Check ${steps.write.output}.")
    canvas.edits(2)
    canvas.page.get_by_role("link", name="Publish").click()
    publish.focus()
    canvas.press("Enter")
    until(lambda: canvas.pipeline().published is not None)


@pytest.mark.parametrize("lost", ["session", "cookies"])
def test_changes_of_who_was_signed_out_are_kept_until_they_sign_in_again(
    open_canvas: Open, team: Team, lost: str
) -> None:
    canvas = open_canvas()
    canvas.choose("check")
    canvas.page.context.clear_cookies(**{"name": settings.SESSION_COOKIE_NAME} if lost == "session" else {})
    before, (x, y) = canvas.at("write"), canvas.middle("write")
    canvas.drag((x, y), (x + 120, y))
    expect(canvas.page.locator("#toasts")).to_contain_text("Sign in again in another tab. Your changes are kept")
    expect(canvas.page.locator("#draft-waits")).to_have_text("1 change waits for Baton")
    moved = canvas.at("write")
    assert moved[0] > before[0]
    session = signed_in_as(team.alice).cookies[settings.SESSION_COOKIE_NAME].value
    origin = canvas.page.url.partition("/pipelines/")[0]
    canvas.page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": origin}])
    canvas.edits(1)
    expect(canvas.page.locator("#toasts")).to_contain_text("Every change is saved")
    assert canvas.at("write") == moved


def test_a_slow_answer_shows_the_shape_of_what_comes(open_canvas: Open) -> None:
    canvas = open_canvas()
    held = hold(canvas.page, "**/step/**")
    canvas.page.mouse.click(*canvas.middle("write"))
    inspector = canvas.page.locator("#inspector")
    expect(inspector).to_have_attribute("aria-busy", "true")
    until(lambda: canvas.page.wait_for_timeout(10) is None and bool(held))
    held[0].continue_()
    expect(inspector).not_to_have_attribute("aria-busy", "true")
    expect(canvas.page.locator("#step-title")).to_have_value("Write a draft")
    canvas.page.unroute("**/step/**")
    asked = hold(canvas.page, "**/places**")
    canvas.press("Control+k")
    places = canvas.page.locator("[data-palette-list]")
    expect(places).to_have_attribute("aria-busy", "true")
    until(lambda: canvas.page.wait_for_timeout(10) is None and bool(asked))
    asked[0].continue_()
    expect(places.get_by_text("Runs").first).to_be_visible()


def test_the_form_is_that_of_the_step_chosen_last_however_slow_the_answers(open_canvas: Open) -> None:
    canvas = open_canvas()
    held = hold(canvas.page, "**/step/**")
    for number, step in enumerate(("start", "write", "check"), 1):
        canvas.page.mouse.click(*canvas.middle(step))
        until(lambda number=number: canvas.page.wait_for_timeout(20) is None and len(held) == number)
    for route in reversed(held):
        let_go(route)
    expect(canvas.page.locator("#step-title")).to_have_value("Check the draft")
    canvas.page.wait_for_timeout(200)
    expect(canvas.page.locator("#step-title")).to_have_value("Check the draft")


def test_a_second_finger_puts_back_the_box_that_the_first_one_dragged(open_canvas: Open) -> None:
    canvas = open_canvas(has_touch=True)
    send = fingers(canvas)
    before, zoom = canvas.at("write"), canvas.zoom()
    x, y = canvas.middle("write")
    send("touchStart", (x, y))
    send("touchMove", (x + 30, y))
    send("touchMove", (x + 40, y))
    until(lambda: canvas.at("write")[0] > before[0])
    send("touchStart", (x + 40, y), (x + 120, y))
    until(lambda: canvas.at("write") == before)
    for step in range(1, 6):
        send("touchMove", (x + 40 - 10 * step, y), (x + 120 + 10 * step, y))
    send("touchEnd")
    until(lambda: canvas.zoom() > zoom)
    canvas.page.wait_for_timeout(300)
    assert canvas.at("write") == before
    assert DraftEdit.objects.filter(pipeline__slug="desk").count() == 1
