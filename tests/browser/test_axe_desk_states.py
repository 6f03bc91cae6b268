"""Accessibility of the decision page in each state that a question can be in, light and dark, wide and on a phone."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User
from accounts.roles import Role
from approvals import services
from approvals.models import Approval, Rule
from approvals.policy import Decision
from pipelines.graph.canonical import digest
from tests.approvals.builders import EMAIL, a_question, a_rule, an_approval, approve, away, wait
from tests.browser.desk import PHONE, WIDE, OpenPage, changed
from tests.browser.test_axe_states import THEMES, Audit
from tests.pages.builders import World
from tests.people import a_member, acting

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.timeout(240)]

OTHER = {**EMAIL, "args": {**EMAIL["args"], "body": "Good evening, Ana."}}
SIZES = pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
State = Callable[[World, User], Approval]


def undecided(world: World, ben: User) -> Approval:
    return an_approval(world.run)


def claimed_by_another(world: World, ben: User) -> Approval:
    return services.claim(acting(ben), an_approval(world.run).pk)


def claimed_by_me(world: World, ben: User) -> Approval:
    return services.claim(acting(world.team.bob), an_approval(world.run).pk)


def handed_over(world: World, ben: User) -> Approval:
    return services.assign(acting(world.team.bob), an_approval(world.run).pk, ben.email)


def four_eyes(world: World, ben: User) -> Approval:
    """Bob edited the version that the run uses."""
    barred = an_approval(world.run)
    Approval.objects.filter(pk=barred.pk).update(barred=[world.team.bob.pk])
    return barred


def approved(world: World, ben: User) -> Approval:
    return decided(world, ben, "approve")


def rejected(world: World, ben: User) -> Approval:
    return decided(world, ben, "reject")


def decided(world: World, ben: User, choice: str) -> Approval:
    asked = an_approval(world.run)
    return services.decide(acting(ben), asked.pk, Decision(choice, asked.payload_hash, reason="Not today."))


def expired(world: World, ben: User) -> Approval:
    late = an_approval(world.run, expires=1)
    wait(late, late.expires_at - late.created_at)
    return late


def withdrawn(world: World, ben: User) -> Approval:
    asked = an_approval(world.run)
    Approval.objects.filter(pk=asked.pk).update(state="cancelled", decided_at=asked.created_at)
    return asked


def quorum_partly_met(world: World, ben: User) -> Approval:
    asked = an_approval(world.run, min_approvals=3)
    return services.decide(acting(ben), asked.pk, approve(asked))


def my_part_of_a_quorum(world: World, ben: User) -> Approval:
    asked = an_approval(world.run, min_approvals=2)
    return services.decide(acting(world.team.bob), asked.pk, approve(asked))


def needs_of_a_rule(world: World, ben: User) -> Approval:
    a_rule(world.team.workspace, {"roles": ["manager"], "within": 600}, {"roles": ["admin"]}, least=2)
    return an_approval(world.run)


def held_and_mine(world: World, ben: User) -> Approval:
    return held(world, world.team.bob)


def held_by_another(world: World, ben: User) -> Approval:
    return held(world, ben)


def held(world: World, by: User) -> Approval:
    Rule.objects.all().delete()
    a_rule(world.team.workspace, {"roles": ["reviewer"]}, hold=600)
    asked = an_approval(world.run)
    found = services.decide(acting(by), asked.pk, approve(asked))
    assert found.held_until
    return found


def asked_for_information(world: World, ben: User) -> Approval:
    asked = an_approval(world.run)
    services.ask(acting(world.team.bob), asked.pk, "Is Ana still there?", world.team.alice.email)
    services.comment(acting(world.team.alice), asked.pk, "Since May.")
    services.ask(acting(world.team.bob), asked.pk, "And Tom?", world.team.alice.email)
    return asked


def edited(world: World, ben: User) -> Approval:
    asked = an_approval(world.run, min_approvals=2)
    return services.decide(acting(ben), asked.pk, approve(asked, payload=OTHER, payload_hash=asked.payload_hash))


def with_a_precedent(world: World, ben: User) -> Approval:
    Rule.objects.all().delete()
    approved(world, ben)
    return an_approval(world.run, payload=OTHER, payload_hash=digest(OTHER))


def in_the_place_of_another(world: World, ben: User) -> Approval:
    away(ben, world.team.bob, world.team.workspace)
    return an_approval(world.run, people=[ben.email], roles=[])


def a_step_failed(world: World, ben: User) -> Approval:
    return a_question(world.run, "failure", show={"error": {"message": "The server said no."}})


def nobody_knows(world: World, ben: User) -> Approval:
    return an_approval(world.run, kind="outcome_unknown")


def an_answer_is_asked_for(world: World, ben: User) -> Approval:
    form = {"type": "object", "properties": {"note": {"type": "string", "title": "Your note"}}, "required": ["note"]}
    return a_question(world.run, "answer", form=form)


STATES: tuple[State, ...] = (
    *(undecided, claimed_by_another, claimed_by_me, handed_over, four_eyes, approved, rejected, expired, withdrawn),
    *(quorum_partly_met, my_part_of_a_quorum, needs_of_a_rule, held_and_mine, held_by_another, asked_for_information),
    *(edited, with_a_precedent, in_the_place_of_another, a_step_failed, nobody_knows, an_answer_is_asked_for),
)
SAYS = {
    "undecided": "Needs you",
    "claimed_by_another": "Ben",
    "four_eyes": "somebody else has to answer",
    "approved": "Ben approved",
    "rejected": "Not today.",
    "expired": "Expired",
    "quorum_partly_met": "1 of 3",
    "held_and_mine": "until then you can take it back",
    "held_by_another": "unless somebody rejects it",
    "asked_for_information": "not answered yet",
    "edited": "What a person changed",
    "with_a_precedent": "Since the last one like it",
}


@pytest.fixture
def ben(world: World) -> User:
    return a_member(world.team.workspace, "ben", Role.REVIEWER)


@SIZES
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("states", [STATES[:11], STATES[11:]], ids=["plain states", "further states"])
def test_no_state_of_a_question_breaks_a_rule(
    open_page: OpenPage, world: World, ben: User, theme: str, viewport: dict[str, int], states: tuple[State, ...]
) -> None:
    page = open_page("/approvals/", viewport=viewport, color_scheme=theme, bypass_csp=True)
    audit = Audit(page)
    site = page.url.removesuffix("/approvals/")
    for state in states:
        page.goto(f"{site}/approvals/{state(world, ben).pk}/")
        expect(page.locator("main")).to_contain_text(SAYS.get(state.__name__, ""))
        look(audit, state.__name__)
    assert audit.found == []


@SIZES
@pytest.mark.parametrize("theme", THEMES)
def test_what_opens_on_the_decision_page_breaks_no_rule(
    open_page: OpenPage, world: World, ben: User, theme: str, viewport: dict[str, int]
) -> None:
    asked = an_approval(world.run)
    page = open_page(f"/approvals/{asked.pk}/", viewport=viewport, color_scheme=theme, bypass_csp=True)
    audit = Audit(page)
    for name in ("Edit…", "Reject…", "Ask for information…"):
        page.get_by_text(name).click()
        look(audit, name)
        page.keyboard.press("Escape")
        expect(page.locator("details[open]")).to_have_count(0)
    page.keyboard.press("a")
    expect(page.get_by_role("dialog")).to_be_visible()
    look(audit, "the question before a key approves")
    page.keyboard.press("Escape")
    services.decide(acting(ben), asked.pk, approve(asked))
    changed(page)
    expect(page.locator("[data-stands-news]")).to_contain_text("Ben already approved this at")
    look(audit, "decided by another meanwhile")
    assert audit.found == []


@SIZES
@pytest.mark.parametrize("theme", THEMES)
def test_a_refused_answer_and_a_rejection_that_can_become_a_case_break_no_rule(
    open_page: OpenPage, world: World, ben: User, theme: str, viewport: dict[str, int]
) -> None:
    asked = an_approval(world.run)
    page = open_page(f"/approvals/{asked.pk}/", viewport=viewport, color_scheme=theme, bypass_csp=True)
    audit = Audit(page)
    services.decide(acting(ben), asked.pk, Decision("reject", asked.payload_hash, reason="Not today."))
    page.locator("#acts [data-key=a]").click()
    expect(page.get_by_role("alert")).to_contain_text("Ben already rejected this at")
    look(audit, "an answer that came second")
    other = open_page(
        f"/approvals/{asked.pk}/", world.team.alice, viewport=viewport, color_scheme=theme, bypass_csp=True
    )
    audit.page = other
    look(audit, "a rejection for who edits pipelines")
    other.get_by_role("link", name="Make it a test case").click()
    expect(other.get_by_role("heading", name="Save as a test case")).to_be_visible()
    look(audit, "the form of a test case")
    assert audit.found == []


def look(audit: Audit, state: str) -> None:
    """Let axe look, and see that nothing is wider than the page."""
    audit.look(state)
    if is_too_wide(audit.page):
        audit.found.append(f"{state}: scrolls sideways")


def is_too_wide(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))
