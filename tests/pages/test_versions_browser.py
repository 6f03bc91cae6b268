"""Publish, compare and roll back in a real browser, by keyboard alone; and their pages when there is much to show."""

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from orchestrator_site.build import build_assets
from pipelines import drafts, publish, splits
from pipelines.models import Draft, Pipeline
from tests.pages.builders import a_run_of
from tests.pages.test_browser import AXE, PHONE, RULES, WIDE
from tests.people import Team, a_team, acting, signed_in_as
from tests.pipelines.builders import a_document, a_published_pipeline, prompting

pytestmark = pytest.mark.browser
Open = Callable[..., Page]


@pytest.fixture(scope="session", autouse=True)
def _assets() -> None:
    build_assets()


@pytest.fixture
def team(transactional_db: None) -> Team:
    return a_team()


@pytest.fixture
def pipeline(team: Team) -> Pipeline:
    """Two versions that share new runs, each with runs, and a draft with a new step, a changed one and an error."""
    alice = acting(team.alice)
    pipeline = a_published_pipeline(alice)
    save(team, pipeline, prompting(a_document(), "Second ${input.topic | default('it')}"))
    publish.publish(alice, pipeline, "A second try")
    pipeline = Pipeline.objects.select_related("published").get(pk=pipeline.pk)
    splits.put(alice, pipeline, [(1, 30), (2, 70)])
    for number in (1, 2):
        version = pipeline.versions.get(number=number)
        for step in range(8):
            a_run_of(pipeline, team, version=version, state="succeeded", cost_micros=300_000 // number + step * 1_000)
    save(team, pipeline, prompting(a_document(), "Third ${input.topic | default('it')}"))
    return pipeline


def save(team: Team, pipeline: Pipeline, document: dict[str, Any]) -> None:
    drafts.save(acting(team.alice), pipeline, document, Draft.objects.get(pipeline=pipeline).revision)


def broken() -> dict[str, Any]:
    document = prompting(a_document(), "Third ${steps.nobody.output}")
    document["graph"]["nodes"]["check"] = {"kind": "human", "title": "A second pair of eyes", "mode": "approve"}
    document["graph"]["edges"].append({"from": "write", "to": "check"})
    return document


@pytest.fixture
def open_page(live_server: LiveServer, team: Team, new_context: Callable[..., BrowserContext]) -> Open:
    def opened(path: str, **context: object) -> Page:
        browser = new_context(**{"viewport": WIDE, **context})
        session = signed_in_as(team.alice).cookies[settings.SESSION_COOKIE_NAME].value
        browser.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
        page = browser.new_page()
        page.goto(f"{live_server.url}/pipelines/brief/{path}")
        return page

    return opened


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
def test_pages_with_much_to_show_break_no_rule_and_do_not_scroll_sideways(
    open_page: Open, live_server: LiveServer, team: Team, pipeline: Pipeline, theme: str, viewport: dict[str, int]
) -> None:
    page = open_page("versions/", viewport=viewport, color_scheme=theme, bypass_csp=True)
    found: list[str] = []
    for path, loaded in (
        ("publish/", "#compared-runs"),
        ("versions/", "#cost-2 span[title]"),
        ("compare/?from=1&to=2", "#compared-runs .better"),
        ("errors", "#problems"),
    ):
        if path == "errors":
            save(team, pipeline, broken())
        page.goto(f"{live_server.url}/pipelines/brief/{path if path != 'errors' else 'publish/'}")
        page.wait_for_selector(loaded, state="attached")
        page.add_script_tag(path=str(AXE))
        answer = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
        found += [f"{path}: {one['id']} {one['nodes'][0]['html'][:120]}" for one in answer["violations"]]
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append(f"{path}: scrolls sideways")
    assert found == []


def press_until_focused(page: Page, target: str) -> None:
    """Press Tab until an element has the focus, as somebody without a mouse does."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.locator(target).first.evaluate("one => one === document.activeElement"):
            return
    pytest.fail(f"Tab never reaches {target}")


def test_publish_compare_and_roll_back_by_keyboard_alone(open_page: Open, pipeline: Pipeline) -> None:
    page = open_page("publish/")
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text) if "Content Security" in message.text else None)
    press_until_focused(page, "#f-note")
    page.keyboard.type("Third time lucky.")
    press_until_focused(page, "form button.wide")
    page.keyboard.press("Enter")
    page.wait_for_url("**/versions/")
    expect(page.get_by_text("Version 3 is published.")).to_be_visible()
    expect(page.locator("tr.live")).to_contain_text("Third time lucky.")
    press_until_focused(page, "input[name=from][value='3']")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator("input[name=from][value='1']")).to_be_checked()
    page.locator("input[name=to][value=draft]").focus()
    page.keyboard.press("Enter")  # a radio's form is sent from where it stands
    page.wait_for_url("**/compare/?to=draft&from=1")
    expect(page.locator("h1")).to_have_text("Compare v1 with the draft")
    page.keyboard.press("Escape")
    page.wait_for_url("**/versions/")
    press_until_focused(page, "button[aria-label='Roll back to version 2']")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("New runs use what version 2 says")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Version 2 runs again, as version 4.")).to_be_visible()
    expect(page.locator("tr.live")).to_contain_text("Back to version 2")
    assert refused == []


def test_a_refusal_is_shown_in_place_and_keeps_the_note(open_page: Open, team: Team, pipeline: Pipeline) -> None:
    page = open_page("publish/")
    page.locator("#f-note").fill("What I have read")
    save(team, pipeline, prompting(a_document(), "Meanwhile ${input.topic | default('it')}"))
    page.get_by_role("button", name="Publish version 3").click()
    expect(page.get_by_role("alert")).to_contain_text("Somebody changed this pipeline while you read")
    expect(page.locator("#f-note")).to_have_value("What I have read")
    expect(page.locator(".told ins").first).to_have_text("Meanwhile")
    page.get_by_role("button", name="Publish version 3").click()
    page.wait_for_url("**/versions/")


def test_all_of_it_works_without_script(open_page: Open, pipeline: Pipeline) -> None:
    page = open_page("publish/", java_script_enabled=False)
    page.locator("#f-note").fill("Without script")
    page.locator("form button.wide").click()
    expect(page.locator("tr.live")).to_contain_text("Without script")
    page.get_by_role("button", name="Roll back to version 1").click()
    expect(page.locator("tr.live")).to_contain_text("Back to version 1")
