"""A draft of many steps in a real browser: the picture stands first, the list beside it comes after."""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from accounts.models import User
from orchestrator_site.build import build_assets
from pipelines import drafts
from pipelines.models import Pipeline
from pipelines.views.editor import LARGE
from tests.people import a_team, acting, signed_in_as

pytestmark = pytest.mark.browser
Open = Callable[..., Page]
STEPS = LARGE + 10
ODD = """It's <b onclick="x">odd</b> & "more" &amp; 'all' &#39; of it"""


def a_long_document() -> dict[str, Any]:
    """Return start >> s1 >> s2 and so on."""
    names = ["start", *(f"s{index}" for index in range(1, STEPS))]
    steps = {
        name: {"kind": "transform", "title": f"Step {index}", "set": {"value": "1"}}
        for index, name in enumerate(names[1:], 1)
    }
    steps[names[-2]]["title"] = ODD
    return {
        "format": "baton.pipeline",
        "format_version": "1.0",
        "id": "long",
        "name": "Long",
        "graph": {
            "nodes": {"start": {"kind": "input"}, **steps},
            "edges": [{"from": one, "to": other} for one, other in pairwise(names)],
        },
    }


@pytest.fixture(scope="session", autouse=True)
def _assets() -> None:
    build_assets()


@pytest.fixture
def open_page(live_server: LiveServer, transactional_db: None, new_context: Callable[..., BrowserContext]) -> Open:
    alice = a_team().alice
    drafts.create(acting(alice), a_long_document())

    def opened(width: int = 1440, before: str = "") -> Page:
        browser = new_context(viewport={"width": width, "height": 900}, reduced_motion="reduce")
        session = signed_in_as(alice).cookies[settings.SESSION_COOKIE_NAME].value
        browser.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
        page = browser.new_page()
        page.add_init_script(before)
        page.goto(f"{live_server.url}/pipelines/long/")
        return page

    return opened


def test_every_box_stands_where_it_belongs_and_the_list_comes_when_the_page_rests(open_page: Open) -> None:
    page = open_page()

    expect(page.locator("#node-s1")).to_be_visible()
    assert page.locator(".box").count() == STEPS
    assert page.locator("[data-edge]").count() == STEPS - 1
    spots = page.locator(".box").evaluate_all("all => all.map(one => `${one.style.left} ${one.style.top}`)")
    assert len(set(spots)) == STEPS
    expect(page.locator("#outline [data-step]")).to_have_count(STEPS, timeout=20_000)


def test_on_a_phone_the_list_comes_at_once_with_one_stop_of_the_tab_key(open_page: Open) -> None:
    page = open_page(390)

    expect(page.locator('#outline [data-step="s1"]')).to_be_visible(timeout=20_000)
    expect(page.locator('#outline a[tabindex="0"]')).to_have_count(1)


def test_a_step_out_of_sight_is_found_before_the_list_has_come(open_page: Open) -> None:
    page = open_page()
    page.route("**/outline/", lambda route: route.abort())
    expect(page.locator("#node-s1")).to_be_visible()

    page.keyboard.press("Control+k")
    page.keyboard.type(f"Step {STEPS - 1}")
    page.locator("dialog[open]").get_by_text(f"Step {STEPS - 1}", exact=True).click()

    expect(page.locator(f"#node-s{STEPS - 1}")).to_be_in_viewport()
    expect(page.locator(f"#node-s{STEPS - 1} b")).to_be_visible()


def test_what_stands_in_boxes_out_of_sight_comes_when_the_browser_rests(open_page: Open) -> None:
    page = open_page()
    expect(page.locator(".box[data-inner]")).to_have_count(0)
    assert page.locator(".box .port").count() == STEPS
    assert page.locator(f"#node-s{STEPS - 2} b").text_content() == ODD
    assert page.locator(f"#node-s{STEPS - 2} b").get_attribute("title") == ODD
    assert page.locator(".box b b, .box [onclick]").count() == 0


def test_a_box_whose_words_change_before_it_was_looked_at_says_the_new_ones(open_page: Open) -> None:
    page = open_page(before="window.requestIdleCallback = () => {}")
    last = page.locator(f"#node-s{STEPS - 1}")
    expect(last).to_have_attribute("data-inner", re.compile("Step"))
    pipeline = Pipeline.objects.get(slug="long")
    document = pipeline.draft.document
    document["graph"]["nodes"][f"s{STEPS - 1}"]["title"] = "Quite another"
    page.locator("#node-s1").click(position={"x": 40, "y": 20})
    drafts.save(acting(User.objects.get(email="alice@example.com")), pipeline, document, pipeline.draft.revision)
    with page.expect_response("**/change/"):
        page.keyboard.press("ArrowRight")
    expect(last.locator("b")).to_have_text("Quite another")


def test_boxes_that_moved_do_not_ask_for_the_list_again(open_page: Open) -> None:
    page = open_page()
    expect(page.locator("#outline [data-step]")).to_have_count(STEPS, timeout=20_000)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/outline/" in request.url else None)

    page.locator("#node-s1").click(position={"x": 40, "y": 20})
    with page.expect_response("**/change/"):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(2500)
    assert asked == []

    with page.expect_request("**/outline/"):
        page.keyboard.press("Delete")
