"""Takes the pictures of the README and the guides: `python docs/screenshots.py URL PASSWORD` against a running sample.

As alice it starts a run of each pipeline and leaves Prospect outreach waiting for bob's decision, which is what the
pictures show. Each template of the gallery that the sample has is drawn for docs/guides/patterns.md.
"""

import shutil
import sys
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
    "research-lead",
    "planned-work",
    "portfolio-review",
    "one-agent",
    "vote",
    "data-pipeline",
    "code-change",
)
WIDE, TALL, PHONE = (1280, 800), (1280, 1180), (390, 844)
WAIT_MS = 60_000
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main(url: str, password: str) -> None:
    """Write run, approval, approval-phone, costs, home and a pattern-… per template as PNG files."""
    with sync_playwright() as playwright:
        installed = next(filter(None, map(shutil.which, BROWSERS)), None)  # else the one playwright brought along
        browser = playwright.chromium.launch(executable_path=installed, args=["--no-sandbox"])

        def person(name: str, size: tuple[int, int] = WIDE) -> Page:
            return _signed_in(browser, url, f"{name}@example.com", password, size)

        alice = person("alice")
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
        _take(person, "costs", "carol", f"{url}/costs/", WIDE, ".stats")
        browser.close()


def _signed_in(browser: Browser, url: str, email: str, password: str, size: tuple[int, int]) -> Page:
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
    page = context.new_page()
    page.goto(f"{url}/login/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{url}/")
    return page


def _draw(page: Page, url: str, pipeline: str) -> None:
    """Take the picture of a whole pipeline from its page."""
    page.goto(f"{url}/pipelines/{pipeline}/")
    picture = page.locator("section.picture")
    expect(picture).to_be_visible()
    picture.get_by_role("button", name="Show all").click()
    page.evaluate("document.fonts.ready")
    picture.screenshot(path=str(PICTURES / f"pattern-{pipeline}.png"))


def _start_a_run(page: Page, url: str, pipeline: str) -> None:
    page.goto(f"{url}/pipelines/{pipeline}/?sample")
    page.locator("#run form button.pri").click()
    page.wait_for_url("**/runs/**")


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
