"""Passkeys in a real browser with an authenticator of its own; the pages of signing in are accessible."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from accounts.models import Membership
from accounts.roles import Role
from orchestrator_site.build import build_assets
from tests.pages.test_browser import AXE, PHONE, RULES, WIDE
from tests.people import Team, a_team

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module", autouse=True)
def _assets() -> None:
    build_assets()


@pytest.fixture
def team(transactional_db: None, settings: Any) -> Team:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    made = a_team()
    made.alice.set_password(PASSWORD)
    made.alice.save()
    return made


@pytest.fixture
def page(new_context: Any, team: Team) -> Iterator[Page]:
    """Return a page whose browser holds passkeys and confirms each use."""
    context = new_context(viewport=WIDE)
    opened = context.new_page()
    devtools = context.new_cdp_session(opened)
    devtools.send("WebAuthn.enable")
    chip = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    devtools.send(
        "WebAuthn.addVirtualAuthenticator",
        {"options": {**chip, "isUserVerified": True, "automaticPresenceSimulation": True}},
    )
    yield opened
    context.close()


def sign_in(page: Page, url: str) -> None:
    page.goto(f"{url}/login/")
    page.get_by_label("Email").fill("alice@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_a_passkey_is_added_signs_in_alone_and_stands_in_as_second_step(page: Page, live_server: LiveServer) -> None:
    sign_in(page, live_server.url)
    page.goto(f"{live_server.url}/account/passkeys/new/")
    page.get_by_label("Name").fill("Desk")
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_role("link", name="Remove Desk")).to_be_visible()
    page.context.clear_cookies()
    page.goto(f"{live_server.url}/login/?next=/runs/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url(f"{live_server.url}/runs/")
    page.context.clear_cookies()
    sign_in(page, live_server.url)
    expect(page.get_by_role("heading", name="Second step")).to_be_visible()
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url(f"{live_server.url}/")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_of_signing_in_are_accessible_in_either_theme_and_on_a_phone(
    team: Team, new_context: Any, live_server: LiveServer, scheme: Any
) -> None:
    Membership.objects.filter(user=team.alice).update(roles=[Role.ADMIN])
    page = new_context(viewport=WIDE, color_scheme=scheme, bypass_csp=True, reduced_motion="reduce").new_page()
    page.goto(f"{live_server.url}/login/")
    found = findings(page)
    sign_in(page, live_server.url)
    for path in ("/account/", "/people/", "/account/app/", "/account/passkeys/new/"):
        page.goto(f"{live_server.url}{path}")
        found += findings(page)
    assert found == []


def findings(page: Page) -> list[str]:
    """Return what axe finds, and where the page scrolls sideways."""
    page.add_script_tag(path=str(AXE))
    answer = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
    found = [f"{page.url}: {one['id']} {one['nodes'][0]['html'][:120]}" for one in answer["violations"]]
    for size in (PHONE, WIDE):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append(f"{page.url}: scrolls sideways at {size['width']}")
    return found
