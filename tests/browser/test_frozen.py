"""Prototypes in the browser: nothing that a page is told changes what all its objects stand on."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.canvas import Open
from tests.browser.desk import OpenPage
from tests.pages.builders import World

pytestmark = pytest.mark.browser

# The ways in which merging a text from outside changes a prototype; each does nothing or throws.
POLLUTE = """() => {
  const told = JSON.parse('{"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}}}');
  const merge = (into, from) => {
    for (const key of Object.keys(from)) {
      if (from[key] instanceof Object && key in into) merge(into[key], from[key]);
      else into[key] = from[key];
    }
  };
  const ways = [
    () => merge({}, told),
    () => merge([], told),
    () => { Object.prototype.polluted = 1; },
    () => { ({}).__proto__.polluted = 1; },
    () => { [].constructor.prototype.polluted = 1; },
    () => { (() => 0).constructor.prototype.polluted = 1; },
    () => { Object.prototype.toString = () => "polluted"; },
    () => { delete Array.prototype.map; },
    () => { Object.setPrototypeOf(Array.prototype, { polluted: 1 }); },
    () => { Object.defineProperty(Object.prototype, "polluted", { value: 1 }); },
  ];
  for (const way of ways) {
    try { way(); } catch (error) { if (!(error instanceof TypeError)) throw error; }
  }
  return [({}).polluted, [].polluted, (() => 0).polluted, `${{}}`, typeof [].map];
}"""
UNTOUCHED = [None, None, None, "[object Object]", "function"]


def watched(page: Page) -> list[str]:
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda line: said.append(line.text) if line.type == "error" else None)
    return said


def test_on_every_kind_of_page_nothing_changes_a_prototype_and_the_page_works(
    open_page: OpenPage, world: World
) -> None:
    page = open_page("/", world.team.alice)
    said = watched(page)
    origin, run = page.url.rstrip("/"), world.run.pk
    for path in ("/", "/runs/", f"/runs/{run}/", "/pipelines/", "/approvals/", "/costs/", "/agents/", "/account/"):
        page.goto(origin + path)
        expect(page.locator("html[data-bound]")).to_be_attached()
        assert page.evaluate(POLLUTE) == UNTOUCHED, path
        page.keyboard.press("Control+k")
        expect(page.locator("dialog[open]").first).to_be_visible()
        page.keyboard.press("Escape")
    assert [line for line in said if "WebSocket" not in line and "status of 4" not in line] == []


def test_the_editor_works_on_after_an_attempt(open_canvas: Open) -> None:
    canvas = open_canvas()
    assert canvas.page.evaluate(POLLUTE) == UNTOUCHED
    canvas.choose("check")
    canvas.press("Control+d")
    canvas.edits(1)
    canvas.press("Delete")
    canvas.edits(2)
    canvas.press("Control+z")
    canvas.edits(3)
    assert canvas.page.evaluate(POLLUTE) == UNTOUCHED
