"""What a run's page says of its steps, in a real browser, by pointer and by key: attempts, origins, counts, forks."""

from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from playwright.sync_api import BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from accounts.access import Actor
from accounts.roles import Role
from pipelines import gallery
from runs import canvas
from runs.models import Run
from tests.browser.canvas import until
from tests.pages.builders import World, a_run_of, a_step, a_world, an_event
from tests.pages.test_drawer import a_call
from tests.people import signed_in_as

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("_assets")]
Open = Callable[..., Page]


@pytest.fixture
def world(transactional_db: None) -> World:
    return a_world()


@pytest.fixture
def open_run(live_server: LiveServer, world: World, new_context: Callable[..., BrowserContext]) -> Iterator[Open]:
    """Return a function that opens the page of a run."""
    broken: list[str] = []

    def opened(run: Run, **context: object) -> Page:
        browser = new_context(**{"viewport": {"width": 1440, "height": 1000}, "reduced_motion": "reduce", **context})
        session = signed_in_as(world.team.alice).cookies[settings.SESSION_COOKIE_NAME].value
        browser.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
        page = browser.new_page()
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.goto(f"{live_server.url}/runs/{run.pk}/")
        page.locator("[data-stage].placed").wait_for(state="attached")
        return page

    yield opened
    assert broken == []


def a_run_from(world: World, template: str) -> Run:
    pipeline = gallery.instantiate(Actor(world.team.alice, world.team.workspace, frozenset(Role)), template)
    return a_run_of(pipeline, world.team, state="running", input={"company": "Halden"})


def opened_by_key(page: Page, place: str) -> None:
    """Open a step's drawer from its card with the keyboard."""
    page.locator(f'[id="card-{place}"] a').first.focus()
    page.keyboard.press("Enter")
    page.locator("#drawer h2").first.wait_for()


def test_two_attempts_are_laid_beside_each_other(open_run: Open, world: World) -> None:
    for attempt, answer in enumerate(("Bees sting often.", "Bees sting rarely.", "Bees never sting."), 1):
        a_call(world.run, attempt, answer)
    for attempt in (1, 2):
        an_event(world.run, "step_retrying", "research", attempt=attempt, why="repair", delay=0.0)
    page = open_run(world.run)
    opened_by_key(page, "research")
    page.get_by_text("What differs between attempts 2 and 3").focus()
    page.keyboard.press("Enter")
    drawer = page.locator("#drawer")
    expect(drawer.locator(".diff del").first).to_be_visible()
    drawer.locator("[name=first]").select_option("1")
    drawer.locator("[name=second]").select_option("2")
    drawer.get_by_role("button", name="Compare").click()
    expect(drawer.locator(".diff del").first).to_have_text("often.")
    expect(drawer.locator(".diff ins").first).to_have_text("rarely.")


def test_where_an_output_comes_from_is_listed_and_marked_on_the_canvas(open_run: Open, world: World) -> None:
    a_call(world.run, 1, "Bees.")
    page = open_run(world.run)
    opened_by_key(page, "research")
    page.get_by_role("link", name="Where it comes from").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#lineage")).to_contain_text("demo/writer")
    expect(page.locator('#lineage [data-origin="research"]')).to_be_visible()
    expect(page.locator(".origin").first).to_be_attached()


def test_a_container_counts_what_is_done_and_opens_its_items(open_run: Open, world: World) -> None:
    run = a_run_from(world, "topic-research")
    a_step(run, "research", "each", state="running", input={"over": list(range(5))})
    for number in range(3):
        a_step(run, f"research[{number}].dig", "agent", state="succeeded", port="done")
    a_step(run, "research[3].dig", "agent", state="failed")
    page = open_run(run)
    group = page.locator('[id="card-research"]')
    expect(group).to_contain_text("of 5")
    expect(group).to_contain_text("1 failed")
    group.get_by_role("link").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#parts li")).to_have_count(4)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_combine_says_how_many_have_arrived_and_who_is_missing(open_run: Open, world: World, theme: str) -> None:
    run = a_run_from(world, "company-analysis")
    drawn = canvas.picture_of(run)
    place = next(placed.place for placed in drawn.nodes if placed.node.kind == "combine")
    sources = [route.source for route in drawn.routes if route.target == place]
    for name in sources[:2]:
        a_step(run, name, "agent", state="succeeded", port="done")
    for name in sources[2:]:
        a_step(run, name, "agent", state="running")
    page = open_run(run, color_scheme=theme)
    card = page.locator(f'[id="card-{place}"]')
    expect(card).to_contain_text(f"2 of {len(sources)} arrived")
    expect(card.locator("[title^='Missing: ']")).to_be_visible()


def test_a_step_is_run_again_from_the_middle_by_keyboard(open_run: Open, world: World) -> None:
    a_step(world.run, "start", "input", state="succeeded", port="done")
    page = open_run(world.run)
    opened_by_key(page, "approve")
    page.get_by_role("button", name="Rerun from here").focus()
    page.keyboard.press("Enter")
    until(lambda: page.wait_for_timeout(20) is None and Run.objects.filter(forked_from=world.run).exists())
    fork = Run.objects.get(forked_from=world.run)
    page.wait_for_url(f"**/runs/{fork.pk}/")
    expect(page.locator("body")).to_contain_text("Forked from")
    assert fork.saved_micros == 18_400
