"""Accessibility of the editor in states that last: every kind's form with all of it open, groups, no
steps, no right to change, a phone; and of a run beside its socket, its past, its drawer."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from pipelines import drafts, ops
from pipelines.editor.commands import ops_of
from pipelines.editor.presets import PRESETS
from pipelines.models import Pipeline
from tests.browser.canvas import Canvas, Open, a_canvas_document
from tests.browser.test_axe_states import Audit
from tests.browser.test_editor_crews import LEAD, TEAM
from tests.pages.builders import World, a_world, an_event
from tests.people import Team, acting, signed_in_as
from tests.pipelines.test_commands import a_desk

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
LOOKS = ["light", "dark"]
PHONE = {"width": 390, "height": 844}
OPEN_ALL = "all => all.forEach(one => (one.open = true))"
FORM = "document.querySelector('#inspector')"


def a_draft_of_every_kind(team: Team) -> list[str]:
    """Make the pipeline `kinds` with every entry of the palette in it; return the places of its steps."""
    document = a_canvas_document("kinds")
    for name in PRESETS:
        document, _ = ops.apply(document, ops_of("add", {"preset": name}, a_desk(document)))
    drafts.create(acting(team.alice), document)
    by_kind = {node["kind"]: place for place, node in document["graph"]["nodes"].items()}
    return list(by_kind.values())


@pytest.mark.parametrize("theme", LOOKS)
def test_no_form_of_a_step_breaks_a_rule_with_all_of_it_open(open_canvas: Open, team: Team, theme: str) -> None:
    places = a_draft_of_every_kind(team)
    page = open_canvas(path="/pipelines/kinds/", color_scheme=theme, bypass_csp=True).page
    audit, address = Audit(page), page.url
    for place in places:
        page.goto(f"{address}?node={place}")
        page.locator("#inspector details").evaluate_all(OPEN_ALL)
        audit.look(place, FORM)
    assert audit.found == []


@pytest.mark.parametrize("theme", LOOKS)
def test_groups_with_their_members_break_no_rule(open_canvas: Open, team: Team, theme: str) -> None:
    document = a_canvas_document("talk")
    nodes = document["graph"]["nodes"]
    nodes["write"], nodes["check"] = {**TEAM, "members": ["writer@1"] * 3}, {**LEAD, "agent": "writer@1"}
    drafts.create(acting(team.alice), document)
    canvas = Canvas(open_canvas(path="/pipelines/talk/", color_scheme=theme, bypass_csp=True).page, "talk")
    audit = Audit(canvas.page)
    canvas.box("write").locator('[data-member="members/1"]').click()
    expect(canvas.page.locator("#inspector .at-member")).to_be_visible()
    audit.look("a member of a Team")
    canvas.box("check").locator('[data-member="workers/0"]').click()
    expect(canvas.page.locator("#inspector .at-member")).to_be_visible()
    audit.look("a worker")
    canvas.page.mouse.click(*canvas.middle("all"))
    expect(canvas.page.locator("#step-title")).to_have_value("Every item")
    audit.look("a container")
    canvas.page.goto(canvas.page.url.partition("?")[0] + "outline/?node=check")
    canvas.page.locator('#outline [data-member="workers/1"]').focus()
    audit.look("lines of a group")
    assert audit.found == []


@pytest.mark.parametrize("theme", LOOKS)
def test_a_draft_without_steps_and_one_to_look_at_break_no_rule(open_canvas: Open, team: Team, theme: str) -> None:
    document = a_canvas_document("bare") | {"graph": {"nodes": {"start": {"kind": "input"}}, "edges": []}}
    drafts.create(acting(team.alice), document)
    look = {"color_scheme": theme, "bypass_csp": True}
    page = open_canvas(team.bob, **look).page
    audit = Audit(page)
    Canvas(page).choose("check")
    audit.look("who may only look")
    for state, path in (("no steps", "/pipelines/bare/outline/"), ("nothing to publish", "/pipelines/bare/publish/")):
        page = open_canvas(path="/pipelines/desk/", **look).page
        page.goto(re.sub(r"/pipelines/.*", path, page.url))
        own = Audit(page)
        own.look(state)
        audit.found += own.found
    assert audit.found == []


@pytest.mark.parametrize("theme", LOOKS)
def test_the_sheets_of_a_phone_break_no_rule(open_canvas: Open, theme: str) -> None:
    page = open_canvas(path="/pipelines/desk/outline/", viewport=PHONE, color_scheme=theme, bypass_csp=True).page
    audit = Audit(page)
    page.locator('#outline [data-step="check"]').click()
    expect(page.locator("#step-title")).to_have_value("Check the draft")
    audit.look("the form of a step")
    page.locator("#step-acts [data-asks] button").click()
    expect(page.locator("#step-palette")).to_have_class("steps asked")
    audit.look("the palette")
    assert audit.found == []


@pytest.fixture
def world(transactional_db: None, _assets: None) -> World:
    world = a_world()
    for number in range(4):
        an_event(world.run, "step_started" if number % 2 else "step_succeeded", "research", attempt=1)
    return world


OpenRun = Callable[..., Page]


@pytest.fixture
def open_run(live_server: LiveServer, world: World, new_context: Callable[..., BrowserContext]) -> OpenRun:
    """Return a function that opens a page of the world's run as alice."""

    def opened(path: str = "/runs/{run}/", **context: Any) -> Page:
        browser = new_context(**{"viewport": {"width": 1440, "height": 900}, "bypass_csp": True, **context})
        session = signed_in_as(world.team.alice).cookies[settings.SESSION_COOKIE_NAME].value
        browser.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
        page = browser.new_page()
        page.goto(live_server.url + path.format(run=world.run.pk, slug=world.pipeline.slug))
        return page

    return opened


@pytest.mark.parametrize("theme", LOOKS)
def test_a_run_breaks_no_rule_however_it_is_looked_at(open_run: OpenRun, world: World, theme: str) -> None:
    page = open_run(color_scheme=theme)
    audit = Audit(page)
    expect(page.locator("[data-live-words]")).to_have_text("Reconnecting…")
    audit.look("reconnecting")
    page.locator("[data-drawer]").filter(has_text="Research").first.click()
    expect(page.locator("#drawer")).to_contain_text("Where it comes from")
    page.locator("#drawer details").evaluate_all(OPEN_ALL)
    audit.look("the drawer with all of it open")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("send")
    audit.look("a step found")
    page.keyboard.press("Escape")
    page.locator("[data-play]").click()
    audit.look("the replay that plays")
    page.goto(f"{page.url.partition('?')[0]}?at=2")
    expect(page.locator("#moment")).to_contain_text("Event 2 of")
    page.keyboard.press("?")
    audit.look("the past, with the help")
    assert audit.found == []


@pytest.mark.parametrize("theme", LOOKS)
def test_forms_that_were_sent_wrong_break_no_rule(open_run: OpenRun, world: World, theme: str) -> None:
    page = open_run("/pipelines/{slug}/run/", color_scheme=theme)
    audit = Audit(page)
    page.locator("form").get_by_role("button", name="Run", exact=True).evaluate(
        "b => { b.form.noValidate = true; b.click() }"
    )
    expect(page.locator("[role=alert]").first).to_be_visible()
    audit.look("a run form that was refused")
    page.goto(re.sub(r"/pipelines/.*", f"/pipelines/{world.pipeline.slug}/publish/", page.url))
    page.locator("details").evaluate_all(OPEN_ALL)
    audit.look("the publish page")
    draft = Pipeline.objects.get(pk=world.pipeline.pk).draft
    document = draft.document
    next(node for node in document["graph"]["nodes"].values() if node["kind"] == "agent")["prompt"] = (
        "${steps.no.output}"
    )
    drafts.save(acting(world.team.alice), world.pipeline, document, draft.revision)
    page.reload()
    expect(page.get_by_role("button", name=re.compile("^Publish"))).to_be_disabled()
    audit.look("errors that hold publishing back")
    assert audit.found == []
