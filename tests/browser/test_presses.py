"""A button that costs money, pressed twice in one breath, starts one thing."""

import pytest
from playwright.sync_api import Page, Route, expect

from accounts.models import User
from pipelines.models import PipelineVersion
from runs.models import Run
from tests.browser.canvas import Open, until
from tests.browser.desk import OpenPage
from tests.browser.holding import hold, let_go
from tests.browser.test_tryit import a_failed_run
from tests.pages.builders import World, a_step
from tests.people import Team, acting
from tests.pipelines.builders import a_writer

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def posts(held: list[Route]) -> list[Route]:
    return [route for route in held if route.request.method == "POST"]


def press_twice(page: Page, name: str, held: list[Route]) -> None:
    """Press a button again while its answer is on its way, then let everything go that was asked."""
    button = page.get_by_role("button", name=name).first
    button.scroll_into_view_if_needed()
    box = button.bounding_box()
    assert box
    spot = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.click(*spot)
    until(lambda: page.wait_for_timeout(20) is None and bool(posts(held)))
    page.mouse.click(*spot)  # a button itself would not be pressed before its page has gone
    page.wait_for_timeout(200)  # a second request would come in this time
    for route in held:
        let_go(route)


@pytest.mark.parametrize(
    ("address", "button"),
    [
        ("step/?path=research", "Rerun from here"),
        ("fork/", "Fork"),
        ("fork/?path=research", "Start the run"),
    ],
)
def test_one_run_is_started_from_another(open_page: OpenPage, world: World, address: str, button: str) -> None:
    a_step(world.run, "start", "input", state="succeeded", port="done")
    page = open_page(f"/runs/{world.run.pk}/{address}", world.team.alice)
    held = hold(page, "**/fork/")
    press_twice(page, button, held)
    until(lambda: page.wait_for_timeout(20) is None and Run.objects.filter(forked_from=world.run).exists())
    page.wait_for_url(f"**/runs/{Run.objects.filter(forked_from=world.run).first().pk}/")
    assert len(posts(held)) == 1
    assert Run.objects.filter(forked_from=world.run).count() == 1


def test_one_run_is_started_from_the_form(open_page: OpenPage, world: World) -> None:
    page = open_page(f"/pipelines/{world.pipeline.slug}/run/?sample", world.team.alice)
    before = Run.objects.count()
    held = hold(page, "**/run/**")
    press_twice(page, "Run", held)
    page.wait_for_url("**/runs/**")
    assert len(posts(held)) == 1
    assert Run.objects.count() == before + 1


def test_one_version_is_published(open_canvas: Open) -> None:
    canvas = open_canvas()
    canvas.page.goto(f"{canvas.page.url}publish/")
    held = hold(canvas.page, "**/publish/")
    press_twice(canvas.page, "Publish", held)
    canvas.page.wait_for_url(lambda url: "/publish/" not in url)
    assert len(posts(held)) == 1
    assert PipelineVersion.objects.filter(pipeline__slug="desk", number__isnull=False).count() == 1


def a_page_of_an_agent(open_page: OpenPage, user: User) -> Page:
    a_writer(acting(user), "scribe")
    page = open_page("/agents/scribe/", user)
    page.get_by_label("A task to try it with").fill("Write about tea.")
    return page


def test_one_test_of_an_agent_is_started(open_page: OpenPage, world: World) -> None:
    page = a_page_of_an_agent(open_page, world.team.alice)
    held = hold(page, "**/agents/scribe/test/")
    press_twice(page, "Run v1", held)
    expect(page.locator("#trials")).not_to_be_empty()
    page.wait_for_timeout(300)
    assert len(held) == 1
    assert Run.objects.filter(tags__contains=["test"]).count() == 1


def test_one_test_of_a_step_is_started_while_what_was_typed_is_still_saved(open_canvas: Open, team: Team) -> None:
    canvas = open_canvas()
    run = a_failed_run(team, canvas)
    canvas.page.goto(f"{canvas.page.url}?node=check&run={run.pk}&path=check")
    expect(canvas.page.locator("#try-form")).to_be_attached()
    canvas.page.locator("#step-seen").wait_for()
    saving, tries = hold(canvas.page, "**/step/"), hold(canvas.page, "**/try/**")
    canvas.page.locator("#step-title").fill("Check what is new")
    until(lambda: canvas.page.wait_for_timeout(20) is None and bool(saving))
    canvas.page.locator("#try-form").evaluate("form => { form.requestSubmit(); form.requestSubmit() }")
    canvas.page.wait_for_timeout(100)
    assert posts(tries) == []
    for route in saving:
        let_go(route)
    until(lambda: canvas.page.wait_for_timeout(100) is None and bool(posts(tries)))
    for route in tries:
        let_go(route)
    expect(canvas.page.locator("#step-result")).not_to_be_empty()
    assert len(posts(tries)) == 1
