"""Copying steps in the browser: onto the system's clipboard and nowhere else, by keys and by buttons."""

import json
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from pipelines.models import Draft
from tests.browser.canvas import Canvas, Open, until

pytestmark = pytest.mark.browser

BOTH = ["clipboard-read", "clipboard-write"]
STORED = """async () => [localStorage.length, sessionStorage.length, (await caches.keys()).length,
  (await indexedDB.databases()).length, document.cookie]"""


def clipboard(page: Page) -> str:
    return str(page.evaluate("navigator.clipboard.readText()"))


def put(page: Page, text: str) -> None:
    page.evaluate("text => navigator.clipboard.writeText(text)", text)


def said(canvas: Canvas, words: str) -> None:
    expect(canvas.page.locator("#toasts")).to_contain_text(words)


def test_what_is_copied_is_a_text_on_the_systems_clipboard_and_nowhere_in_the_browser(open_canvas: Open) -> None:
    canvas = open_canvas(permissions=BOTH)
    canvas.choose("check")
    canvas.press("Control+c")
    expect(canvas.page.locator("#announce")).to_have_text("1 copied.")
    origin = canvas.page.url.partition("/pipelines/")[0]
    assert json.loads(clipboard(canvas.page)) == {
        "is": "baton.steps",
        "of": f"{origin} acme",
        "pipeline": "desk",
        "rev": 1,
        "places": ["check"],
    }
    *counts, cookies = canvas.page.evaluate(STORED)
    assert counts == [0, 0, 0, 0]
    assert "check" not in cookies
    other = canvas.page.context.new_page()
    other.goto(f"{origin}/pipelines/other/")
    there = Canvas(other, "other")
    there.choose("write")
    there.press("Control+v")
    there.edits(1)
    assert there.node("check_2")["title"] == "Check the draft"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ("Dear Sir or Madam", "What was copied are no steps."),
        ('{"is": "baton.steps"', "What was copied are no steps."),
        ("null", "What was copied are no steps."),
        ('{"__proto__": {"is": "baton.steps"}}', "What was copied are no steps."),
        ({"is": "other"}, "What was copied are no steps."),
        ({"places": "write"}, "What was copied are no steps."),
        ({"places": [{"toString": 1}]}, "What was copied are no steps."),
        ({"places": []}, "What was copied are no steps."),
        ({"rev": "1"}, "What was copied are no steps."),
        ({"places": ["x" * 500_000]}, "What was copied are no steps."),
        ({"of": "https://baton.example acme"}, "These steps were copied in another workspace or installation."),
        ({"pipeline": "nobodys"}, "is not in this workspace"),
        ({"places": ["nowhere"]}, "does not fit this draft"),
    ],
)
def test_a_text_that_names_no_steps_of_ours_changes_nothing(
    open_canvas: Open, changed: str | dict[str, Any], words: str
) -> None:
    canvas = open_canvas(permissions=BOTH)
    canvas.choose("check")
    canvas.press("Control+c")
    right = json.loads(clipboard(canvas.page))
    put(canvas.page, changed if isinstance(changed, str) else json.dumps(right | changed))
    canvas.press("Control+v")
    said(canvas, words)
    assert Draft.objects.get(pipeline__slug="desk").revision == 1


def test_in_a_field_the_keys_are_the_fields(open_canvas: Open) -> None:
    canvas = open_canvas(permissions=BOTH)
    canvas.choose("check")
    canvas.press("Control+c")
    title = canvas.page.locator("#step-title")
    title.click()
    title.press("Control+a")
    title.press("Control+c")
    assert clipboard(canvas.page) == "Check the draft"
    title.press("Control+End")
    title.press("Control+v")
    expect(title).to_have_value("Check the draft" * 2)
    title.press("Tab")
    canvas.edits(1)
    assert canvas.steps() == {"start", "write", "check", "all", "result"}


def test_steps_of_the_list_are_copied_cut_and_pasted_by_keys(open_canvas: Open) -> None:
    canvas = open_canvas(path="/pipelines/desk/outline/")
    line = canvas.page.locator("#outline [data-step='check']")
    line.focus()
    canvas.press("Control+c")
    expect(canvas.page.locator("#announce")).to_have_text("1 copied.")
    canvas.press("Control+v")
    canvas.edits(1)
    expect(canvas.page.locator("#outline [data-step='check_2']")).to_be_focused()
    canvas.press("Control+x")
    canvas.edits(2)
    assert "check_2" not in canvas.steps()


def test_the_buttons_copy_and_paste_where_the_browser_lets_them(open_canvas: Open) -> None:
    canvas = open_canvas(permissions=BOTH)
    canvas.choose("check")
    canvas.page.get_by_role("button", name="Copy", exact=True).click()
    expect(canvas.page.locator("#announce")).to_have_text("1 copied.")
    assert json.loads(clipboard(canvas.page))["places"] == ["check"]
    canvas.page.get_by_role("button", name="Paste", exact=True).click()
    canvas.edits(1)
    assert canvas.node("check_2")["title"] == "Check the draft"


def test_where_the_browser_does_not_the_buttons_say_so_and_the_keys_work_from_there(open_canvas: Open) -> None:
    canvas = open_canvas(permissions=[])
    for name in ("writeText", "readText"):  # as a browser does whose user says no
        canvas.page.evaluate(
            "name => { navigator.clipboard[name] = () => Promise.reject(new DOMException('no', 'NotAllowedError')); }",
            name,
        )
    canvas.choose("check")
    canvas.page.get_by_role("button", name="Copy", exact=True).click()
    said(canvas, "Press Ctrl C instead.")
    canvas.press("Control+c")
    expect(canvas.page.locator("#announce")).to_have_text("1 copied.")
    canvas.page.get_by_role("button", name="Paste", exact=True).click()
    said(canvas, "Press Ctrl V instead.")
    assert Draft.objects.get(pipeline__slug="desk").revision == 1
    canvas.press("Control+v")
    canvas.edits(1)
    until(lambda: canvas.chosen() == ["check_2"])


def test_a_reader_copies_and_neither_cuts_nor_pastes(open_canvas: Open, team: Any) -> None:
    canvas = open_canvas(team.erin, permissions=BOTH)
    canvas.page.mouse.click(*canvas.middle("check"))
    until(lambda: canvas.chosen() == ["check"])
    canvas.press("Control+c")
    expect(canvas.page.locator("#announce")).to_have_text("1 copied.")
    copied = clipboard(canvas.page)
    canvas.press("Control+x")
    canvas.press("Control+v")
    assert clipboard(canvas.page) == copied
    assert canvas.steps() == {"start", "write", "check", "all", "result"}
