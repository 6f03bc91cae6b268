"""An agent's life in the browser: made, tried, changed, compared, and handed on to a draft."""

import re
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from playwright.sync_api import BrowserContext, Page, expect

from accounts.models import User
from orchestrator_site.build import MODULES, build_assets
from pipelines.models import AgentVersion, Draft
from runs.models import Run
from tests.conftest import LiveStack
from tests.people import Team, a_team, acting, signed_in_as
from tests.pipelines.builders import a_pipeline, a_writer

pytestmark = pytest.mark.browser

AXE = MODULES / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
Open = Callable[..., Page]


@pytest.fixture
def team(live_stack: LiveStack) -> Team:
    build_assets()
    return a_team()


@pytest.fixture
def open_page(team: Team, live_stack: LiveStack, new_context: Callable[..., BrowserContext]) -> Iterator[Open]:
    """Return a function that opens a page as a person; nothing may be said on the console."""
    said: list[str] = []

    def opened(path: str, user: User, **context: object) -> Page:
        browser = new_context(**{"viewport": {"width": 1440, "height": 900}, **context})
        session = signed_in_as(user).cookies[settings.SESSION_COOKIE_NAME].value
        browser.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_stack.url}])
        page = browser.new_page()
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{live_stack.url}{path}")
        return page

    yield opened
    assert said == []


def field(page: Page, index: int, label: str, value: str) -> None:
    page.locator(".frows [data-rows-list] .frow").nth(index).get_by_label(label, exact=True).fill(value)


def test_an_agent_is_made_tried_changed_and_compared(open_page: Open, team: Team) -> None:
    page = open_page("/agents/", team.alice)
    page.get_by_role("link", name="New agent").first.click()
    page.get_by_label("Name", exact=True).fill("Reply writer")
    page.get_by_label("Instructions").fill("Answer in at most 120 words.")
    page.get_by_role("button", name="Add a field").click()
    field(page, 0, "Name of the field", "reply")
    page.get_by_role("button", name="Add a field").click()
    field(page, 1, "Name of the field", "tone")
    page.locator(".frow").nth(1).get_by_role("button", name="Move this field up").click()
    page.get_by_role("button", name="Make it").click()
    page.wait_for_url("**/agents/reply-writer/")
    first = AgentVersion.objects.get(agent__slug="reply-writer")
    assert first.output_schema["required"] == ["tone", "reply"]

    page.get_by_label("A task to try it with").fill("My lamp is broken.")
    page.get_by_role("button", name="Run v1").click()
    trial = page.locator(".trial")
    expect(trial).to_contain_text("Fits the schema", timeout=30_000)
    expect(trial).to_contain_text("simulated")
    expect(trial).to_contain_text("$0.00")
    run = Run.objects.get(tags__contains=["test"])
    assert run.rehearsal
    assert run.cost_micros > 0

    page.get_by_label("Instructions").fill("Answer in at most 90 words.")
    page.get_by_role("button", name="Save as v2").click()
    expect(page.get_by_text("Saved as v2.")).to_be_visible()
    expect(page.get_by_label("A task to try it with")).to_have_value("My lamp is broken.")
    page.get_by_text("What v2 changed").click()
    expect(page.locator(".diff del")).to_have_text("120")
    expect(page.locator(".diff ins")).to_have_text("90")

    page.get_by_role("button", name="Run v1 and v2").click()
    expect(page.locator(".trial", has_text="Fits the schema")).to_have_count(2, timeout=30_000)


def test_enter_in_a_field_saves_and_presses_no_button_of_a_row(open_page: Open, team: Team) -> None:
    schema = {
        "type": "object",
        "required": ["a", "b"],
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
    }
    a_writer(acting(team.alice), output_schema=schema)
    page = open_page("/agents/writer/", team.alice)
    page.get_by_label("Goal").fill("To be clear")
    page.get_by_label("Goal").press("Enter")
    expect(page.get_by_text("Saved as v2.")).to_be_visible()
    newest = AgentVersion.objects.get(agent__slug="writer", number=2)
    assert (newest.goal, newest.output_schema) == ("To be clear", schema)


def test_the_rows_work_without_script(open_page: Open, team: Team) -> None:
    a_writer(acting(team.alice))
    page = open_page("/agents/writer/", team.alice, java_script_enabled=False)
    page.get_by_role("button", name="Add a field").click()
    field(page, 0, "Name of the field", "reply")
    page.get_by_role("button", name="Add a model").click()
    page.get_by_label("Model to try next").fill("demo/echo")
    page.get_by_role("button", name="Save as v2").click()
    newest = AgentVersion.objects.get(agent__slug="writer", number=2)
    assert newest.fallback == ["demo/echo"]
    assert list(newest.output_schema["properties"]) == ["reply"]
    page.get_by_role("link", name="Open the test bench").click()
    page.get_by_label("A task to try it with").fill("Hello.")
    page.get_by_role("button", name="Run v2", exact=True).click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}/"))


def test_a_draft_takes_the_newest_version_by_one_click(open_page: Open, team: Team) -> None:
    a_writer(acting(team.alice))
    pipeline = a_pipeline(acting(team.alice))
    page = open_page("/agents/writer/", team.alice)
    page.get_by_label("Goal").fill("To be clear")
    page.get_by_role("button", name="Save as v2").click()
    page.get_by_role("button", name="Draft to v2").click()
    expect(page.get_by_text("names v2 now")).to_be_visible()
    assert Draft.objects.get(pipeline=pipeline).document["graph"]["nodes"]["write"]["agent"] == "writer@2"
    expect(page.get_by_role("button", name="Draft to v2")).to_have_count(0)


def test_the_palette_jumps_to_an_agent(open_page: Open, team: Team) -> None:
    a_writer(acting(team.alice))
    page = open_page("/agents/", team.alice)
    page.keyboard.press("Control+k")
    page.locator("[data-palette-input]").type("writer")
    expect(page.locator("#palette a.on")).to_contain_text("Writer")
    page.keyboard.press("Enter")
    page.wait_for_url("**/agents/writer/")


def test_the_page_with_all_its_parts_keeps_the_rules_of_accessibility(open_page: Open, team: Team) -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "array"}, "b": {"minLength": 3}}}
    a_writer(acting(team.alice), output_schema=schema, tools=("email.send@1",), fallback=("demo/echo",))
    a_pipeline(acting(team.alice))
    page = open_page("/agents/writer/", team.alice, bypass_csp=True, reduced_motion="reduce")
    page.get_by_label("Goal").fill("To be clear")
    page.get_by_role("button", name="Save as v2").click()
    expect(page.get_by_text("Saved as v2.")).to_be_visible()
    page.get_by_label("A task to try it with").fill("Hello.")
    page.get_by_role("button", name="Run v1 and v2").click()
    expect(page.locator(".trial .b-done")).to_have_count(2, timeout=30_000)
    assert broken_rules(page) == []


def broken_rules(page: Page) -> list[str]:
    """Return what breaks a rule on the page with everything on it opened, in both themes, wide and on a phone."""
    page.locator("main details").evaluate_all("all => all.forEach((one) => { one.open = true })")
    page.add_script_tag(path=str(AXE))
    found: list[str] = []
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        for width in (1440, 390):
            page.set_viewport_size({"width": width, "height": 900})
            answer = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
            at = f"{theme} {width}:"
            found += [f"{at} {one['id']} {one['nodes'][0]['html'][:160]}" for one in answer["violations"]]
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                found.append(f"{at} scrolls sideways")
    return found
