"""A phone leads everywhere: the bar below has five places, and the others are behind More."""

import pytest
from playwright.sync_api import expect

from tests.browser.canvas import Open
from tests.browser.desk import PHONE, OpenPage
from tests.browser.test_axe_states import THEMES, Audit
from tests.pages.builders import World

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
ADDRESSES = "all => all.map(one => one.getAttribute('href'))"


def test_every_place_of_the_menu_is_within_reach_on_a_phone(open_page: OpenPage, world: World) -> None:
    page = open_page("/", world.team.dana, viewport=PHONE)
    everywhere = set(page.locator(".side .nav a").evaluate_all(ADDRESSES))
    page.locator(".tabbar summary").click()
    near = set(page.locator(".tabbar a:visible, .bell:visible").evaluate_all(ADDRESSES))
    assert everywhere == near
    page.locator(".tabbar").get_by_text("Templates").click()
    expect(page).to_have_url(f"{page.url.split('/templates')[0]}/templates/")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("theme", THEMES)
def test_the_places_of_a_phone_break_no_rule_and_fit_a_thumb(open_page: OpenPage, world: World, theme: str) -> None:
    page = open_page("/agents/", world.team.alice, viewport=PHONE, color_scheme=theme, bypass_csp=True)
    audit = Audit(page)
    page.locator(".tabbar summary").click()
    audit.look("the other places")
    heights = page.locator(".tabbar :is(a, summary)").evaluate_all("all => all.map(one => one.clientHeight)")
    assert audit.found == []
    assert min(heights) >= 44


def test_a_draft_is_published_from_a_phone(open_canvas: Open) -> None:
    page = open_canvas(path="/pipelines/desk/outline/", viewport=PHONE).page
    page.get_by_role("link", name="Publish…").click()
    expect(page.get_by_role("button", name="Publish version 1")).to_be_visible()
