"""The pages in a real browser: no accessibility finding in either theme, no sideways scroll, keys and drawers work."""

import re
from collections.abc import Callable

import pytest
from django.conf import settings
from playwright.sync_api import BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from accounts import tokens
from accounts.models import User
from orchestrator_site.build import MODULES, build_assets
from pipelines import gallery
from pipelines.gallery import handbooks
from runs.models import Inbox, Run
from tests.approvals.builders import an_approval
from tests.pages.builders import World, a_world, an_event, some_connections, some_triggers, some_violations
from tests.people import acting, just_come_in, signed_in_as

pytestmark = pytest.mark.browser

AXE = MODULES / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
PAGES = {
    "home": "/",
    "pipelines": "/pipelines/",
    "pipeline": "/pipelines/{slug}/",
    "outline": "/pipelines/{slug}/outline/",
    "opened": "/pipelines/{slug}/?node=send",
    "run form": "/pipelines/{slug}/run/",
    "publish": "/pipelines/{slug}/publish/",
    "versions": "/pipelines/{slug}/versions/",
    "compare": "/pipelines/{slug}/compare/",
    "runs": "/runs/",
    "canvas": "/runs/{run}/",
    "timeline": "/runs/{run}/?view=timeline",
    "steps": "/runs/{run}/?view=steps",
    "log": "/runs/{run}/?view=log",
    "step": "/runs/{run}/step/?path=research",
    "fork": "/runs/{run}/fork/",
    "edit": "/runs/{run}/fork/?path=research",
    "inbox": "/approvals/",
    "decision": "/approvals/{approval}/",
    "rules": "/approvals/rules/",
    "rule": "/approvals/rules/+new/",
    "hours": "/approvals/calendars/+new/",
    "away": "/approvals/away/",
    "approval health": "/approvals/health/",
    "counted": "/approvals/health/questions/?figure=open",
    "decisions": "/approvals/decisions/",
    "notices": "/notices/",
    "people": "/people/",
    "sign-in": "/account/",
    "tokens": "/account/tokens/",
    "wishes": "/settings/notifications/",
    "triggers": "/settings/triggers/",
    "schedule": "/settings/triggers/monday-news/",
    "hook": "/settings/triggers/orders/",
    "trigger kinds": "/settings/triggers/+new/",
    "new schedule": "/settings/triggers/+new/?kind=schedule&pipeline={slug}",
    "new hook": "/settings/triggers/+new/?kind=webhook&pipeline={slug}",
    "costs": "/costs/",
    "costs of tags": "/costs/?by=tag&outcome=succeeded",
    "speed": "/costs/speed/",
    "slow runs": "/costs/speed/runs/?pipeline={slug}",
    "charges": "/costs/chargeback/",
    "cost runs": "/costs/runs/?figure=cost",
    "charged": "/costs/runs/?figure=charged",
    "reasons": "/costs/reasons/",
    "not in the table": "/costs/beyond/",
    "budgets": "/costs/budgets/",
    "new budget": "/costs/budgets/+new/",
    "alerts": "/costs/alerts/",
    "new alert": "/costs/alerts/+new/",
    "price list": "/costs/prices/",
    "price": "/costs/prices/set/",
    "past calls": "/costs/prices/past/",
    "what if": "/costs/what-if/?month=this&to=demo/echo",
    "templates": "/templates/",
    "template": "/templates/support-desk/",
    "prices": "/costs/templates/",
    "start": "/start/?want=email&goal=Sell&leaves=mail&yes=before",
    "first steps": "/start/{slug}/",
    "new": "/new/",
    "knowledge": "/knowledge/",
    "collection": "/knowledge/handbook/?q=how+many+days+of+holidays",
    "agents": "/agents/",
    "agent": "/agents/outreach-writer/",
    "version": "/agents/outreach-writer/?version=1",
    "bench": "/agents/outreach-writer/test/",
    "audit log": "/audit/?check=1",
    "violations": "/violations/",
    "connections": "/connections/",
    "new connection": "/connections/+new/",
    "connection": "/connections/local/",
    "server of tools": "/connections/files/",
    "new secret": "/connections/+secrets/",
    "secret": "/connections/+secrets/crm-key/",
}
OF_A_REVIEWER = ("home", "runs", "canvas", "inbox", "decision", "approval health", "counted", "decisions")
# A few at a time: each keeps well within the time limit of a test.
OF_A_MANAGER = ("rules", "rule", "hours", "away", "budgets", "new budget", "alerts", "new alert")
OF_AN_AUDITOR = ("audit log",)
OF_AN_ADMIN = ("violations", "connections", "new connection", "connection", "server of tools", "new secret", "secret")
OF_SPENDING = (
    "costs",
    "costs of tags",
    "speed",
    "slow runs",
    "charges",
    "cost runs",
    "charged",
    "reasons",
    "not in the table",
)
OF_PRICES = ("price list", "price", "past calls", "what if")
_OTHERS = OF_A_REVIEWER + OF_A_MANAGER + OF_AN_AUDITOR + OF_AN_ADMIN + OF_SPENDING + OF_PRICES
_REST = [name for name in PAGES if name not in _OTHERS]
SOME_PAGES = [
    OF_A_REVIEWER,
    OF_A_MANAGER,
    OF_AN_AUDITOR,
    OF_AN_ADMIN,
    OF_SPENDING,
    OF_PRICES,
    *(tuple(_REST[first : first + 7]) for first in range(0, len(_REST), 7)),
]
Open = Callable[..., Page]


@pytest.fixture(scope="session", autouse=True)
def _assets() -> None:
    build_assets()


@pytest.fixture
def world(transactional_db: None) -> World:
    world = a_world()
    some_triggers(world)
    some_violations(world)
    some_connections(world)
    handbooks.bring(acting(world.team.alice), gallery.template("document-questions").document)
    return world


@pytest.fixture
def open_page(live_server: LiveServer, world: World, new_context: Callable[..., BrowserContext]) -> Open:
    """Return a function that opens a page as a person; the policy is lifted only where axe has to be let in."""

    def opened(path: str, user: User | None = None, **context: object) -> Page:
        browser = new_context(**{"viewport": WIDE, **context})
        session = signed_in_as(user or world.team.bob).cookies[settings.SESSION_COOKIE_NAME].value
        browser.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
        page = browser.new_page()
        place = path.format(slug=world.pipeline.slug, run=world.run.pk, approval=world.approval.pk)
        page.goto(f"{live_server.url}{place}")
        return page

    return opened


def _reader_of(world: World, names: tuple[str, ...]) -> User:
    if names in (OF_A_MANAGER, OF_PRICES):
        return world.team.carol
    if names == OF_AN_AUDITOR:
        return world.team.erin
    if names == OF_AN_ADMIN:
        return world.team.dana
    return world.team.bob if names == OF_A_REVIEWER else world.team.alice


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("names", SOME_PAGES, ids=lambda names: f"{names[0]} and on")
def test_no_page_breaks_a_rule_of_accessibility_or_scrolls_sideways(
    open_page: Open, world: World, theme: str, viewport: dict[str, int], names: tuple[str, ...]
) -> None:
    person = _reader_of(world, names)
    page = open_page("/", person, viewport=viewport, color_scheme=theme, bypass_csp=True, reduced_motion="reduce")
    found: list[str] = []
    for name in names:
        place = PAGES[name].format(slug=world.pipeline.slug, run=world.run.pk, approval=world.approval.pk)
        page.goto(re.sub(r"(https?://[^/]+).*", r"\1", page.url) + place)
        found += [f"{name}: {one}" for one in _broken(page)]
    assert found == []


def test_a_token_is_made_and_copied_on_a_telephone(open_page: Open, world: World) -> None:
    page = open_page("/account/", world.team.alice, viewport=PHONE, bypass_csp=True, reduced_motion="reduce")
    fresh = just_come_in(signed_in_as(world.team.alice)).cookies[settings.SESSION_COOKIE_NAME].value
    page.context.add_cookies(
        [{"name": settings.SESSION_COOKIE_NAME, "value": fresh, "url": re.sub(r"(https?://[^/]+).*", r"\1", page.url)}]
    )
    page.get_by_role("link", name="API tokens").click()
    page.get_by_role("link", name="New token").click()
    found = _broken(page)
    page.get_by_label("Name").fill("nightly import")
    page.get_by_role("checkbox", name="read").check()
    page.get_by_role("button", name="Make it").click()
    value = page.get_by_label("Token").input_value()
    found += _broken(page)
    assert found == []
    actor = tokens.resolve(value)
    assert actor is not None
    assert actor.user == world.team.alice
    page.get_by_role("link", name="Your tokens").click()
    assert value not in page.content()
    assert page.get_by_text("nightly import").first.is_visible()
    assert _broken(page) == []


def _broken(page: Page) -> list[str]:
    """Return which rules of accessibility the page breaks, and whether it scrolls sideways."""
    page.add_script_tag(path=str(AXE))
    answer = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
    found = [f"{one['id']} {one['nodes'][0]['html'][:120]}" for one in answer["violations"]]
    sideways = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    return [*found, "scrolls sideways"] if sideways else found


def test_no_page_needs_what_the_policy_forbids(open_page: Open, world: World) -> None:
    page = open_page("/")
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text) if "Content Security" in message.text else None)
    for path in PAGES.values():
        place = path.format(slug=world.pipeline.slug, run=world.run.pk, approval=world.approval.pk)
        page.goto(re.sub(r"(https?://[^/]+).*", r"\1", page.url) + place)
    assert refused == []


def test_nodes_stand_where_the_server_laid_them_out(open_page: Open) -> None:
    page = open_page("/runs/{run}/")
    page.locator(".stage.placed").first.wait_for(state="attached")
    boxes = page.locator(".slot").evaluate_all("all => all.map(one => [one.style.left, one.style.top])")
    assert len({tuple(box) for box in boxes}) == len(boxes) > 5
    expect(page.locator('[id="card-approve"]')).to_contain_text("Needs you")


def test_a_step_opens_beside_the_run_and_escape_closes_it(open_page: Open) -> None:
    page = open_page("/runs/{run}/?view=steps")
    page.locator('[id="row-research"] a').click()
    expect(page.locator("#drawer")).to_contain_text("<script>alert('x')</script>")
    page.keyboard.press("Escape")
    expect(page.locator("#drawer")).to_be_hidden()
    expect(page.locator('[id="row-research"] a')).to_be_focused()


def test_a_key_asks_before_it_approves(open_page: Open, world: World) -> None:
    page = open_page("/approvals/{approval}/")
    page.keyboard.press("a")
    expect(page.get_by_role("dialog")).to_contain_text("Cannot be undone")
    page.keyboard.press("Escape")
    world.approval.refresh_from_db()
    assert world.approval.state == "open"
    page.keyboard.press("a")
    page.get_by_role("dialog").get_by_role("button", name="Approve").click()
    page.wait_for_url("**/approvals/")
    world.approval.refresh_from_db()
    assert world.approval.state == "approved"


def test_reject_opens_with_r_and_wants_a_reason(open_page: Open, world: World) -> None:
    page = open_page("/approvals/{approval}/")
    page.keyboard.press("r")
    page.get_by_label("Why?").fill("Wrong person.")
    page.get_by_role("button", name="Reject", exact=True).click()
    page.wait_for_url("**/approvals/")
    world.approval.refresh_from_db()
    assert world.approval.state == "rejected"


def test_the_palette_jumps_to_a_pipeline(open_page: Open, world: World) -> None:
    page = open_page("/")
    page.keyboard.press("Control+k")
    page.get_by_placeholder("Pipeline, run or page").type(world.pipeline.name[:6])
    expect(page.locator("#palette a.on")).to_contain_text(world.pipeline.name)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/pipelines/{world.pipeline.slug}/")


def test_the_theme_switch_needs_no_page_load_and_lasts(open_page: Open) -> None:
    page = open_page("/")
    page.locator(".side .me summary").click()
    page.locator(".side").get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_everything_works_without_script(open_page: Open, world: World) -> None:
    page = open_page("/approvals/", java_script_enabled=False)
    page.locator("a.tx").first.click()
    page.locator("#acts").get_by_role("button", name="Approve").first.click()
    world.approval.refresh_from_db()
    assert world.approval.state == "approved"


def test_a_gap_is_closed_over_http(open_page: Open, world: World) -> None:
    page = open_page("/runs/{run}/?view=log")
    an_event(world.run, "step_started", "send")
    answer = page.request.get(page.url.split("?")[0] + "changes?after=0")
    assert answer.headers["x-seq"] == "1"
    assert 'id="e-1"' in answer.text()


def test_a_question_opened_after_a_text_box_was_resized_breaks_no_policy(open_page: Open, world: World) -> None:
    an_approval(world.run, title="Another")
    page = open_page("/approvals/")
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text) if "Content Security" in message.text else None)
    page.locator("#f-comment").evaluate("box => { box.style.height = '90px' }")  # as dragging its corner does
    page.locator("a.tx").nth(1).click()
    expect(page.locator(".ap.on")).to_have_count(1)
    expect(page.locator("#f-comment")).to_be_visible()
    assert refused == []


@pytest.mark.parametrize(("name", "word"), [("bob", "Needs you"), ("alice", "Waits for a person")])
def test_the_run_says_to_each_what_the_wait_means_to_them(open_page: Open, world: World, name: str, word: str) -> None:
    page = open_page("/runs/{run}/", getattr(world.team, name))
    expect(page.locator("#asks .ask").first).to_be_visible()
    assert word in page.locator("#run-state").inner_text()
    assert word in page.locator('[id="card-approve"]').inner_text()


def test_the_drawer_stands_beside_the_canvas_and_the_canvas_stays_readable(open_page: Open) -> None:
    page = open_page("/runs/{run}/")
    assert float(page.locator("[data-zoom-words]").inner_text().rstrip("%")) >= 80
    page.locator(".slot a.node-a").first.click()
    expect(page.locator("#drawer")).to_be_visible()
    canvas, drawer = page.locator(".cv").bounding_box(), page.locator("#drawer").bounding_box()
    assert canvas
    assert drawer
    assert canvas["x"] + canvas["width"] <= drawer["x"] + 1


def test_a_run_that_pauses_by_itself_offers_to_go_on(open_page: Open, world: World) -> None:
    Run.objects.filter(pk=world.run.pk).update(state="running")
    page = open_page("/runs/{run}/", world.team.alice)
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    Run.objects.filter(pk=world.run.pk).update(state="paused")
    # what the page does when the socket brings `run_paused`
    page.evaluate("document.getElementById('asks').dispatchEvent(new CustomEvent('look-again'))")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("The run goes on.")).to_be_visible()
    assert Inbox.objects.get(run=world.run).fact["fact"] == "resume_requested"
