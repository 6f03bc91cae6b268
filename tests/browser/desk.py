"""What the tests of the approval desk in a browser share: how a page is opened, and how it is told of news."""

from collections.abc import Callable

from playwright.sync_api import Page

WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
OpenPage = Callable[..., Page]


def changed(page: Page) -> None:
    """Say what the workspace's socket says: this server has none."""
    page.evaluate("document.dispatchEvent(new CustomEvent('workspace:changed'))")
