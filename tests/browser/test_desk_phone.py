"""The decision page with one hand, on a phone of 390 px: what decides is under the thumb, and nothing is too small."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from accounts.models import User
from accounts.roles import Role
from approvals.models import Approval
from pipelines.graph.canonical import digest
from runs.models import Run
from tests.approvals.builders import EMAIL, a_question, an_approval
from tests.browser import test_axe_desk_states as states
from tests.browser.desk import PHONE, WIDE, OpenPage
from tests.pages.builders import World
from tests.people import a_member

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
THUMB = 44
LOWER_HALF = PHONE["height"] / 2
LONG = {**EMAIL, "args": {**EMAIL["args"], "body": "A long letter, line by line.\n" * 120, "subject": "x" * 200}}
Box = dict[str, float]


def a_long_one(world: World, ben: User) -> Approval:
    return an_approval(world.run, payload=LONG, payload_hash=digest(LONG))


def about_money(world: World, ben: User) -> Approval:
    return a_question(world.run, "budget", payload={"add_usd": "2.00"}, roles=["manager"])


DECIDED_BY: dict[str, tuple[Callable[[World, User], Approval], tuple[str, ...]]] = {
    "undecided": (states.undecided, ("Approve", "Edit…", "Reject…")),
    "a long letter": (a_long_one, ("Approve", "Edit…", "Reject…")),
    "part of a quorum": (states.quorum_partly_met, ("Approve", "Reject…")),
    "held": (states.held_and_mine, ("Take my approval back",)),
    "held by another": (states.held_by_another, ("Reject…",)),
    "about money": (about_money, ("Continue the run", "End the run…")),
    "a step failed": (states.a_step_failed, ("Try again", "Use an output…", "Skip the step", "Stop the run")),
    "nobody knows": (states.nobody_knows, ("send it again", "It happened…", "Skip the step", "Stop the run")),
    "an answer": (states.an_answer_is_asked_for, ("Send the answer",)),
}


@pytest.fixture
def ben(world: World) -> User:
    return a_member(world.team.workspace, "ben", Role.REVIEWER)


def box(found: Locator) -> Box:
    seen = found.bounding_box()
    assert seen, found
    return {**seen, "bottom": seen["y"] + seen["height"], "right": seen["x"] + seen["width"]}


def control(page: Page, words: str) -> Locator:
    return page.locator("#acts > form > button, #acts > details > summary").filter(has_text=words)


@pytest.mark.parametrize("name", DECIDED_BY)
def test_what_decides_is_under_the_thumb_wherever_one_has_read_to(
    open_page: OpenPage, world: World, ben: User, name: str
) -> None:
    make, words = DECIDED_BY[name]
    who = world.team.carol if name == "about money" else world.team.bob
    page = open_page(f"/approvals/{make(world, ben).pk}/", who, viewport=PHONE, has_touch=True, is_mobile=True)
    for share in (0, 0.5, 1):
        page.evaluate("share => scrollTo(0, share * document.documentElement.scrollHeight)", share)
        for word in words:
            expect(control(page, word)).to_be_in_viewport(ratio=1)
            place = box(control(page, word))
            assert place["y"] >= LOWER_HALF, (name, word, place)
            assert place["height"] >= THUMB, (name, word, place)
            assert place["width"] >= THUMB, (name, word, place)
            assert is_on_top(page, place), (name, word)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("name", DECIDED_BY)
def test_nothing_to_press_or_fill_in_is_too_small_for_a_thumb(
    open_page: OpenPage, world: World, ben: User, name: str
) -> None:
    make, _ = DECIDED_BY[name]
    who = world.team.carol if name == "about money" else world.team.bob
    page = open_page(f"/approvals/{make(world, ben).pk}/", who, viewport=PHONE, has_touch=True, is_mobile=True)
    small = [found for found in targets(page) if found["width"] < THUMB or found["height"] < THUMB]
    assert small == []


def test_the_last_lines_are_not_behind_what_decides(open_page: OpenPage, world: World, ben: User) -> None:
    page = open_page(f"/approvals/{a_long_one(world, ben).pk}/", viewport=PHONE, has_touch=True, is_mobile=True)
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    last = box(page.locator("main > .card.body"))
    assert last["bottom"] <= box(page.locator("#acts"))["y"]


def test_a_rejection_is_written_and_sent_with_one_thumb(open_page: OpenPage, world: World, ben: User) -> None:
    asked = a_long_one(world, ben)
    page = open_page(f"/approvals/{asked.pk}/", viewport=PHONE, has_touch=True, is_mobile=True)
    control(page, "Reject…").tap()
    reason, send = page.get_by_label("Why? The step is told."), page.locator("#acts details[open] form button")
    for one in (reason, send):
        expect(one).to_be_in_viewport(ratio=1)
        place = box(one)
        assert place["height"] >= THUMB
        assert place["y"] >= LOWER_HALF, place
    reason.fill("It is far too long.")
    send.tap()
    expect(page.locator("#toasts")).to_contain_text("Rejected:")
    asked.refresh_from_db()
    assert asked.state == "rejected"


def test_an_edit_fits_the_phone_and_its_button_can_be_reached(open_page: OpenPage, world: World, ben: User) -> None:
    asked = a_long_one(world, ben)
    page = open_page(f"/approvals/{asked.pk}/", viewport=PHONE, has_touch=True, is_mobile=True)
    control(page, "Edit…").tap()
    page.get_by_label("Subject").fill("Shorter")
    send = page.get_by_role("button", name="Approve the edit")
    send.scroll_into_view_if_needed()
    expect(send).to_be_in_viewport(ratio=1)
    assert box(send)["height"] >= THUMB
    send.tap()
    expect(page.locator("#toasts")).to_contain_text("Approved:")
    asked.refresh_from_db()
    assert (asked.state, asked.payload["args"]["subject"]) == ("approved", "Shorter")


def is_on_top(page: Page, place: Box) -> bool:
    """Tell whether a finger in the middle of it meets it, and not something that lies above."""
    middle = [place["x"] + place["width"] / 2, place["y"] + place["height"] / 2]
    return bool(page.evaluate("([x, y]) => !!document.elementFromPoint(x, y)?.closest('#acts')", middle))


def targets(page: Page) -> list[dict[str, Any]]:
    """Return what can be pressed or filled in on the page, but for links within text, which may be as high as it."""
    found: list[dict[str, Any]] = page.evaluate(
        """() => [...document.querySelectorAll(
            "main :is(button, summary, select, textarea, input:not([type=hidden])), .bar .btn, .tabbar a, main a.btn")]
          .filter(one => one.checkVisibility({visibilityProperty: true}) && one.getClientRects().length)
          .map(one => ({what: one.outerHTML.slice(0, 80), ...((({width, height}) => ({width, height}))(
            one.getBoundingClientRect()))}))"""
    )
    return found


def test_why_a_run_stopped_is_read_and_acted_on_without_moving_sideways(open_page: OpenPage, world: World) -> None:
    words = "The next call may cost $0.50; $0.10 is left of the cap of this run."
    error = {"class": "budget", "code": "run_cap", "message": words, "path": "send"}
    Run.objects.filter(pk=world.run.pk).update(state="failed", reason="budget", error=error)
    page = open_page(f"/runs/{world.run.pk}/", world.team.alice, viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert box(page.locator("#run-error .ask > .grow"))["width"] > PHONE["width"] * 0.7
    for name in ("See the step", "Fix in the editor"):
        assert box(page.locator("#run-error").get_by_role("link", name=name))["right"] <= PHONE["width"]


def test_a_decided_question_has_nothing_below_it_to_scroll_to(open_page: OpenPage, world: World, ben: User) -> None:
    page = open_page(f"/approvals/{states.approved(world, ben).pk}/", viewport=PHONE, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollHeight") <= max(
        PHONE["height"], box(page.locator("main > .card.body"))["bottom"] + 100
    )


@pytest.mark.parametrize("viewport", [PHONE, WIDE], ids=["phone", "wide"])
def test_no_word_beside_a_field_of_what_decides_is_broken(
    open_page: OpenPage, world: World, ben: User, viewport: dict[str, int]
) -> None:
    show = {"spent_usd": "0.9", "cap_usd": "1", "cap": "workspace_cap"}
    asked = a_question(world.run, "budget", payload={"add_usd": "2.00"}, roles=["manager"], show=show)
    page = open_page(f"/approvals/{asked.pk}/", world.team.carol, viewport=viewport)
    for name in ("Add $", "Why"):
        label = page.locator("#acts > form label").filter(has_text=name)
        assert box(label)["height"] <= box(label.locator("input"))["height"] + 1, name


def test_an_answers_fields_leave_what_it_is_about_to_be_read(open_page: OpenPage, world: World, ben: User) -> None:
    asked = states.an_answer_is_asked_for(world, ben)
    page = open_page(f"/approvals/{asked.pk}/", viewport=PHONE, has_touch=True, is_mobile=True)
    assert box(page.get_by_label("Your note"))["y"] >= box(page.locator("main > .card.body"))["bottom"]
    page.get_by_label("Your note").fill("The warm one.")
    control(page, "Send the answer").tap()
    expect(page.locator("#toasts")).to_contain_text("Answered:")
    asked.refresh_from_db()
    assert asked.state == "answered"
