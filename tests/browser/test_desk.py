"""The inbox in a real browser: triage by keyboard, light questions together, and a list that follows by itself."""

import pytest
from playwright.sync_api import expect

from accounts.roles import Role
from approvals import services
from approvals.models import Approval, DecisionRecord
from tests.approvals.builders import EMAIL, a_rule, an_approval, approve
from tests.browser.desk import PHONE, OpenPage, changed
from tests.browser.holding import hold, let_go
from tests.conftest import wait_for
from tests.pages.builders import World
from tests.pages.test_desk import a_note
from tests.people import a_member, acting

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def state_of(approval: Approval) -> str:
    approval.refresh_from_db()
    return approval.state


def test_the_keyboard_goes_down_the_list_approves_one_and_rejects_the_next(open_page: OpenPage, world: World) -> None:
    payload = {"tool": "email.send@1", "args": {"to": "second@example.com", "subject": "Hi", "body": "Hello."}}
    second = an_approval(world.run, payload=payload, expires=90_000)
    page = open_page("/approvals/")
    expect(page.locator("#pane h2")).to_contain_text("ana@northwind.example")
    page.keyboard.press("j")
    expect(page.locator("#pane h2")).to_contain_text("second@example.com")
    page.keyboard.press("k")
    expect(page.locator("#pane h2")).to_contain_text("ana@northwind.example")
    page.keyboard.press("j")
    expect(page.locator("#pane h2")).to_contain_text("second@example.com")
    page.keyboard.press("a")
    expect(page.get_by_role("dialog")).to_contain_text("second@example.com")
    page.keyboard.press("Enter")
    expect(page.locator("#toasts")).to_contain_text("Approved: Send an email to second@example.com")
    assert state_of(second) == "approved"
    page.goto(page.url.split("/approvals/")[0] + "/approvals/")
    page.keyboard.press("r")
    page.keyboard.type("The wrong person.")
    page.locator("#pane details[open] button").click()
    expect(page.locator("#toasts")).to_contain_text("Rejected:")
    assert state_of(world.approval) == "rejected"
    assert DecisionRecord.objects.get(decision="reject").reason == "The wrong person."


def test_e_opens_a_group_x_ticks_in_it_and_a_approves_what_is_ticked(open_page: OpenPage, world: World) -> None:
    notes = [a_note(world, text, expires=90_000) for text in ("one", "two", "three")]
    page = open_page("/approvals/?risk=lo")
    expect(page.locator("#bulk")).to_be_hidden()
    page.keyboard.press("j")
    page.keyboard.press("e")
    expect(page.locator("details[data-more]")).to_have_attribute("open", "")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator("#bulk")).to_contain_text("2 chosen")
    page.keyboard.press("a")
    page.get_by_role("dialog").get_by_role("button", name="Approve them").click()
    expect(page.locator("#toasts")).to_contain_text("2 questions, each recorded by itself")
    assert sorted(state_of(one) for one in notes) == ["approved", "approved", "open"]
    assert DecisionRecord.objects.count() == 2


def test_the_list_follows_and_keeps_what_is_ticked(open_page: OpenPage, world: World) -> None:
    for text in ("one", "two"):
        a_note(world, text, expires=90_000)
    page = open_page("/approvals/")
    page.locator("details[data-more] summary").click()
    page.locator("[data-pick]").first.check()
    a_note(world, "three", expires=91_000)
    changed(page)
    expect(page.locator("[data-pick]")).to_have_count(3)
    expect(page.locator("#bulk")).to_contain_text("1 chosen")
    expect(page.locator("details[data-more]")).to_have_attribute("open", "")
    expect(page.locator(".ap.on")).to_have_count(1)


def test_a_key_answers_no_question_but_the_chosen_one(open_page: OpenPage, world: World) -> None:
    notes = [a_note(world, text, risk=risk) for text, risk in (("one", "lo"), ("two", "hi"))]
    page = open_page("/approvals/?view=all")
    page.keyboard.press("j")
    expect(page.locator("#pane [data-key=a]").first).to_be_visible()
    held = hold(page, "**/approvals/*-*-*/**")
    page.keyboard.press("j")
    wait_for(lambda: page.wait_for_timeout(20) is None and bool(held), 10)
    page.keyboard.press("a")
    expect(page.locator("#pane")).to_have_attribute("inert", "")
    expect(page.locator("dialog[open]")).to_have_count(0)
    held[0].continue_()
    expect(page.locator("#pane")).not_to_have_attribute("inert", "")
    assert [state_of(one) for one in notes] == ["open", "open"]


def test_a_list_that_comes_late_keeps_what_was_ticked_meanwhile(open_page: OpenPage, world: World) -> None:
    for text in ("one", "two"):
        a_note(world, text, expires=90_000)
    page = open_page("/approvals/")
    page.locator("details[data-more] summary").click()
    held = hold(page, "**/approvals/*part=list*")
    changed(page)
    wait_for(lambda: page.wait_for_timeout(20) is None and bool(held), 10)
    page.locator("[data-pick]").first.check()
    with page.expect_response("**/approvals/*part=list*"):
        held[0].continue_()
    page.wait_for_timeout(200)
    expect(page.locator("#bulk")).to_contain_text("1 chosen")


def test_who_was_first_is_said_where_somebody_else_still_reads(open_page: OpenPage, world: World) -> None:
    ben = acting(a_member(world.team.workspace, "ben", Role.REVIEWER))
    inbox, page = open_page("/approvals/"), open_page(f"/approvals/{world.approval.pk}/")
    services.decide(ben, world.approval.pk, approve(world.approval))
    changed(page)
    expect(page.locator("[data-stands-news]")).to_contain_text("Ben already approved this at")
    expect(page.locator("#acts")).to_have_count(0)
    changed(inbox)
    expect(inbox.locator("#pane")).to_contain_text("Ben approved")
    expect(inbox.locator("#acts")).to_have_count(0)


def test_what_is_being_written_is_not_taken_away_by_the_news(open_page: OpenPage, world: World) -> None:
    page = open_page("/approvals/")
    page.keyboard.press("r")
    page.keyboard.type("Because")
    services.claim(acting(a_member(world.team.workspace, "ben", Role.REVIEWER)), world.approval.pk)
    changed(page)
    expect(page.locator("[data-stands-news]")).to_contain_text("Ben is on it.")
    expect(page.locator("#pane details[open] textarea")).to_have_value("Because")


def test_news_of_a_question_that_the_reader_has_left_does_not_bring_it_back(open_page: OpenPage, world: World) -> None:
    payload = {"tool": "email.send@1", "args": {"to": "second@example.com", "subject": "Hi", "body": "Hello."}}
    second = an_approval(world.run, payload=payload, expires=90_000)
    page = open_page("/approvals/")
    expect(page.locator("#pane h2")).to_contain_text("ana@northwind.example")
    asked, brought = hold(page, "**/stands/"), hold(page, f"**/approvals/{second.pk}/")
    changed(page)
    wait_for(lambda: page.wait_for_timeout(20) is None and bool(asked), 10)
    services.claim(acting(a_member(world.team.workspace, "ben", Role.REVIEWER)), world.approval.pk)
    page.keyboard.press("j")
    wait_for(lambda: page.wait_for_timeout(20) is None and bool(brought), 10)
    with page.expect_response("**/stands/"):
        asked[0].continue_()
    page.wait_for_timeout(200)
    let_go(brought[0])
    expect(page.locator("#pane h2")).to_contain_text("second@example.com")
    expect(page.locator(".ap.on")).to_have_attribute("data-question", str(second.pk))


@pytest.mark.parametrize("late", ["**/stands/", "**/approvals/{pk}/"])
def test_a_dialog_that_opens_before_the_news_comes_still_sends_its_form(
    open_page: OpenPage, world: World, late: str
) -> None:
    page = open_page("/approvals/")
    expect(page.locator("#pane #acts")).to_be_visible()
    held = hold(page, late.format(pk=world.approval.pk))
    services.claim(acting(a_member(world.team.workspace, "ben", Role.REVIEWER)), world.approval.pk)
    changed(page)
    wait_for(lambda: page.wait_for_timeout(20) is None and bool(held), 10)
    page.keyboard.press("a")
    expect(page.get_by_role("dialog")).to_be_visible()
    let_go(held.pop())
    expect(page.locator("[data-stands-news]")).to_contain_text("Ben is on it.")
    page.keyboard.press("Enter")

    def is_approved() -> bool:
        page.wait_for_timeout(20)
        while held:
            let_go(held.pop())
        return state_of(world.approval) == "approved"

    wait_for(is_approved, 10)


def test_a_dialog_that_is_left_makes_room_for_the_news(open_page: OpenPage, world: World) -> None:
    page = open_page("/approvals/")
    page.keyboard.press("a")
    expect(page.get_by_role("dialog")).to_be_visible()
    ben = acting(a_member(world.team.workspace, "ben", Role.REVIEWER))
    services.decide(ben, world.approval.pk, approve(world.approval))
    changed(page)
    expect(page.locator("[data-stands-news]")).to_contain_text("Ben already approved this at")
    page.keyboard.press("Escape")
    expect(page.locator("#pane")).to_contain_text("Ben approved")
    expect(page.locator("#acts")).to_have_count(0)


def test_a_person_takes_back_what_was_approved_a_moment_ago(open_page: OpenPage, world: World) -> None:
    a_rule(world.team.workspace, {"roles": ["reviewer"]}, hold=600)
    held = an_approval(world.run, payload=EMAIL)
    page = open_page(f"/approvals/{held.pk}/", viewport=PHONE)
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(page.locator("#acts")).to_contain_text("until then you can take it back")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert state_of(held) == "open"
    page.get_by_role("button", name="Take my approval back").click()
    expect(page.get_by_role("button", name="Approve", exact=True)).to_be_visible()
    held.refresh_from_db()
    assert held.held_until is None


def test_a_colleague_is_asked_and_answers_beside_the_question(open_page: OpenPage, world: World) -> None:
    asked = an_approval(world.run, payload=EMAIL)
    page = open_page(f"/approvals/{asked.pk}/")
    page.get_by_text("Ask for information…").click()
    page.get_by_label("What do you need to know?").fill("Is Ana still there?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("main")).to_contain_text("asks Alice, not answered yet: Is Ana still there?")
    other = open_page("/approvals/", world.team.alice)
    expect(other.get_by_role("heading", name="Somebody asks you")).to_be_visible()
    other.goto(page.url)
    other.get_by_label("Comment").fill("Yes, since May.")
    other.get_by_role("button", name="Comment").click()
    expect(other.locator("main")).to_contain_text("asks Alice, answered: Is Ana still there?")


@pytest.mark.parametrize("script", [True, False])
def test_an_edit_that_came_too_late_is_still_there_to_be_read(open_page: OpenPage, world: World, script: bool) -> None:
    ben = a_member(world.team.workspace, "ben", Role.REVIEWER)
    asked = an_approval(world.run, min_approvals=2)
    page = open_page(f"/approvals/{asked.pk}/", java_script_enabled=script)
    page.get_by_text("Edit…").click()
    page.get_by_label("Subject").fill("Good evening")
    services.decide(acting(ben), asked.pk, approve(asked))
    page.get_by_role("button", name="Approve the edit").click()
    expect(page.get_by_role("alert")).to_contain_text("Somebody has approved this already")
    expect(page.get_by_label("Subject")).to_have_value("Good evening")
    expect(page.locator("dl.dl")).not_to_contain_text("Good evening")
