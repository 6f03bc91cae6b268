"""Going back and forth in a run by keyboard, while it runs and after."""

import re

import pytest
from playwright.sync_api import Page, expect

from runs.models import Event, Run
from tests.browser.canvas import OpenDesk, start_run
from tests.browser.holding import hold, let_go
from tests.browser.test_main_job import SignIn, press_run, sign_in, stack
from tests.conftest import LiveStack, wait_for
from tests.people import Team

pytestmark = pytest.mark.browser
__all__ = ["sign_in", "stack"]


def looks(page: Page) -> list[str]:
    """Return what every card says."""
    found: list[str] = page.locator("[id^='card-']").evaluate_all("all => all.map(one => one.innerText)")
    return found


def test_an_ended_run_is_gone_through_by_keyboard(stack: LiveStack, sign_in: SignIn) -> None:
    alice = sign_in("alice")
    run = press_run(alice, stack, "content-pipeline")
    expect(alice.locator("#strip")).to_contain_text("Done", timeout=40_000)
    last = Run.objects.get(pk=run.pk).seq
    moment, slider = alice.locator("#moment"), alice.get_by_role("slider", name="Moment of the run")
    expect(moment).to_contain_text(f"Event {last} of {last}")
    now = looks(alice)
    slider.focus()
    alice.keyboard.press("Home")
    expect(moment).to_contain_text(f"Event 1 of {last}")
    assert "at=1" in alice.url
    first_done = Event.objects.filter(run=run, type="step_succeeded").order_by("seq")[1]
    for _ in range(first_done.seq - 1):
        alice.keyboard.press("ArrowRight")
    expect(moment).to_contain_text(f"Event {first_done.seq} of {last}")
    expect(alice.locator(f"[id='card-{first_done.path}']")).to_contain_text("Done")
    expect(alice.locator("#run-state")).to_contain_text("Running")
    assert "is done" in (slider.get_attribute("aria-valuetext") or "")
    then = looks(alice)
    assert then != now
    alice.reload()
    expect(moment).to_contain_text(f"Event {first_done.seq} of {last}")
    assert looks(alice) == then
    slider.focus()
    alice.keyboard.press("End")
    expect(moment).to_contain_text(f"Event {last} of {last}")
    assert looks(alice) == now
    assert "at=" not in alice.url


def test_it_plays_to_the_end_by_itself(stack: LiveStack, sign_in: SignIn) -> None:
    alice = sign_in("alice")
    run = press_run(alice, stack, "one-agent")
    expect(alice.locator("#strip")).to_contain_text("Done", timeout=40_000)
    last = Run.objects.get(pk=run.pk).seq
    alice.get_by_role("button", name="Play", exact=True).click()
    expect(alice.get_by_role("button", name="Pause the replay")).to_be_visible()
    expect(alice.locator("#moment")).not_to_contain_text(f"Event {last} of {last}")
    alice.get_by_role("button", name="Speed").click()
    expect(alice.locator("#moment")).to_contain_text(f"Event {last} of {last}", timeout=20_000)
    expect(alice.get_by_role("button", name="Play", exact=True)).to_be_visible()


def test_who_looks_back_at_a_live_run_is_left_alone_and_finds_everything_at_the_end(
    stack: LiveStack, sign_in: SignIn
) -> None:
    alice = sign_in("alice")
    run = press_run(alice, stack, "content-pipeline")
    slider, moment = alice.get_by_role("slider", name="Moment of the run"), alice.locator("#moment")
    alice.wait_for_load_state("load")  # a key that comes before the page's script moves the slider alone
    expect(slider).to_have_attribute("max", re.compile(r"^([2-9]|\d\d)$"))  # of one event, the first is now
    slider.focus()
    alice.keyboard.press("Home")
    expect(moment).to_contain_text("Event 1 of")
    wait_for(lambda: Run.objects.get(pk=run.pk).state == "succeeded", 40, stack.logs)
    last = Run.objects.get(pk=run.pk).seq
    expect(slider).to_have_attribute("max", str(last), timeout=20_000)
    expect(moment).to_contain_text("Event 1 of")
    alice.keyboard.press("End")
    expect(moment).to_contain_text(f"Event {last} of {last}", timeout=10_000)
    expect(alice.locator("#strip")).to_contain_text("Done")
    seen = looks(alice)
    alice.reload()
    assert looks(alice) == seen


def test_a_moment_that_cannot_be_brought_leaves_the_page_where_it_is(
    open_desk: OpenDesk, desk_team: Team, live_stack: LiveStack
) -> None:
    alice = open_desk(desk_team.alice, "/")
    run = start_run(alice, live_stack)
    slider, moment = alice.get_by_role("slider", name="Moment of the run"), alice.locator("#moment")
    alice.wait_for_load_state("load")
    expect(slider).to_have_attribute("max", re.compile(r"^([2-9]|\d\d)$"))
    held = hold(alice, "**/at/?*")
    slider.focus()
    alice.keyboard.press("Home")
    wait_for(lambda: Run.objects.get(pk=run.pk).state == "succeeded", 40, live_stack.logs)
    last = str(Run.objects.get(pk=run.pk).seq)
    expect(slider).to_have_attribute("max", last, timeout=20_000)
    held.pop().abort()
    expect(alice.locator("#toasts")).to_contain_text("That moment of the run could not be brought.")
    expect(alice.locator("[data-replay]")).not_to_have_attribute("data-past", "")
    expect(alice.locator("#strip")).to_contain_text("Done")
    expect(moment).to_contain_text(f"Event {last} of {last}")
    expect(slider).to_have_value(last)
    now = looks(alice)

    alice.keyboard.press("Home")
    wait_for(lambda: alice.wait_for_timeout(20) is None and bool(held), 10)
    let_go(held.pop())
    expect(moment).to_contain_text("Event 1 of")
    alice.keyboard.press("ArrowRight")
    wait_for(lambda: alice.wait_for_timeout(20) is None and bool(held), 10)
    held.pop().fulfill(status=502)
    expect(slider).to_have_value("1")
    expect(moment).to_contain_text("Event 1 of")
    expect(alice.locator("[data-replay]")).to_have_attribute("data-past", "")
    alice.keyboard.press("End")
    wait_for(lambda: alice.wait_for_timeout(20) is None and bool(held), 10)
    let_go(held.pop())
    expect(moment).to_contain_text(f"Event {last} of {last}")
    assert looks(alice) == now
