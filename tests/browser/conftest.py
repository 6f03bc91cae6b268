"""The editor of a draft in a browser, opened by a person: nothing may break on its page."""

from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from playwright.sync_api import BrowserContext, Page
from pytest_django.live_server_helper import LiveServer

from accounts.models import User
from orchestrator_site.build import build_assets
from pipelines import drafts, publish
from tests.browser.canvas import Canvas, Open, OpenDesk, a_canvas_document
from tests.browser.desk import WIDE, OpenPage
from tests.conftest import LiveStack
from tests.pages.builders import World, a_world
from tests.people import Team, a_team, acting, signed_in_as
from tests.pipelines.builders import a_writer

# A refused change is answered with its status, which the browser writes on its console; this server has no sockets.
SAID_ANYWAY = ("status of 4", "WebSocket")


@pytest.fixture(scope="session")
def _assets() -> None:
    build_assets()


@pytest.fixture
def team(transactional_db: None) -> Team:
    """Return the people, two of whom compose: the pipelines desk and other are there."""
    team = a_team()
    alice = acting(team.alice)
    a_writer(alice)
    for slug in ("desk", "other"):
        drafts.create(alice, a_canvas_document(slug))
    return team


@pytest.fixture
def open_canvas(
    live_server: LiveServer, team: Team, _assets: None, new_context: Callable[..., BrowserContext]
) -> Iterator[Open]:
    """Return a function that opens a draft in a browser of its own."""
    said: list[str] = []

    def opened(user: User | None = None, path: str = "/pipelines/desk/", **context: object) -> Canvas:
        browser = new_context(**{"viewport": {"width": 1440, "height": 1000}, "reduced_motion": "reduce", **context})
        session = signed_in_as(user or team.alice).cookies[settings.SESSION_COOKIE_NAME].value
        browser.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
        page = browser.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{live_server.url}{path}")
        page.locator("[data-edge], #outline [data-step][tabindex='0']").first.wait_for(state="attached")
        return Canvas(page)

    yield opened
    assert [line for line in said if not any(words in line for words in SAID_ANYWAY)] == []


@pytest.fixture
def desk_team(live_stack: LiveStack, _assets: None) -> Team:
    """Return the people of a team whose pipeline desk is published, beside a running web server and worker."""
    team = a_team()
    a_writer(acting(team.alice))
    publish.publish(acting(team.alice), drafts.create(acting(team.alice), a_canvas_document()))
    return team


@pytest.fixture
def open_live(live_stack: LiveStack, _assets: None, new_context: Callable[..., BrowserContext]) -> OpenDesk:
    """Return a function that opens a page of the running web server in a browser of its own."""

    def opened(user: User, path: str = "/pipelines/desk/", **wishes: object) -> Page:
        context = new_context(**{"viewport": {"width": 1440, "height": 1000}, "reduced_motion": "reduce", **wishes})
        session = signed_in_as(user).cookies[settings.SESSION_COOKIE_NAME].value
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_stack.url}])
        page = context.new_page()
        page.goto(f"{live_stack.url}{path}")
        return page

    return opened


@pytest.fixture
def open_desk(desk_team: Team, open_live: OpenDesk) -> OpenDesk:
    """Return a function that opens a page of that team's running web server."""
    return open_live


@pytest.fixture
def world(transactional_db: None, _assets: None) -> World:
    """Return a team one of whose runs waits for a reviewer."""
    return a_world()


@pytest.fixture
def open_page(live_server: LiveServer, world: World, new_context: Callable[..., BrowserContext]) -> OpenPage:
    """Return a function that opens a page of that team, for bob unless told otherwise."""

    def opened(path: str, user: User | None = None, **context: object) -> Page:
        browser = new_context(**{"viewport": WIDE, "reduced_motion": "reduce", **context})
        session = signed_in_as(user or world.team.bob).cookies[settings.SESSION_COOKIE_NAME].value
        browser.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
        page = browser.new_page()
        page.goto(live_server.url + path)
        return page

    return opened
