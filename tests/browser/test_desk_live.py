"""Several reviewers at one question, each in a browser of their own, on the real web server and its sockets."""

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from playwright.sync_api import Page, expect

from accounts.models import User
from accounts.roles import Role
from approvals.models import Approval
from runs.models import Run
from runs.services import Order, start_run
from tests.browser.canvas import OpenDesk
from tests.conftest import LiveStack, wait_for
from tests.evals.builders import an_echo
from tests.people import Team, a_member, a_team, acting

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
ASK = {"kind": "human", "mode": "approve", "title": "Say hello to Ana?", "roles": ["reviewer"]}
Follow = Callable[[User, str], Page]


@pytest.fixture
def team(live_stack: LiveStack) -> Team:
    return a_team()


@pytest.fixture
def ben(team: Team) -> User:
    return a_member(team.workspace, "ben", Role.REVIEWER)


@pytest.fixture
def asked(team: Team, live_stack: LiveStack) -> Approval:
    """Return the question of a run that a worker has brought to where a person is asked."""
    run = start_run(acting(team.alice), an_echo(team, "greeting", ask=ASK), Order({"text": "Hello"}))
    wait_for(lambda: Approval.objects.filter(run=run).exists(), 60, live_stack.logs)
    return Approval.objects.get(run=run)


@pytest.fixture
def follow(open_live: OpenDesk, live_stack: LiveStack) -> Follow:
    """Return a function that opens a page and waits until its socket has said its first word."""

    def opened(user: User, path: str) -> Page:
        page, frames = open_live(user, "/login/"), list[Any]()

        def heard(frame: Any) -> None:  # the driver marks the function, so it may be no method of a list
            frames.append(frame)

        page.on("websocket", lambda socket: socket.on("framereceived", heard))
        page.goto(f"{live_stack.url}{path}")
        wait_for(lambda: page.wait_for_timeout(20) is None and bool(frames), 20, live_stack.logs)
        page.evaluate("window.isTheSamePage = true")
        return page

    return opened


def is_the_same(page: Page) -> bool:
    """Tell whether nobody has loaded the page anew."""
    return bool(page.evaluate("window.isTheSamePage === true"))


def test_deciding_in_one_browser_changes_inbox_and_decision_page_of_another(
    follow: Follow, team: Team, ben: User, asked: Approval, live_stack: LiveStack
) -> None:
    address = f"/approvals/{asked.pk}/"
    inbox, page = follow(ben, "/approvals/"), follow(ben, address)
    expect(inbox.locator(".ap")).to_have_count(1)
    expect(inbox.locator("#pane #acts")).to_be_visible()
    expect(page.locator("#acts")).to_be_visible()

    mine = follow(team.bob, address)
    mine.locator("#acts [data-key=a]").click()
    expect(mine.locator("#toasts")).to_contain_text("Approved:")

    expect(page.locator("[data-stands-news]")).to_contain_text("Bob already approved this at", timeout=10_000)
    expect(page.locator("#acts, [data-while-open]")).to_have_count(0)
    expect(page.locator("main")).not_to_contain_text("Needs you")
    expect(inbox.locator(".ap:not(.done)")).to_have_count(0, timeout=10_000)
    expect(inbox.locator(".ap.done")).to_contain_text("by Bob at")
    expect(inbox.locator("#pane #acts")).to_have_count(0)
    expect(inbox.locator("#pane")).to_contain_text("Bob approved")
    assert is_the_same(page)
    assert is_the_same(inbox)
    wait_for(lambda: Run.objects.get(pk=asked.run_id).state == "succeeded", 60, live_stack.logs)


def test_a_claim_and_a_question_of_one_are_seen_by_the_other_while_both_read(
    follow: Follow, team: Team, ben: User, asked: Approval
) -> None:
    address = f"/approvals/{asked.pk}/"
    page, mine = follow(ben, address), follow(team.bob, address)
    mine.get_by_role("button", name="I am on it").click()
    expect(page.locator("[data-stands-news]")).to_contain_text("Bob is on it.", timeout=10_000)
    expect(page.locator("#acts")).to_be_visible()
    assert is_the_same(page)


def test_a_page_follows_on_when_its_person_showed_again_who_they_are_in_another_tab(
    follow: Follow, team: Team, ben: User, asked: Approval, live_stack: LiveStack
) -> None:
    address = f"/approvals/{asked.pk}/"
    page = follow(ben, address)
    [cookie] = [one for one in page.context.cookies() if one.get("name") == settings.SESSION_COOKIE_NAME]
    session = SessionStore(str(cookie.get("value")))
    session.cycle_key()
    with page.expect_websocket(timeout=20_000):
        new = {"name": settings.SESSION_COOKIE_NAME, "value": str(session.session_key), "url": live_stack.url}
        page.context.add_cookies([new])  # type: ignore[list-item]
    follow(team.bob, address).get_by_role("button", name="I am on it").click()
    expect(page.locator("[data-stands-news]")).to_contain_text("Bob is on it.", timeout=10_000)
    assert is_the_same(page)


def test_who_answers_a_moment_too_late_is_told_who_was_first(
    follow: Follow, team: Team, ben: User, asked: Approval
) -> None:
    """The news has not come yet, since the other browser is offline while bob decides."""
    address = f"/approvals/{asked.pk}/"
    page, mine = follow(ben, address), follow(team.bob, address)
    page.context.set_offline(True)
    mine.locator("#acts [data-key=a]").click()
    expect(mine.locator("#toasts")).to_contain_text("Approved:")
    page.context.set_offline(False)
    page.evaluate("document.querySelector('#acts form').submit()")
    expect(page.get_by_role("alert")).to_contain_text("Bob already approved this at")
    assert Approval.objects.get(pk=asked.pk).decisions.count() == 1
