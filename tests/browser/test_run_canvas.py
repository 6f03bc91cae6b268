"""A run's canvas in a real browser: the map, the search and the fingers of the editor, and cards that stay links."""

import re
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from playwright.sync_api import BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from orchestrator_site.build import build_assets
from tests.browser.canvas import Spot, until
from tests.pages.builders import World, a_world
from tests.people import signed_in_as

pytestmark = pytest.mark.browser
SMALL = {"width": 1000, "height": 640}
Open = Callable[..., Page]


@pytest.fixture(scope="session", autouse=True)
def _assets() -> None:
    build_assets()


@pytest.fixture
def world(transactional_db: None) -> World:
    return a_world()


@pytest.fixture
def open_run(live_server: LiveServer, world: World, new_context: Callable[..., BrowserContext]) -> Iterator[Open]:
    """Return a function that opens a waiting run in a window too small for all of its picture."""
    broken: list[str] = []

    def opened(**context: object) -> Page:
        browser = new_context(**{"viewport": SMALL, "reduced_motion": "reduce", **context})
        session = signed_in_as(world.team.alice).cookies[settings.SESSION_COOKIE_NAME].value
        browser.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
        page = browser.new_page()
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.goto(f"{live_server.url}/runs/{world.run.pk}/")
        page.locator("[data-stage].placed").wait_for(state="attached")
        page.locator("#asks .ask").first.wait_for()  # above the canvas: it takes room, and the picture is fitted again
        until(lambda: at(page) == [page.wait_for_timeout(150), at(page)][1])
        return page

    yield opened
    assert broken == []


def at(page: Page) -> list[float]:
    """Return where the picture stands, and its zoom."""
    where = "stage => { const m = new DOMMatrix(stage.style.transform); return [m.e, m.f, m.a]; }"
    found: list[float] = page.locator("[data-stage]").evaluate(where)
    return found


def middle(page: Page, selector: str, share: float = 0.5) -> Spot:
    """Return a spot of an element: half of its width, and that share of its height."""
    found = page.locator(selector).first.bounding_box()
    assert found
    return found["x"] + found["width"] / 2, found["y"] + share * found["height"]


def card(page: Page) -> Spot:
    """Return the middle of the card that waits, which the picture opens at."""
    return middle(page, '.slot:has(> [id="card-approve"])')


def touches(page: Page) -> Callable[..., None]:
    session = page.context.new_cdp_session(page)

    def send(kind: str, *points: Spot) -> None:
        spots = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": spots})

    return send


def test_the_map_in_the_corner_moves_the_picture(open_run: Open) -> None:
    page = open_run()
    expect(page.locator(".minimap")).to_be_visible()
    page.mouse.click(*middle(page, ".minimap", 0.1))
    top = at(page)
    page.mouse.click(*middle(page, ".minimap", 0.9))
    until(lambda: at(page)[1] < top[1] - 50)


def test_all_of_it_is_shown_and_then_the_map_goes(open_run: Open) -> None:
    page = open_run(viewport={"width": 1440, "height": 900})
    page.get_by_role("button", name="Show all").click()
    expect(page.locator(".minimap")).to_be_hidden()


def test_a_step_is_found_by_its_title_and_opened_with_the_keyboard(open_run: Open) -> None:
    page = open_run()
    title = page.locator('[id="card-research"] .node-a').inner_text()
    page.mouse.click(*middle(page, ".minimap", 0.95))
    page.keyboard.press("/")
    page.get_by_placeholder("Find on the canvas").fill(title)
    slot = page.locator('.slot:has(> [id="card-research"])')
    expect(slot).to_have_class(re.compile(r"\bfound\b"))
    expect(slot).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(page.locator(".cvfind")).to_be_hidden()
    expect(page.locator('[id="card-research"] .node-a')).to_be_focused()
    expect(page.locator(".found")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(page.locator("#drawer")).to_be_visible()


def test_a_drag_that_begins_on_a_card_moves_the_picture_and_a_click_opens_the_card(open_run: Open) -> None:
    page = open_run()
    before, (x, y) = at(page), card(page)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 40, y + 30, steps=4)
    page.mouse.move(x - 80, y + 60, steps=4)
    page.mouse.up()
    after = at(page)
    assert (round(after[0] - before[0]), round(after[1] - before[1])) == (-80, 60)
    page.wait_for_timeout(200)
    expect(page.locator("#drawer")).to_be_hidden()
    page.mouse.click(*card(page))
    expect(page.locator("#drawer")).to_be_visible()


def test_one_finger_moves_the_picture_two_zoom_and_a_tap_opens_a_step(open_run: Open) -> None:
    page = open_run(has_touch=True)
    send = touches(page)
    before, (x, y) = at(page), card(page)
    send("touchStart", (x, y))
    for step in range(1, 6):
        send("touchMove", (x, y + 12 * step))
    send("touchEnd")
    moved = at(page)
    assert moved[1] > before[1] + 40
    assert moved[2] == before[2]
    x, y = card(page)
    send("touchStart", (x - 20, y), (x + 20, y))
    for step in range(1, 6):
        send("touchMove", (x - 20 - 10 * step, y), (x + 20 + 10 * step, y))
    send("touchEnd")
    until(lambda: at(page)[2] > 1.2 * before[2])
    near = card(page)
    assert abs(near[0] - x) < 60, "what lies between the fingers stays there"
    expect(page.locator("#drawer")).to_be_hidden()
    page.touchscreen.tap(*card(page))
    expect(page.locator("#drawer")).to_be_visible()


def test_the_keyboard_brings_what_it_comes_to_into_sight(open_run: Open) -> None:
    page = open_run()
    page.mouse.click(*middle(page, ".minimap", 0.95))
    page.locator(".cv").focus()
    page.keyboard.press("Tab")
    focused = "() => document.activeElement.closest('[data-y]')?.firstElementChild.id"
    assert page.evaluate(focused)
    expect(page.locator(":focus")).to_be_in_viewport()
    assert page.locator(".cv").evaluate("canvas => [canvas.scrollLeft, canvas.scrollTop]") == [0, 0]
