"""Trying a draft in the browser: from the editor, and from a run that went wrong."""

import re

import pytest
from playwright.sync_api import Page, expect

from pipelines import publish
from runs.models import Run
from tests.browser.canvas import Canvas, Open, OpenDesk, start_run
from tests.conftest import LiveStack, wait_for
from tests.pages.builders import a_run_of, a_step
from tests.people import Team, acting

pytestmark = pytest.mark.browser


def a_failed_run(team: Team, canvas: Canvas) -> Run:
    version = publish.freeze_draft(acting(team.alice), canvas.pipeline())
    run = a_run_of(canvas.pipeline(), team, version=version, state="failed", input={"topic": "tea"})
    a_step(run, "write", "agent", state="succeeded", output="A first text about tea.")
    a_step(run, "check", "agent", state="failed", error={"class": "x", "message": "It broke.", "code": "x"})
    return run


def test_the_run_that_is_mended_stays_pinned_when_another_step_is_chosen(open_canvas: Open, team: Team) -> None:
    canvas = open_canvas()
    run = a_failed_run(team, canvas)
    canvas.page.goto(f"{canvas.page.url}?node=check&run={run.pk}&path=check")
    expect(canvas.page.locator("#step-seen")).to_contain_text("It broke.")
    canvas.choose("write")
    expect(canvas.page.locator("#step-seen")).to_contain_text(f"#{run.number}")
    expect(canvas.page.locator("#step-seen")).to_contain_text("A first text about tea.")
    expect(canvas.page.locator("#try-data")).to_have_value(str(run.pk))
    canvas.press("Alt+ArrowDown")
    expect(canvas.page.locator("#step-seen")).to_contain_text("It broke.")
    expect(canvas.page.locator("#try-data")).to_have_value(str(run.pk))


def a_run_that_ended(page: Page, stack: LiveStack) -> Run:
    run = start_run(page, stack)
    wait_for(lambda: Run.objects.get(pk=run.pk).state == "succeeded", 60, stack.logs)
    return run


def trials() -> list[Run]:
    return list(Run.objects.filter(tags=["test"]))


def test_a_step_is_tried_with_values_of_a_run_and_others_by_pointer(
    open_desk: OpenDesk, desk_team: Team, live_stack: LiveStack
) -> None:
    page = open_desk(desk_team.alice, "/")
    run = a_run_that_ended(page, live_stack)
    page.goto(f"{live_stack.url}/pipelines/desk/")
    Canvas(page).choose("check")
    page.locator("#step-test").get_by_text("Test this step").click()
    form = page.locator("#try-form")
    expect(page.locator("#try-data")).to_have_value(str(run.pk))
    field = form.get_by_role("textbox").first
    expect(field).not_to_have_value("")
    page.locator("#inspector").get_by_label("Title").fill("Check what is new")
    field.fill("A text by hand about tea.")
    expect(form).to_contain_text("Steps before it are not run again.")
    form.get_by_role("button", name="Test this step").click()
    result = page.locator("#step-result")
    expect(result).to_contain_text("Done", timeout=30_000)
    result.get_by_text("The prompt, as it was sent").click()
    expect(result.locator("pre")).to_contain_text("Check A text by hand about tea.")
    [test] = trials()
    assert (test.rehearsal, test.state, test.input["steps"]) == (
        True,
        "succeeded",
        {"write": {"output": "A text by hand about tea."}},
    )
    assert Canvas(page).node("check")["title"] == "Check what is new"


def test_a_step_is_tried_by_keys_from_a_run_that_is_mended(
    open_desk: OpenDesk, desk_team: Team, live_stack: LiveStack
) -> None:
    page = open_desk(desk_team.alice, "/")
    run = a_run_that_ended(page, live_stack)
    page.goto(f"{live_stack.url}/runs/{run.pk}/")
    page.locator("[data-drawer]").filter(has_text="Check the draft").first.focus()
    page.keyboard.press("Enter")
    edit = page.locator("#drawer").get_by_role("link", name="Open in the editor")
    edit.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"/pipelines/desk/.*run={run.pk}"))
    expect(page.locator("#step-seen")).to_contain_text(f"#{run.number}")
    expect(page.locator("#try-data")).to_have_value(str(run.pk))
    field = page.locator("#try-form").get_by_role("textbox").first
    field.focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("By keys.")
    while not page.locator("#try-form button.pri").evaluate("one => one === document.activeElement"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#step-result")).to_contain_text("Done", timeout=30_000)
    [test] = trials()
    assert test.input["steps"] == {"write": {"output": "By keys."}}


def test_the_draft_is_tried_whole_and_nothing_is_sent(
    open_desk: OpenDesk, desk_team: Team, live_stack: LiveStack
) -> None:
    page = open_desk(desk_team.alice)
    Canvas(page).choose("write")
    page.locator("#step-title").fill("Only in the draft")
    Canvas(page).edits(1)
    page.get_by_role("link", name="Test run").click()
    page.get_by_label("topic").fill("tea")
    page.locator("form").get_by_role("button", name="Test run").click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}/"))
    expect(page.locator("body")).to_contain_text("Only in the draft")
    run = Run.objects.get()
    assert run.rehearsal
    wait_for(lambda: Run.objects.get(pk=run.pk).state == "succeeded", 60, live_stack.logs)


def test_a_failed_step_leads_to_its_form_and_is_tried_there(open_canvas: Open, team: Team) -> None:
    canvas = open_canvas()
    run = a_failed_run(team, canvas)
    origin = canvas.page.url.partition("/pipelines/")[0]
    canvas.page.goto(f"{origin}/runs/{run.pk}/step/?path=check")
    canvas.page.get_by_role("link", name="Fix in the editor").first.click()
    expect(canvas.page.locator('#inspector [data-step-form] [name="node"]')).to_have_value("check")
    expect(canvas.page.locator("#step-seen")).to_contain_text("It broke.")
    expect(canvas.page.locator("#try-form").get_by_role("textbox").first).to_have_value("A first text about tea.")
