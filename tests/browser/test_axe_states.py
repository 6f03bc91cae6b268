"""Accessibility of what opens while people work: menus, dialogs, notes, refusals, tests of steps, the past of a run."""

import pytest
from playwright.sync_api import Page, expect

from orchestrator_site.build import MODULES
from runs.models import Run
from tests.browser.canvas import Canvas, Open, OpenDesk, start_run
from tests.conftest import LiveStack, wait_for
from tests.people import Team

pytestmark = pytest.mark.browser

AXE = MODULES / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
THEMES = ["light", "dark"]


class Audit:
    """What axe has against the states of a page, each found by the name of the state."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.found: list[str] = []

    def look(self, state: str, within: str = "document") -> None:
        """Let axe look at the page as it is, or at the part of it that an expression gives."""
        if not self.page.evaluate("Boolean(window.axe)"):
            self.page.add_script_tag(path=str(AXE))
        answer = self.page.evaluate(f"rules => axe.run({within}, {{runOnly: rules}})", RULES)
        self.found += [f"{state}: {one['id']} {one['nodes'][0]['html'][:160]}" for one in answer["violations"]]


@pytest.mark.parametrize("theme", THEMES)
def test_what_opens_on_the_canvas_breaks_no_rule(open_canvas: Open, theme: str) -> None:
    canvas = open_canvas(color_scheme=theme, bypass_csp=True)
    page, audit = canvas.page, Audit(canvas.page)
    audit.look("nothing chosen")
    canvas.choose("write")
    canvas.press("a")
    expect(page.locator("#step-palette")).to_have_class("steps asked")
    audit.look("the palette asked for")
    canvas.press("Escape")
    canvas.press("/")
    page.keyboard.type("sum")
    expect(page.locator("[data-found]").first).to_have_text("1 of 1")
    audit.look("the search")
    canvas.press("Escape")
    canvas.choose("check")
    canvas.press("o")
    expect(page.get_by_role("button", name="Into “Every item”")).to_be_visible()
    audit.look("the group menu")
    canvas.press("Escape")
    canvas.box("check").focus()
    canvas.press("c")
    expect(page.locator("#announce")).to_contain_text("An arrow begins here")
    audit.look("an arrow that begins")
    canvas.press("Escape")
    canvas.press("?")
    expect(page.locator("#help")).to_be_visible()
    audit.look("the help")
    canvas.press("Escape")
    canvas.press("Control+k")
    expect(page.locator("[data-palette-list] a").first).to_be_visible()
    audit.look("the command palette")
    canvas.press("Escape")
    canvas.prompt.fill("Check ${steps.writ.output}.")
    expect(page.locator("#problems .b-failed").first).to_be_visible()
    expect(page.locator("#inspector mark.bad")).to_be_visible()
    audit.look("problems and a wrong value")
    page.get_by_text("All settings").click()
    page.locator('#inspector [name="f.timeout"]').fill("soon")
    expect(page.locator("#inspector [data-complaint]")).to_be_visible()
    audit.look("a refused field")
    canvas.box("result").focus()
    canvas.press("Delete")
    expect(page.locator("#toasts .toast").last).to_contain_text("Removed.")
    audit.look("a note")
    assert audit.found == []


@pytest.mark.parametrize("theme", THEMES)
def test_what_opens_on_the_list_breaks_no_rule(open_canvas: Open, theme: str) -> None:
    canvas = open_canvas(path="/pipelines/desk/outline/", color_scheme=theme, bypass_csp=True)
    page, audit = canvas.page, Audit(canvas.page)
    page.locator('#outline [data-step="write"]').focus()
    canvas.press("Shift+ArrowDown")
    audit.look("several chosen")
    canvas.press("o")
    expect(page.get_by_role("button", name="Into “Every item”")).to_be_visible()
    audit.look("the group menu")
    canvas.press("Escape")
    canvas.press("/")
    audit.look("the search")
    assert audit.found == []


@pytest.mark.parametrize("theme", THEMES)
def test_tests_of_steps_runs_and_people_break_no_rule(
    open_desk: OpenDesk, desk_team: Team, live_stack: LiveStack, theme: str
) -> None:
    look = {"color_scheme": theme, "bypass_csp": True}
    page = open_desk(desk_team.alice, "/", **look)
    audit = Audit(page)
    run = start_run(page, live_stack)
    wait_for(lambda: Run.objects.get(pk=run.pk).state == "succeeded", 60, live_stack.logs)
    page.goto(f"{live_stack.url}/runs/{run.pk}/")
    page.locator("[data-drawer]").filter(has_text="Check the draft").first.click()
    expect(page.locator("#drawer")).to_contain_text("Check the draft")
    audit.look("the drawer")
    page.goto(f"{live_stack.url}/runs/{run.pk}/?at=3")
    expect(page.locator("#moment")).to_contain_text("Event 3 of")
    audit.look("the past")
    page.goto(f"{live_stack.url}/pipelines/desk/")
    open_desk(desk_team.dana, "/pipelines/desk/?node=write")
    expect(page.locator("#presence")).to_contain_text("Dana is in")
    audit.look("somebody else here")
    Canvas(page).choose("check")
    page.locator("#step-test").get_by_text("Test this step").click()
    expect(page.locator("#try-form")).to_be_visible()
    audit.look("the test of a step")
    page.locator("#try-form").get_by_role("button", name="Test this step").click()
    expect(page.locator("#step-result")).to_contain_text("Done", timeout=30_000)
    audit.look("its result")
    assert audit.found == []
