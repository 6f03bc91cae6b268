"""The first run and the gallery in a real browser: questions to a published pipeline, double clicks, no script."""

import re
from collections.abc import Callable

import pytest
from django.conf import settings
from playwright.sync_api import BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from orchestrator_site.build import build_assets
from pipelines import drafts
from pipelines.models import Pipeline, PipelineVersion
from runs.models import Run
from tests.browser.holding import hold, let_go
from tests.people import Team, a_team, acting, signed_in_as

pytestmark = pytest.mark.browser

Open = Callable[..., Page]


@pytest.fixture(scope="session", autouse=True)
def _assets() -> None:
    build_assets()


@pytest.fixture
def team(transactional_db: None) -> Team:
    return a_team()


@pytest.fixture
def open_page(live_server: LiveServer, team: Team, new_context: Callable[..., BrowserContext]) -> Open:
    def opened(path: str, **context: object) -> Page:
        browser = new_context(**{"viewport": {"width": 1440, "height": 900}, **context})
        session = signed_in_as(team.alice).cookies[settings.SESSION_COOKIE_NAME].value
        browser.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
        page = browser.new_page()
        page.goto(f"{live_server.url}{path}")
        return page

    return opened


def test_what_is_proposed_fits_the_last_answers_however_slow_the_server(open_page: Open) -> None:
    page = open_page("/start/")
    held = hold(page, "**/start/?*")
    page.get_by_label("In your words").fill("Answer customers who complain")
    page.get_by_label("In your words").blur()
    page.get_by_role("checkbox", name="Mail").check()
    page.wait_for_timeout(600)  # whatever the form still wants to ask
    assert held
    for route in held:
        let_go(route)
    page.unroute("**/start/?*")
    expect(page.locator("#proposal h2").first).to_have_text("Support desk")


def test_three_questions_lead_from_an_empty_workspace_to_a_published_pipeline(open_page: Open, team: Team) -> None:
    page = open_page("/")
    page.get_by_role("link", name="Begin").click()
    page.get_by_label("In your words").fill("Answer customers who complain")
    page.get_by_role("checkbox", name="Mail").check()
    expect(page.locator("#proposal h2").first).to_have_text("Support desk")
    expect(page).to_have_url(re.compile("want=Answer.*leaves=mail"))
    page.get_by_role("button", name="Begin with this").click()
    page.wait_for_url("**/start/support-desk/")
    page.get_by_role("button", name="Try it").click()
    page.wait_for_url("**/runs/**")
    assert Run.objects.get().input["customer"] == "Sam Okafor"
    made = Pipeline.objects.get()
    drafts.save(acting(team.alice), made, {**made.draft.document, "description": "Ours."}, 1)
    page.goto(page.url.split("/runs/")[0] + "/start/support-desk/")
    expect(page.locator(".firsts .did")).to_have_count(1)
    page.get_by_role("button", name="Publish version 1").click()
    expect(page.get_by_text("Version 1 is what new runs use.")).to_be_visible()
    assert PipelineVersion.objects.filter(number=1).count() == 1


@pytest.mark.parametrize("button", ["Use the template", "Try"])
def test_a_double_click_makes_one(open_page: Open, button: str) -> None:
    page = open_page("/templates/")
    card = page.locator("#t-debate")
    card.get_by_role("button", name=button).dblclick()
    page.wait_for_url("**/pipelines/debate/" if button != "Try" else "**/runs/**")
    assert Pipeline.objects.count() == 1
    assert Run.objects.count() == (1 if button == "Try" else 0)


def test_a_form_sent_twice_without_the_script_that_holds_it_back_makes_one(open_page: Open) -> None:
    page = open_page("/templates/debate/")
    send = "form => fetch(form.action, {method: 'POST', body: new FormData(form), redirect: 'manual'})"
    form = page.locator("form[action$='/use/']")
    form.evaluate(f"form => Promise.all([1, 2].map(() => ({send})(form)))")
    assert Pipeline.objects.count() == 1


def test_the_search_narrows_while_typing_and_stands_in_the_address(open_page: Open) -> None:
    page = open_page("/templates/?goal=Research")
    expect(page.locator(".gal .tp")).to_have_count(7)
    page.get_by_label("Find a template").type("citation")
    expect(page.locator(".gal .tp")).to_have_count(1)
    expect(page.locator(".gal .tp h2")).to_have_text("Research lead")
    expect(page).to_have_url(re.compile("goal=Research.*find=citation"))


def test_the_gallery_and_the_questions_work_without_script(open_page: Open) -> None:
    page = open_page("/start/", java_script_enabled=False)
    page.get_by_label("Sell").check()
    page.get_by_role("button", name="Show me").click()
    expect(page.locator("#proposal h2").first).to_have_text("Prospect outreach")
    page.get_by_role("link", name="All templates").click()
    page.get_by_label("Find a template").fill("refund")
    page.get_by_label("Find a template").press("Enter")
    expect(page.locator(".gal .tp h2")).to_have_text(["Support desk"])
    page.get_by_role("button", name="Use the template Support desk").click()
    page.wait_for_url("**/pipelines/support-desk/")


def test_what_runs_have_cost_comes_to_the_cards(open_page: Open, team: Team) -> None:
    from tests.pages.builders import a_run_of

    page = open_page("/templates/")
    expect(page.locator("#price-debate")).to_contain_text("Stops at $1.00")
    page.locator("#t-debate").get_by_role("button", name="Try").click()
    page.wait_for_url("**/runs/**")
    a_run_of(Pipeline.objects.get(), team, state="succeeded", cost_micros=12_000)
    page.goto(page.url.split("/runs/")[0] + "/templates/")
    expect(page.locator("#price-debate")).to_contain_text("$0.012 in 1 run")
