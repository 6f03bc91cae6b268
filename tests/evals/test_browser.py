"""The pages of evaluations in a real browser: no accessibility finding, no sideways scroll, and forms that work."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from playwright.sync_api import BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from evals import cases, datasets, gates
from evals.gates import Demand
from evals.models import Evaluation
from orchestrator_site.build import build_assets
from runs.models import Run
from tests.evals.builders import a_case
from tests.evals.shown import two_evaluations
from tests.pages.test_browser import AXE, PHONE, RULES, WIDE
from tests.people import Team, acting, signed_in_as

pytestmark = pytest.mark.browser

Open = Callable[..., Page]


@pytest.fixture(scope="session", autouse=True)
def _assets() -> None:
    build_assets()


@pytest.fixture
def shown(team: Team) -> Evaluation:
    evaluation = two_evaluations(team)
    gates.put(acting(team.dana), "echo", Demand("greetings", 0.9, judge="demo/judge"))
    datasets.add_version(acting(team.dana), "greetings", cases.read([a_case("one", "Hi", expected_output="Hi")]))
    Run.objects.filter(pk=evaluation.results.earliest("id").run_id).update(state="succeeded", output="Sorry.")
    return evaluation


@pytest.fixture
def page_of(live_server: LiveServer, team: Team, new_context: Callable[..., BrowserContext]) -> Open:
    def opened(**context: object) -> Page:
        browser = new_context(**{"viewport": WIDE, **context})
        session = signed_in_as(team.dana).cookies[settings.SESSION_COOKIE_NAME].value
        browser.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
        return browser.new_page()

    return opened


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
def test_no_page_breaks_a_rule_of_accessibility_or_scrolls_sideways(
    live_server: LiveServer, page_of: Open, shown: Evaluation, theme: str, viewport: dict[str, int]
) -> None:
    page = page_of(viewport=viewport, color_scheme=theme, bypass_csp=True, reduced_motion="reduce")
    run = shown.results.earliest("id").run_id
    places = ("/evaluations/", f"/evaluations/{shown.pk}/", "/evaluations/+new/", "/datasets/greetings/",
              "/datasets/+new/", f"/runs/{run}/case/", "/pipelines/echo/gate/", "/pipelines/echo/publish/",
              f"/runs/{run}/rate/?evaluation={shown.pk}")  # fmt: skip
    found: list[str] = []
    for number, place in enumerate(places):
        page.goto(live_server.url + place)
        page.add_script_tag(path=str(AXE))
        answer = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
        found += [f"{place}: {one['id']} {one['nodes'][0]['html'][:120]}" for one in answer["violations"]]
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append(f"{place}: scrolls sideways")
        if folder := os.environ.get("SHOTS"):
            page.screenshot(path=Path(folder) / f"{number}-{theme}-{viewport['width']}.png", full_page=True)
    assert found == []


def test_a_pipeline_is_evaluated_from_the_page(live_server: LiveServer, page_of: Open, shown: Evaluation) -> None:
    page = page_of()
    page.goto(f"{live_server.url}/evaluations/+new/?dataset=greetings")
    page.get_by_label("Pipeline").select_option("echo")
    page.get_by_label("Answers to each case").fill("1")
    page.get_by_label("Answers that pass, at least").fill("120")
    page.get_by_role("button", name="Evaluate").click()
    expect(page.get_by_role("alert")).to_contain_text("between 0 and 1")
    page.get_by_label("Answers that pass, at least").fill("80 %")
    page.get_by_role("button", name="Evaluate").click()
    expect(page.locator("main")).to_contain_text("0 of 1 answers are through")
    made = Evaluation.objects.latest("created_at")
    assert (made.repeats, made.gate, made.dataset.number) == (1, {"min_pass_rate": 0.8}, 2)


def test_answers_are_rated_one_after_the_other(live_server: LiveServer, page_of: Open, shown: Evaluation) -> None:
    page = page_of(viewport=PHONE)
    page.goto(f"{live_server.url}/evaluations/{shown.pk}/")
    page.get_by_role("link", name="Rate").click()
    first = page.url
    page.get_by_role("button", name="Keep and go on").click()
    expect(page.get_by_role("alert")).to_contain_text("Say whether the answer passes")
    page.get_by_label("No", exact=True).check()
    page.get_by_label("Why").fill("It promises too much.")
    page.get_by_role("button", name="Keep and go on").click()
    expect(page.get_by_role("heading", name="Your rating")).to_be_visible()
    assert page.url != first
    page.goto(first)
    expect(page.locator("main")).to_contain_text("It promises too much.")
    expect(page.locator("main")).to_contain_text("Not good enough")
    if folder := os.environ.get("SHOTS"):
        page.screenshot(path=Path(folder) / "rated-phone.png", full_page=True)
