"""The list of a draft in a real browser: a pipeline by the keyboard alone, and two people who see each other."""

import re
from collections.abc import Callable

import pytest
from django.conf import settings
from playwright.sync_api import BrowserContext, Locator, Page, expect
from pytest_django.live_server_helper import LiveServer

from accounts.models import User
from orchestrator_site.build import MODULES, build_assets
from pipelines import drafts, gallery
from pipelines.models import Draft
from tests.browser.canvas import a_canvas_document
from tests.people import Team, a_team, acting, signed_in_as
from tests.pipelines.builders import a_pipeline, a_writer

pytestmark = pytest.mark.browser

Open = Callable[..., Page]
AXE = MODULES / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
OUTLINE = "/pipelines/brief/outline/"


@pytest.fixture(scope="session", autouse=True)
def _assets() -> None:
    build_assets()


@pytest.fixture
def team(transactional_db: None) -> Team:
    team = a_team()
    a_writer(acting(team.alice))
    a_pipeline(acting(team.alice))
    return team


@pytest.fixture
def open_page(live_server: LiveServer, team: Team, new_context: Callable[..., BrowserContext]) -> Open:
    def opened(path: str, user: User | None = None, **context: object) -> Page:
        browser = new_context(**{"viewport": WIDE, **context})
        session = signed_in_as(user or team.alice).cookies[settings.SESSION_COOKIE_NAME].value
        browser.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
        page = browser.new_page()
        page.goto(f"{live_server.url}{path}")
        return page

    return opened


def line(page: Page, place: str) -> Locator:
    return page.locator(f'#outline [data-step="{place}"]')


def places(page: Page) -> list[str]:
    return page.locator("#outline [data-step]").evaluate_all("lines => lines.map(line => line.dataset.step)")


def edges() -> set[str]:
    return {f"{one['from']}>{one['to']}" for one in Draft.objects.get().document["graph"]["edges"]}


def test_a_pipeline_is_built_by_the_keyboard_in_the_list_alone(open_page: Open, team: Team) -> None:
    page = open_page(OUTLINE)
    keys = page.keyboard
    line(page, "start").focus()
    keys.press("ArrowDown")
    expect(line(page, "write")).to_be_focused()
    keys.press("a")
    expect(page.get_by_label("Find a step to add")).to_be_focused()
    keys.type("guardrail")
    keys.press("Enter")
    expect(line(page, "check")).to_be_focused()
    assert places(page) == ["start", "write", "check", "result"]
    keys.press("Alt+ArrowUp")
    expect(page.locator("#announce")).to_have_text("The step changed places with its neighbour.")
    expect(line(page, "check")).to_be_focused()
    assert edges() == {"start>check", "check>write", "write>result"}
    keys.press("Delete")
    expect(page.locator("#announce")).to_contain_text("Removed.")
    assert edges() == {"start>write", "write>result"}
    keys.press("Control+z")
    expect(line(page, "check")).to_have_count(1)
    line(page, "write").focus()
    keys.press("Control+d")
    expect(line(page, "write_2")).to_be_focused()
    line(page, "check").focus()
    keys.press("c")
    expect(page.locator("#act-to")).to_be_focused()
    page.locator("#act-to").select_option("write_2")
    keys.press("Tab")
    keys.press("Enter")
    expect(page.locator("#announce")).to_have_text("The arrow was drawn.")
    assert "check>write_2" in edges()


def test_a_step_is_opened_and_its_title_follows_in_the_list(open_page: Open, team: Team) -> None:
    page = open_page(OUTLINE)
    line(page, "write").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#step-title")).to_be_focused()
    page.keyboard.type("Compose")
    expect(line(page, "write")).to_contain_text("Compose")
    assert Draft.objects.get().document["graph"]["nodes"]["write"]["title"] == "Compose"


def a_longer_pipeline(team: Team) -> None:
    """Make it start >> write >> check >> all (a For each of dig) >> result."""
    alice = acting(team.alice)
    document = a_canvas_document("long")
    del document["graph"]["nodes"]["all"]["graph"]["nodes"]["sum"]
    document["graph"]["nodes"]["all"]["graph"]["edges"] = []
    drafts.create(alice, document)


def nodes(slug: str, *scopes: str) -> set[str]:
    graph = Draft.objects.get(pipeline__slug=slug).document["graph"]
    for scope in scopes:
        graph = graph["nodes"][scope]["graph"]
    return set(graph["nodes"])


def test_several_steps_of_the_list_are_grouped_moved_and_taken_out_by_keys(open_page: Open, team: Team) -> None:
    a_longer_pipeline(team)
    page = open_page("/pipelines/long/outline/")
    keys = page.keyboard
    line(page, "write").focus()
    keys.press("Shift+ArrowDown")
    expect(page.locator("#announce")).to_have_text("2 steps are chosen.")
    expect(page.locator("#outline .several")).to_have_count(2)
    keys.press("o")
    expect(page.get_by_role("button", name="Into a For each")).to_be_focused()
    keys.press("Tab")
    keys.press("Enter")
    expect(line(page, "repeat")).to_be_focused()
    assert nodes("long", "repeat") == {"write", "check"}
    line(page, "repeat.check").focus()
    keys.press("o")
    expect(page.get_by_role("button", name="Into a For each")).to_be_focused()
    keys.press("Tab")
    keys.press("Tab")
    expect(page.get_by_role("button", name="Into “Every item”")).to_be_focused()
    keys.press("Enter")
    expect(line(page, "all.check")).to_be_focused()
    assert nodes("long", "all") == {"dig", "check"}
    keys.press("o")
    page.get_by_role("button", name="Out of its group").focus()
    keys.press("Enter")
    expect(line(page, "check")).to_be_focused()
    assert "check" in nodes("long")


def test_several_steps_are_chosen_by_space_and_removed_copied_and_left(open_page: Open, team: Team) -> None:
    a_longer_pipeline(team)
    page = open_page("/pipelines/long/outline/")
    keys = page.keyboard
    line(page, "write").focus()
    keys.press("Space")
    line(page, "result").focus()
    keys.press("Space")
    keys.press("Space")
    expect(page.locator("#announce")).to_have_text("1 step is chosen.")
    line(page, "check").focus()
    keys.press("Space")
    keys.press("Control+d")
    expect(line(page, "check_2")).to_have_count(1)
    assert {"write_2", "check_2"} <= nodes("long")
    keys.press("Delete")
    expect(page.locator("#announce")).to_contain_text("Removed.")
    assert nodes("long") == {"start", "all", "result", "write_2", "check_2"}
    line(page, "write_2").focus()
    keys.press("Space")
    keys.press("Escape")
    expect(page.locator("#outline .several")).to_have_count(0)


def test_taps_choose_several_steps_of_the_list(open_page: Open, team: Team) -> None:
    a_longer_pipeline(team)
    page = open_page("/pipelines/long/", viewport=PHONE, has_touch=True)
    page.get_by_role("button", name="Several").tap()
    line(page, "write").tap()
    line(page, "check").tap()
    page.locator(".ol-tools [data-group-menu] summary").tap()
    page.locator(".ol-tools").get_by_role("button", name="Into a For each").tap()
    expect(line(page, "each")).to_be_visible()
    assert nodes("long", "each") == {"write", "check"}
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_step_of_the_list_is_found_by_its_title(open_page: Open, team: Team) -> None:
    a_longer_pipeline(team)
    page = open_page("/pipelines/long/outline/")
    line(page, "start").focus()
    page.keyboard.press("/")
    page.keyboard.type("dig")
    expect(page.locator("[data-found]")).to_have_text("1 of 1")
    page.keyboard.press("Escape")
    expect(line(page, "all.dig")).to_be_focused()
    expect(page.locator("#step-title")).to_have_value("Dig deep")
    page.get_by_role("button", name="Find a step").click()
    page.keyboard.type("nothing of that name")
    expect(page.locator("[data-found]")).to_have_text("None")


def test_a_step_is_grouped_and_moved_by_the_forms_beside_it(open_page: Open, team: Team) -> None:
    a_longer_pipeline(team)
    page = open_page("/pipelines/long/outline/")
    line(page, "check").click()
    page.locator("#act-move").select_option(label="Into “Every item”")
    page.get_by_role("button", name="Move", exact=True).click()
    expect(line(page, "all.check")).to_be_visible()
    assert nodes("long", "all") == {"dig", "check"}
    expect(page.locator('#step-acts input[name="node"]').first).to_have_value("all.check")
    page.locator("#act-move").select_option(label="Out of its group")
    page.get_by_role("button", name="Move", exact=True).click()
    expect(line(page, "check")).to_be_visible()
    expect(page.locator('#step-acts input[name="node"]').first).to_have_value("check")
    page.locator("#act-group").select_option(label="Into a new Repeat")
    page.locator("#step-acts").get_by_role("button", name="Group", exact=True).click()
    expect(line(page, "repeat.check")).to_be_visible()
    page.locator("#toasts").get_by_role("button", name="Undo").click()
    expect(line(page, "check")).to_be_visible()


def test_on_a_phone_the_list_stands_in_for_the_picture(open_page: Open, team: Team) -> None:
    page = open_page("/pipelines/brief/", viewport=PHONE)
    expect(page.locator(".cv.graph")).to_be_hidden()
    line(page, "write").click()
    expect(page.locator("#step-title")).to_be_visible()
    page.locator("#act-spot").select_option(label="Before it")
    page.locator("[data-asks] button").click()
    page.get_by_role("button", name="Transform").click()
    expect(line(page, "transform")).to_be_visible()
    assert edges() == {"start>transform", "transform>write", "write>result"}
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["1440", "390"])
def test_the_list_has_no_finding_and_large_targets(
    open_page: Open, team: Team, scheme: str, viewport: dict[str, int]
) -> None:
    gallery.instantiate(acting(team.alice), "support-desk")
    address = "/pipelines/support-desk/outline/?node=" + "start"
    page = open_page(address, viewport=viewport, color_scheme=scheme, reduced_motion="reduce", bypass_csp=True)
    page.add_script_tag(path=str(AXE))
    found = page.evaluate("rules => axe.run({runOnly: rules})", RULES)
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    if viewport is PHONE:
        small = page.locator(".editor :is(a.ol-step, button, select, summary):visible").evaluate_all(
            "all => all.filter(one => one.getBoundingClientRect().height < 44).map(one => one.outerHTML.slice(0, 120))"
        )
        assert small == []


def test_paper_shows_the_list_as_it_is_now(open_page: Open, team: Team) -> None:
    page = open_page("/pipelines/brief/")
    page.locator("#node-write").focus()
    page.keyboard.press("Delete")
    expect(page.locator("#node-write")).to_have_count(0)
    expect(line(page, "write")).to_have_count(0)
    page.emulate_media(media="print")
    expect(line(page, "result")).to_be_visible()
    expect(page.locator(".cv.graph")).to_be_hidden()
    assert re.search("then", page.locator("#outline").inner_text())


def test_a_note_takes_back_what_was_removed(open_page: Open, team: Team) -> None:
    page = open_page("/pipelines/brief/")
    page.locator("#node-write").focus()
    page.keyboard.press("Delete")
    note = page.locator("#toasts .toast")
    expect(note).to_contain_text("Removed.")
    note.get_by_role("button", name="Undo").click()
    expect(page.locator("#node-write")).to_be_visible()
    expect(note).to_have_count(0)


def test_the_command_palette_acts_and_jumps_to_a_step(open_page: Open, team: Team) -> None:
    page = open_page("/pipelines/brief/")
    expect(page.locator("[data-stage].placed")).to_be_attached()  # the editor is there
    page.keyboard.press("Control+k")
    page.keyboard.type("write")
    page.keyboard.press("Enter")
    expect(page.locator("#node-write")).to_be_focused()
    page.keyboard.press("Control+k")
    page.keyboard.type("add a st")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Find a step to add")).to_be_focused()


def test_the_help_lists_the_keys_of_the_editor(open_page: Open, team: Team) -> None:
    page = open_page(OUTLINE)
    line(page, "write").focus()
    page.keyboard.press("?")
    expect(page.locator("#help")).to_contain_text("Add a step after the chosen one")
