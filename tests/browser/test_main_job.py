"""The main job as people do it: sign in, run, watch, approve on a phone, see it done and what it cost."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from django.core.management import call_command
from playwright.sync_api import BrowserContext, Page, expect

from accounts.access import actor_for
from accounts.models import User
from approvals import services
from approvals.models import Approval
from approvals.policy import Decision
from orchestrator_site.build import build_assets
from pipelines.graph.money import dollars
from runs.models import Call, LedgerEntry, Note, Run, Span, Step
from tests.conftest import LiveStack, wait_for
from tests.faults.stage import books_balance, finished_twice, has_no_gap

pytestmark = pytest.mark.browser

PASSWORD = "a long enough sentence"
DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
WHEN_THE_SERVER_IS_AWAY = ("WebSocket", "ERR_CONNECTION", "Failed to fetch")
SignIn = Callable[..., Page]


@pytest.fixture
def stack(live_stack: LiveStack, settings: object) -> LiveStack:
    build_assets()
    settings.SAMPLE_PASSWORD = PASSWORD  # type: ignore[attr-defined]
    call_command("load_sample", verbosity=0)
    return live_stack


@pytest.fixture
def sign_in(stack: LiveStack, new_context: Callable[..., BrowserContext]) -> Iterator[SignIn]:
    """Return a function that signs a person in, in a browser of their own; nothing may be said on the console."""
    said: list[str] = []

    def signed_in(name: str, viewport: dict[str, int] = DESK) -> Page:
        page = new_context(viewport=viewport).new_page()
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{stack.url}/login/")
        page.get_by_label("Email").fill(f"{name}@example.com")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page).to_have_url(f"{stack.url}/")
        return page

    yield signed_in
    assert [line for line in said if not any(words in line for words in WHEN_THE_SERVER_IS_AWAY)] == []


def press_run(page: Page, stack: LiveStack, slug: str) -> Run:
    """Fill in the sample data of a pipeline, press Run, and return the run whose page opened."""
    page.goto(f"{stack.url}/pipelines/{slug}/run/")
    page.get_by_text("Fill in sample data").click()
    page.locator("form").get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}/"))
    return Run.objects.get(pk=re.search(r"/runs/([0-9a-f-]{36})/", page.url).group(1))  # type: ignore[union-attr]


def test_a_mail_is_drafted_approved_on_a_phone_sent_and_paid_for(stack: LiveStack, sign_in: SignIn) -> None:
    alice = sign_in("alice")
    run = press_run(alice, stack, "prospect-outreach")
    banner = alice.locator("#asks")
    expect(banner).to_contain_text("Send an email to", timeout=20_000)

    bob = sign_in("bob", PHONE)
    bob.goto(f"{stack.url}/approvals/")
    bob.get_by_text("Send an email to").first.click()
    expect(bob.locator("body")).to_contain_text("This cannot be undone")
    assert not bob.evaluate("document.documentElement.scrollWidth > innerWidth")
    bob.get_by_role("button", name=re.compile("^Approve")).first.click()

    expect(alice.locator("body")).to_contain_text("Done", timeout=20_000)
    wait_for(lambda: Run.objects.get(pk=run.pk).state == "succeeded", 20, stack.logs)
    run = Run.objects.get(pk=run.pk)
    expect(alice.locator("#strip")).to_contain_text(f"${dollars(run.cost_micros)}", timeout=5_000)
    assert Call.objects.filter(run=run, name="email.send@1", state="finished").count() == 1
    assert Note.objects.filter(book="crm").count() == 1
    assert books_balance(run)
    assert has_no_gap(run)

    carol = sign_in("carol")
    carol.goto(f"{stack.url}/costs/")
    expect(carol.locator("main")).to_contain_text(f"${dollars(run.cost_micros)}")
    spans = Span.objects.filter(run=run, cost_micros__isnull=False).values_list("cost_micros", flat=True)
    settled = LedgerEntry.objects.filter(run=run, kind="settled").values_list("amount_micros", flat=True)
    assert sum(spans) == sum(settled) == run.cost_micros > 0


def test_the_starter_is_told_that_somebody_else_must_approve(stack: LiveStack, sign_in: SignIn) -> None:
    alice = sign_in("alice")
    run = press_run(alice, stack, "prospect-outreach")
    wait_for(lambda: Run.objects.get(pk=run.pk).state == "waiting", 20, stack.logs)
    alice.goto(f"{stack.url}/approvals/")
    expect(alice.get_by_role("button", name=re.compile("^Approve"))).to_have_count(0)


def test_a_run_goes_on_before_the_watchers_eyes_after_its_worker_was_killed(stack: LiveStack, sign_in: SignIn) -> None:
    alice = sign_in("alice")
    run = press_run(alice, stack, "content-pipeline")
    os.kill(stack.worker.pid or 0, signal.SIGKILL)
    time.sleep(1)
    stack.start()
    expect(alice.locator("#strip")).to_contain_text("Done", timeout=40_000)
    run = Run.objects.get(pk=run.pk)
    assert run.state == "succeeded"
    assert finished_twice(run) == []
    assert books_balance(run)


def test_a_page_catches_up_after_the_web_server_was_killed(stack: LiveStack, sign_in: SignIn) -> None:
    alice = sign_in("alice")
    run = press_run(alice, stack, "prospect-outreach")
    expect(alice.locator("#asks")).to_contain_text("Send an email to", timeout=20_000)
    os.kill(stack.web.pid or 0, signal.SIGKILL)
    question = Approval.objects.get(run=run)
    bob = actor_for(User.objects.get(email="bob@example.com"), "sample")
    services.decide(bob, question.pk, Decision("approve", payload_hash=question.payload_hash))
    wait_for(lambda: Run.objects.get(pk=run.pk).state == "succeeded", 20, stack.logs)
    stack.start()
    expect(alice.locator("#strip")).to_contain_text("Done", timeout=20_000)
    expect(alice.locator("#log-count")).to_have_text(str(Run.objects.get(pk=run.pk).seq))


def test_a_run_goes_on_from_a_step_with_words_by_hand_and_pays_only_for_the_rest(
    stack: LiveStack, sign_in: SignIn
) -> None:
    alice = sign_in("alice")
    first = press_run(alice, stack, "content-pipeline")
    wait_for(lambda: Run.objects.get(pk=first.pk).state == "succeeded", 30, stack.logs)
    alice.reload()
    alice.get_by_role("link", name="Edit the article").first.click()
    drawer = alice.locator("#drawer")
    expect(drawer).to_contain_text(re.compile(r"Reuses 2 paid steps and saves \$0\.\d+\."))
    drawer.get_by_role("button", name="Rerun from here").click()
    alice.wait_for_url(lambda url: str(first.pk) not in url)
    expect(alice.locator("#strip")).to_contain_text(f"#{first.number} saved $")
    expect(alice.locator("#run-state")).to_contain_text("Done", timeout=20_000)
    second = Run.objects.get(forked_from=first)
    whole = Run.objects.get(pk=first.pk).cost_micros
    assert (second.state, second.saved_micros + second.cost_micros) == ("succeeded", whole)
    assert books_balance(second)

    alice.get_by_role("link", name="Research the topic").first.click()
    expect(drawer).to_contain_text(f"Reused from run #{first.number}")
    drawer.get_by_role("link", name="Edit output…").click()
    alice.get_by_label("Output").fill("By hand.")
    alice.get_by_role("button", name="Start the run").click()
    expect(alice.locator("#run-state")).to_contain_text("Done", timeout=20_000)
    third = Run.objects.get(forked_from=second)
    assert Step.objects.get(run=third, node="research").output == "By hand."


def test_a_run_leads_to_the_runs_that_its_steps_started_and_back(stack: LiveStack, sign_in: SignIn) -> None:
    alice = sign_in("alice")
    run = press_run(alice, stack, "portfolio-review")
    wait_for(lambda: Run.objects.get(pk=run.pk).state == "succeeded", 60, stack.logs)
    strip = alice.locator("#strip")
    expect(strip).to_contain_text("3 runs", timeout=20_000)
    alice.goto(f"{stack.url}/runs/{run.pk}/step/?path=review%5B0%5D.analyse")
    alice.get_by_role("link", name=re.compile("^Company analysis #")).click()
    expect(alice.locator("#strip")).to_contain_text("Part of")
    expect(alice.locator("#strip")).to_contain_text("review[0].analyse")
    alice.locator("#strip").get_by_role("link", name=f"#{run.number}").click()
    expect(alice.locator("body")).to_contain_text("Runs it started")
    alice.goto(f"{stack.url}/runs/")
    expect(alice.locator("main")).not_to_contain_text("Company analysis")
    alice.get_by_text("With runs of steps").click()
    expect(alice.locator("main")).to_contain_text("Company analysis")
