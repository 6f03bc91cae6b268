"""The editor's canvas as a person has it before them: boxes to grasp, arrows, keys, and what the server has kept."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Locator, Page, expect

from pipelines.models import Draft, DraftEdit, Pipeline
from runs.models import Run
from tests.conftest import LiveStack, bound

PATIENCE_S = 20.0
Spot = tuple[float, float]
BURST = """all => {
  for (const one of all) {
    const [key, shiftKey] = [one.replace("Shift+", ""), one.startsWith("Shift+")];
    const how = { key, shiftKey, bubbles: true, cancelable: true };
    document.activeElement.dispatchEvent(new KeyboardEvent("keydown", how));
  }
}"""


def a_canvas_document(slug: str = "desk") -> dict[str, Any]:
    """Return start >> write >> check >> all (a For each of dig >> sum) >> result."""

    def an_agent(title: str, prompt: str) -> dict[str, Any]:
        return {"kind": "agent", "title": title, "agent": "writer@1", "prompt": prompt}

    inner = {
        "nodes": {"dig": an_agent("Dig deep", "Dig ${item}."), "sum": an_agent("Sum up", "Sum ${steps.dig.output}.")},
        "edges": [{"from": "dig", "to": "sum"}],
    }
    return {
        "format": "baton.pipeline",
        "format_version": "1.0",
        "id": slug,
        "name": slug.title(),
        "inputs": {"type": "object", "properties": {"topic": {"type": "string"}}},
        "budget": {"max_cost_usd": "1.00"},
        "graph": {
            "nodes": {
                "start": {"kind": "input"},
                "write": an_agent("Write a draft", "Write about ${input.topic}."),
                "check": an_agent("Check the draft", "Check ${steps.write.output}."),
                "all": {"kind": "each", "title": "Every item", "over": ["a", "b"], "graph": inner},
                "result": {"kind": "output", "value": "${steps.check.output}"},
            },
            "edges": [
                {"from": "start", "to": "write"},
                {"from": "write", "to": "check"},
                {"from": "check", "to": "all"},
                {"from": "all", "to": "result"},
            ],
        },
    }


@dataclass(frozen=True)
class Canvas:
    """One page with the editor of a draft. Gestures return when the server has answered them where `edits` says so."""

    page: Page
    slug: str = "desk"

    def box(self, place: str) -> Locator:
        return self.page.locator(f'[id="node-{place}"]')

    def middle(self, place: str) -> Spot:
        bound(self.page)
        found = self.box(place).bounding_box()
        assert found
        return found["x"] + found["width"] / 2, found["y"] + min(found["height"] / 2, 20)

    def at(self, place: str) -> list[int]:
        """Return where a box stands on the picture: left, top, width, height."""
        bound(self.page)
        found = self.box(place).evaluate("b => [b.offsetLeft, b.offsetTop, b.offsetWidth, b.offsetHeight]")
        return [round(value) for value in found]

    def chosen(self) -> list[str]:
        found: list[str] = self.page.locator(".box.on").evaluate_all("all => all.map(one => one.dataset.place)")
        return sorted(found)

    def edges(self) -> set[str]:
        return set(self.page.locator("[data-edge]").evaluate_all("all => all.map(one => one.dataset.edge)"))

    def zoom(self) -> int:
        return int(self.page.locator("[data-zoom-words]").inner_text().rstrip("%"))

    def stage(self) -> str:
        return str(self.page.locator("[data-stage]").evaluate("one => one.style.transform"))

    def ground(self) -> Spot:
        """Return a spot of the canvas where nothing is."""
        found = self.page.locator("[data-graph]").bounding_box()
        assert found
        return found["x"] + found["width"] - 30, found["y"] + found["height"] / 2

    def drag(self, start: Spot, end: Spot, *, keys: str = "") -> None:
        mouse = self.page.mouse
        if keys:
            self.page.keyboard.down(keys)
        mouse.move(*start)
        mouse.down()
        mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=3)
        mouse.move(*end, steps=3)
        mouse.up()
        if keys:
            self.page.keyboard.up(keys)

    def choose(self, place: str) -> None:
        """Choose a step and wait for its form."""
        self.page.mouse.click(*self.middle(place))
        until(lambda: self.chosen() == [place])
        expect(self.page.locator('#inspector [data-step-form] [name="node"]')).to_have_value(place)

    def port(self, place: str, name: str = "done") -> Spot:
        found = self.box(place).locator(f'[data-port="{name}"]').bounding_box()
        assert found
        return found["x"] + found["width"] / 2, found["y"] + found["height"] / 2

    def on_edge(self, key: str) -> Spot:
        """Return a spot on an arrow, half of its way along."""
        half = """path => {
          const at = path.getPointAtLength(path.getTotalLength() / 2).matrixTransform(path.getScreenCTM());
          return [at.x, at.y];
        }"""
        x, y = self.page.locator(f'[data-edge="{key}"] .hit').evaluate(half)
        return float(x), float(y)

    @property
    def prompt(self) -> Locator:
        """Return the prompt of the chosen step, in words."""
        return self.page.locator('[id="words-f.prompt"] textarea')

    @property
    def pills(self) -> Locator:
        return self.page.locator('[id="words-f.prompt"] mark')

    def press(self, keys: str) -> None:
        self.page.keyboard.press(keys)

    def press_in_one_breath(self, *keys: str) -> None:
        """Press keys, some with Shift, with no time between them in which what they do could be saved."""
        self.page.evaluate(BURST, list(keys))

    @property
    def draft(self) -> Draft:
        return Draft.objects.get(pipeline__slug=self.slug)

    def node(self, place: str) -> dict[str, Any]:
        graph = self.draft.document["graph"]
        *scopes, name = place.split(".")
        for scope in scopes:
            graph = graph["nodes"][scope]["graph"]
        return dict(graph["nodes"][name])

    def steps(self) -> set[str]:
        return set(self.draft.document["graph"]["nodes"])

    def edits(self, count: int) -> None:
        """Wait until so many changes have been kept, and shown."""
        kept = DraftEdit.objects.filter(pipeline__slug=self.slug).exclude(revision=1)
        until(lambda: self.page.wait_for_timeout(10) is None and kept.count() == count)  # the page's requests go on
        until(lambda: self.page.locator("[data-editor].saving").count() == 0)

    def pipeline(self) -> Pipeline:
        return Pipeline.objects.get(slug=self.slug)


Open = Callable[..., Canvas]
OpenDesk = Callable[..., Page]


def start_run(page: Page, stack: LiveStack, slug: str = "desk") -> Run:
    """Run a published pipeline, and return the run whose page opened."""
    page.goto(f"{stack.url}/pipelines/{slug}/run/")
    page.get_by_label("topic").fill("tea")
    page.locator("form").get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}/"))
    return Run.objects.latest("created_at")


def until(true: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    """Wait until something is true of the page or the database; the assertion at the end says what was not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return
        time.sleep(0.05)
    assert true()
