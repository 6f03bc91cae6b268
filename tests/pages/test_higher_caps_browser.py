"""Where a cap of a run would be raised, forms ask why in a real browser: only then, and without breaking a rule."""

from collections.abc import Callable

import pytest
from django.conf import settings
from playwright.sync_api import BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from accounts.models import User
from orchestrator_site.build import build_assets
from pipelines import drafts, publish, splits
from pipelines.models import BudgetChange, Draft, Pipeline
from runs.models import Trigger
from tests.pages.test_browser import AXE, PHONE, RULES, WIDE
from tests.people import Team, a_team, acting, signed_in_as
from tests.pipelines.builders import a_document, a_published_pipeline

pytestmark = pytest.mark.browser
Open = Callable[..., Page]
NEW = "/settings/triggers/+new/?kind=event&pipeline=brief"


@pytest.fixture(scope="session", autouse=True)
def _assets() -> None:
    build_assets()


@pytest.fixture
def team(transactional_db: None) -> Team:
    """A team whose new runs all get version 2, half as dear as version 1 and as version 3, which is published."""
    team = a_team()
    pipeline = a_published_pipeline(acting(team.alice))
    revision = Draft.objects.get(pipeline=pipeline).revision
    drafts.save(acting(team.alice), pipeline, a_document(budget={"max_cost_usd": "0.50"}), revision)
    publish.publish(acting(team.alice), pipeline)
    publish.rollback(acting(team.dana), pipeline, 1, "The fair")
    splits.put(acting(team.alice), Pipeline.objects.get(pk=pipeline.pk), [(2, 100)])
    return team


@pytest.fixture
def open_page(live_server: LiveServer, new_context: Callable[..., BrowserContext]) -> Open:
    def opened(user: User, path: str, **context: object) -> Page:
        browser = new_context(**{"viewport": WIDE, "bypass_csp": True, **context})
        session = signed_in_as(user).cookies[settings.SESSION_COOKIE_NAME].value
        browser.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
        page = browser.new_page()
        page.goto(f"{live_server.url}{path}")
        return page

    return opened


def test_the_form_of_a_trigger_asks_why_once_a_version_with_a_higher_cap_is_chosen(open_page: Open, team: Team) -> None:
    page = open_page(team.dana, NEW)
    why = page.get_by_label("Why its runs get a higher cap")
    expect(why).to_be_hidden()
    page.get_by_label("Version").select_option("2")
    expect(why).to_be_hidden()
    page.get_by_label("Version").select_option("1")
    expect(why).to_be_visible()
    page.get_by_label("Name").fill("nightly")
    page.get_by_role("textbox", name="Topic", exact=True).fill("orders")
    why.fill("The fair lasts a week")
    page.get_by_role("button", name="Add the trigger").click()
    page.wait_for_url("**/settings/triggers/nightly/")
    assert Trigger.objects.get().version == 1
    assert BudgetChange.objects.latest("id").reason == "The fair lasts a week"


def test_the_two_choices_of_a_version_stand_side_by_side(open_page: Open, team: Team) -> None:
    page = open_page(team.dana, "/pipelines/brief/versions/")
    ends = [page.get_by_label(f"Compare {way} version 2", exact=True).bounding_box() for way in ("from", "to")]
    assert all(ends)
    assert ends[0]["y"] == ends[1]["y"]  # type: ignore[index]


def test_a_split_is_ended_with_a_reason(open_page: Open, team: Team) -> None:
    page = open_page(team.dana, "/pipelines/brief/versions/")
    page.get_by_label("Why, since v3 raises a cap of a run").fill("Enough")
    page.get_by_role("button", name="End it").click()
    page.get_by_role("dialog").get_by_role("button", name="End it").click()
    page.get_by_text("All new runs get the published version again.").wait_for()
    assert Pipeline.objects.get().split == []
    assert BudgetChange.objects.latest("id").reason == "Enough"


@pytest.mark.parametrize("name", ["alice", "dana"])
@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
def test_forms_that_ask_why_break_no_rule_and_do_not_scroll_sideways(
    open_page: Open, team: Team, name: str, viewport: dict[str, int]
) -> None:
    page = open_page(getattr(team, name), NEW, viewport=viewport)
    base, found = page.url.split("/settings/")[0], list[str]()
    for path in (NEW, "/pipelines/brief/versions/", "/pipelines/brief/publish/"):
        page.goto(f"{base}{path}")
        if path == NEW and name == "dana":
            page.get_by_label("Version").select_option("1")
        page.add_script_tag(path=str(AXE))
        answer = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
        found += [f"{path}: {one['id']} {one['nodes'][0]['html'][:120]}" for one in answer["violations"]]
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append(f"{path}: scrolls sideways")
    assert found == []
