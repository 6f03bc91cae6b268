"""Requests of a page that are kept waiting, to be let go in any order."""

from contextlib import suppress

from playwright.sync_api import Error, Page, Route


def hold(page: Page, pattern: str) -> list[Route]:
    """Keep every request to such an address waiting from now on; return the list they gather in."""
    held: list[Route] = []

    def keep(route: Route) -> None:
        held.append(route)

    page.route(pattern, keep)
    return held


def let_go(route: Route) -> None:
    """Let a request through, if the page still wants it."""
    with suppress(Error):
        route.continue_()
