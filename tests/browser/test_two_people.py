"""Two people on one draft: each sees where the other is and what they change, also after the server was away."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.conf import settings
from playwright.sync_api import BrowserContext, Page, expect

from accounts.models import User
from orchestrator_site.build import build_assets
from pipelines.models import Draft
from pipelines.presence import rooms_of
from tests.browser.canvas import until
from tests.browser.holding import hold, let_go
from tests.browser.test_axe_states import Audit
from tests.conftest import LiveStack
from tests.people import Team, a_team, acting, signed_in_as
from tests.pipelines.builders import a_pipeline, a_writer

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
DESK = {"width": 1440, "height": 900}


@pytest.fixture
def team(live_stack: LiveStack) -> Team:
    build_assets()
    team = a_team()
    a_writer(acting(team.alice))
    a_pipeline(acting(team.alice))
    return team


@pytest.fixture
def open_page(team: Team, live_stack: LiveStack, new_context: Callable[..., BrowserContext]) -> Callable[..., Page]:
    def opened(user: User, path: str, **look: Any) -> Page:
        context = new_context(viewport=DESK, reduced_motion="reduce", **look)
        session = signed_in_as(user).cookies[settings.SESSION_COOKIE_NAME].value
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_stack.url}])
        page = context.new_page()
        page.goto(f"{live_stack.url}{path}")
        return page

    return opened


def test_two_people_see_where_the_other_is_and_what_they_change(
    open_page: Callable[..., Page], team: Team, live_stack: LiveStack
) -> None:
    alice = open_page(team.alice, "/pipelines/brief/")
    dana = open_page(team.dana, "/pipelines/brief/outline/")
    expect(alice.locator("#presence")).to_contain_text("Dana is here")
    dana.locator('#outline [data-step="write"]').click()
    expect(alice.locator("#presence")).to_contain_text("Dana is in “Write”")
    expect(alice.locator('#node-write[data-held-by="Dana"]')).to_be_visible()
    alice.locator("#node-start").focus()
    alice.keyboard.press("a")
    alice.keyboard.type("transform")
    alice.keyboard.press("Enter")
    expect(dana.locator('#outline [data-step="transform"]')).to_be_visible()
    dana.locator("#step-title").fill("Compose")
    expect(alice.locator("#node-write")).to_contain_text("Compose")
    live_stack.web.stop(10)
    expect(alice.locator("#presence")).to_be_empty(timeout=20_000)
    live_stack.start()
    expect(alice.locator("#presence")).to_contain_text("Dana is in “Compose”", timeout=20_000)
    dana.locator('#outline [data-step="transform"]').focus()
    dana.keyboard.press("Delete")
    expect(alice.locator("#node-transform")).to_have_count(0)
    dana.get_by_role("button", name="Undo").last.click()
    expect(alice.locator("#node-transform")).to_be_visible()
    assert Draft.objects.get().document["graph"]["nodes"]["write"]["title"] == "Compose"


def test_of_many_some_are_named_and_the_others_counted(open_page: Callable[..., Page], team: Team) -> None:
    alice = open_page(team.alice, "/pipelines/brief/")
    open_page(team.dana, "/pipelines/brief/")
    expect(alice.locator("#presence")).to_contain_text("Dana is here")
    there = {"type": "presence.room", "room": "there", "fresh": False, "gone": False}
    told = {**there, "people": [["9", "Zoe", "write"]], "more": 40}
    group = rooms_of(Draft.objects.get().pipeline_id)
    with ThreadPoolExecutor(1) as elsewhere:  # the browser's driver has an event loop in this thread
        elsewhere.submit(async_to_sync(get_channel_layer().group_send), group, told).result()
    expect(alice.locator("#presence")).to_contain_text("Dana is here")
    expect(alice.locator("#presence")).to_contain_text("Zoe is in “Write”")
    expect(alice.locator("#presence")).to_contain_text("and 40 more")
    expect(alice.locator('#node-write[data-held-by="Zoe"]')).to_be_visible()


def test_what_somebody_is_writing_is_not_overwritten_and_overwrites_nothing(
    open_page: Callable[..., Page], team: Team
) -> None:
    alice = open_page(team.alice, "/pipelines/brief/?node=write")
    alice.locator("#step-title").focus()
    dana = open_page(team.dana, "/pipelines/brief/?node=write")
    dana.locator("#step-title").fill("Dana's")
    expect(alice.locator("#node-write")).to_contain_text("Dana's")
    alice.keyboard.type("Alice's")
    expect(alice.locator("#toasts")).to_contain_text("Dana changed the step")
    assert Draft.objects.get().document["graph"]["nodes"]["write"]["title"] == "Dana's"


def test_a_form_that_somebody_changed_can_be_shown_as_it_is_now(open_page: Callable[..., Page], team: Team) -> None:
    alice = open_page(team.alice, "/pipelines/brief/?node=write")
    dana = open_page(team.dana, "/pipelines/brief/?node=write")
    alice.locator("#step-title").focus()
    dana.locator("#step-title").fill("Dana's")
    expect(alice.locator("#node-write")).to_contain_text("Dana's")
    alice.keyboard.type("Alice's")
    offer = alice.locator("#inspector").get_by_role("button", name="Show it as it is now")
    offer.wait_for()
    alice.locator("#step-title").blur()
    expect(alice.locator("#step-title")).to_have_value("Alice's")
    offer.click()
    expect(alice.locator("#step-title")).to_have_value("Dana's")
    expect(alice.locator("#step-title")).to_be_focused()
    expect(offer).to_have_count(0)
    alice.locator("#step-title").fill("Both")
    expect(dana.locator("#node-write")).to_contain_text("Both")
    assert Draft.objects.get().document["graph"]["nodes"]["write"]["title"] == "Both"


def test_a_form_that_somebody_changed_is_brought_anew_when_the_focus_leaves_it(
    open_page: Callable[..., Page], team: Team
) -> None:
    alice = open_page(team.alice, "/pipelines/brief/?node=write")
    dana = open_page(team.dana, "/pipelines/brief/?node=write")
    alice.locator("#step-title").focus()
    dana.locator("#step-title").fill("Dana's")
    expect(alice.locator("#node-write")).to_contain_text("Dana's")
    expect(alice.locator("#step-title")).to_have_value("")
    alice.locator("#step-title").blur()
    expect(alice.locator("#step-title")).to_have_value("Dana's")


def test_what_is_typed_while_the_form_is_brought_anew_stays(open_page: Callable[..., Page], team: Team) -> None:
    alice = open_page(team.alice, "/pipelines/brief/?node=write")
    dana = open_page(team.dana, "/pipelines/brief/?node=write")
    expect(alice.locator("#presence")).to_contain_text("Dana is")
    held = hold(alice, "**/step/?**")
    dana.locator("#step-title").fill("Dana's")
    expect(alice.locator("#node-write")).to_contain_text("Dana's")
    until(lambda: alice.wait_for_timeout(20) is None and len(held) == 1)
    alice.locator("#step-title").fill("Alice's")
    with alice.expect_response("**/step/?**"):
        let_go(held[0])
    expect(alice.locator("#inspector").get_by_role("button", name="Show it as it is now")).to_be_visible()
    expect(alice.locator("#step-title")).to_have_value("Alice's")
    expect(alice.locator("#step-title")).to_be_focused()
    assert Draft.objects.get().document["graph"]["nodes"]["write"]["title"] == "Dana's"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_colleague_a_conflict_values_to_pick_and_a_server_that_is_away_break_no_rule(
    open_page: Callable[..., Page], team: Team, live_stack: LiveStack, theme: str
) -> None:
    alice = open_page(team.alice, "/pipelines/brief/?node=write", color_scheme=theme, bypass_csp=True)
    audit = Audit(alice)
    alice.locator("#inspector [data-pick] summary").first.click()
    expect(alice.locator("#inspector [data-pick] .value-list button").first).to_be_visible()
    audit.look("values to pick")
    alice.locator("#step-title").focus()
    dana = open_page(team.dana, "/pipelines/brief/?node=write")
    expect(alice.locator('#node-write[data-held-by="Dana"]')).to_be_visible()
    audit.look("a colleague on the same step")
    dana.locator("#step-title").fill("Dana's")
    expect(alice.locator("#node-write")).to_contain_text("Dana's")
    alice.keyboard.type("Alice's")
    expect(alice.locator("#toasts")).to_contain_text("Dana changed the step")
    expect(alice.get_by_role("button", name="Show it as it is now")).to_be_visible()
    audit.look("a conflict")
    live_stack.web.stop(10)
    alice.locator("#node-start").focus()
    alice.keyboard.press("a")
    alice.keyboard.type("transform")
    alice.keyboard.press("Enter")
    expect(alice.locator("#draft-waits")).to_have_text("1 change waits for Baton", timeout=20_000)
    audit.look("a change that waits for a server that is away")
    live_stack.start()
    expect(alice.locator("#node-transform")).to_be_visible(timeout=30_000)
    audit.look("back again")
    assert audit.found == []


def test_a_colleagues_cap_of_a_run_stands_though_the_form_of_settings_was_open(
    open_page: Callable[..., Page], team: Team
) -> None:
    alice = open_page(team.alice, "/pipelines/brief/")
    dana = open_page(team.dana, "/pipelines/brief/")
    cap = '#inspector [name="f.budget.max_cost_usd"]'
    expect(alice.locator("#presence")).to_contain_text("Dana is here")
    dana.locator(cap).fill("0.20")
    expect(alice.locator(cap)).to_have_value("0.20")
    alice.locator('#inspector [name="f.description"]').focus()
    with alice.expect_response("**/news/**"):
        dana.locator(cap).fill("0.10")
        dana.locator(cap).blur()
    alice.keyboard.type("What for")
    expect(dana.locator('#inspector [name="f.description"]')).to_have_value("What for")
    expect(alice.locator(cap)).to_have_value("0.10")
    document = Draft.objects.get().document
    assert (document["description"], document["budget"]) == ("What for", {"max_cost_usd": "0.10"})
