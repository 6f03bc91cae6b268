"""Takes the pictures of the README and the guides: `python docs/screenshots.py URL PASSWORD` against a running sample.

As alice it changes a template and publishes it, as docs/guides/composer.md tells, and says how long that took. It
starts a run of each pipeline and leaves Prospect outreach waiting for bob's decision, which is what the pictures show.
Each template of the gallery that the sample has is drawn for docs/guides/patterns.md.
"""

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

PICTURES = Path(__file__).parent / "img"
PIPELINE = "prospect-outreach"
OTHERS = ("company-analysis", "topic-research", "support-desk", "content-pipeline")
PATTERNS = (
    PIPELINE,
    "review-loop",
    *OTHERS,
    "debate",
    "group-chat",
    "swarm",
    "document-questions",
    "research-lead",
    "planned-work",
    "portfolio-review",
    "one-agent",
    "vote",
    "data-pipeline",
    "code-change",
    "blackboard",
    "message-bus",
    "nested-leads",
    "message-triage",
    "second-opinions",
    "first-answer",
    "launch-check",
    "round-table",
    "open-discussion",
    "follow-up",
)
WIDE, TALL, PHONE = (1280, 800), (1280, 1180), (390, 844)
WAIT_MS = 60_000
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main(url: str, password: str) -> None:
    """Write run, approval, approval-…, costs, costs-…, home, composer-… and a pattern-… per template as PNG."""
    with sync_playwright() as playwright:
        installed = next(filter(None, map(shutil.which, BROWSERS)), None)  # else the one playwright brought along
        browser = playwright.chromium.launch(executable_path=installed, args=["--no-sandbox"])

        def person(name: str, size: tuple[int, int] = WIDE) -> Page:
            return _signed_in(browser, url, f"{name}@example.com", password, size)

        alice = person("alice")
        print(f"A template was changed and published in {_change_a_template(alice, url):.0f} s.")  # noqa: T201
        for pipeline in PATTERNS:
            _draw(alice, url, pipeline)
        for pipeline in (*OTHERS, PIPELINE):
            _start_a_run(alice, url, pipeline)
        expect(alice.locator("#asks .ask")).to_be_visible(timeout=WAIT_MS)
        decision = alice.locator("#asks .ask a").get_attribute("href") or "/approvals/"
        address = alice.url
        _take(person, "run", "bob", address, TALL, "#asks .ask")
        _take(person, "approval", "bob", f"{url}{decision}", WIDE, "#acts")
        _take(person, "approval-phone", "bob", f"{url}{decision}", PHONE, "#acts")
        _take(person, "home", "bob", f"{url}/", WIDE, ".greet")
        _ask_for_information(person("bob"), f"{url}{decision}")
        _take(person, "approval-asked", "alice", f"{url}{decision}", TALL, ".tell")
        _take(person, "approval-health", "bob", f"{url}/approvals/health/", TALL, ".card")
        _take(person, "costs", "carol", f"{url}/costs/", TALL, ".card")
        for name in ("speed", "chargeback", "budgets"):
            _take(person, f"costs-{name}", "carol", f"{url}/costs/{name}/", TALL, ".card")
        browser.close()


def _signed_in(browser: Browser, url: str, email: str, password: str, size: tuple[int, int]) -> Page:
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
    page = context.new_page()
    page.goto(f"{url}/login/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(f"{url}/")
    return page


def _change_a_template(page: Page, url: str) -> float:
    """Go the way of docs/guides/composer.md, click by click, taking its pictures; return the seconds it took."""
    began = time.monotonic()
    page.goto(url)
    page.get_by_role("link", name="Templates").first.click()
    page.get_by_role("heading", name="What do you want done?").wait_for()
    _shoot(page, "composer-templates")
    page.locator("article, li").filter(has_text="Content pipeline").get_by_role("button", name="Use").first.click()
    page.locator("#node-write").click()
    prompt = page.get_by_label("What should it do?", exact=True)
    prompt.click()
    page.keyboard.press("Control+End")
    page.keyboard.type(" Close with one question to the reader.")
    expect(page.locator("main.saving")).to_have_count(0)
    page.wait_for_timeout(1_500)  # what was typed is saved a moment after the last key
    _shoot(page, "composer-editor")
    page.get_by_role("link", name="Publish").click()
    page.get_by_label("What changed, in one sentence").fill("Ends with a question.")
    _shoot(page, "composer-publish")
    page.get_by_role("button", name="Publish version").click()
    page.wait_for_url("**/versions/**")
    return time.monotonic() - began


def _shoot(page: Page, name: str) -> None:
    page.evaluate("document.fonts.ready")
    page.screenshot(path=str(PICTURES / f"{name}.png"))


def _draw(page: Page, url: str, pipeline: str) -> None:
    """Take the picture of a whole pipeline from the page that runs it."""
    page.goto(f"{url}/pipelines/{pipeline}/run/")
    picture = page.locator("section.picture")
    expect(picture).to_be_visible()
    picture.get_by_role("button", name="Show all").click()
    page.evaluate("document.fonts.ready")
    picture.screenshot(path=str(PICTURES / f"pattern-{pipeline}.png"))


def _start_a_run(page: Page, url: str, pipeline: str) -> None:
    page.goto(f"{url}/pipelines/{pipeline}/run/?sample")
    page.locator("#run form button.pri").click()
    page.wait_for_url("**/runs/**")


def _ask_for_information(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_text("Ask for information").click()
    asking = page.locator("[data-ask]")
    asking.locator("textarea").fill("Did they agree to be written to?")
    asking.get_by_role("button").last.click()
    expect(page.get_by_text("Did they agree to be written to?").first).to_be_visible()


def _take(person: Callable[..., Page], name: str, who: str, address: str, size: tuple[int, int], shown: str) -> None:
    page = person(who, size)
    page.goto(address)
    expect(page.locator(shown).first).to_be_visible()
    page.evaluate("document.fonts.ready")
    page.screenshot(path=str(PICTURES / f"{name}.png"))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("Usage: python docs/screenshots.py URL PASSWORD")
    main(sys.argv[1].rstrip("/"), sys.argv[2])
