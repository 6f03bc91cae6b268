"""The editor's canvas with 1,000 steps in headless Chromium: loading, panning, dragging, changes; and what pages weigh.

    python -m bench.canvas [--steps 1000] [--containers 50] [--beside] [--peer http://…/]

`--beside` builds a page of React Flow (`bench/react_flow`) with as many boxes and measures it in turn with ours; so
does `--peer` with any page on which `.react-flow__node` or `.box` can be dragged. CPU is what the page's process was
busy for (`Performance.getMetrics`, `TaskDuration`), so other load matters less.
"""

import argparse
import gzip
import os
import shutil
import statistics
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, CDPSession, Page, Response, sync_playwright

from bench import services
from bench.beside import react_flow
from bench.table import conditions, told
from bench.web import Web, session_of, web

MOVES, CHANGES = 60, 7
LIMITS = {"usable_ms": 1000.0, "pan_ms": 60.0, "drag_ms": 30.0, "first_page_kb": 120.0}
PACKED = (".woff2", ".png")
ONE_CHANGE = """async (which) => {
  const began = performance.now();
  const news = new Promise((done) => document.addEventListener("graph:news", done, { once: true }));
  document.querySelector(`[data-${which}-button]`).click();
  await news;
  return performance.now() - began;
}"""
BOXES = ".box:not(.holds), .react-flow__node"


def a_document(steps: int, containers: int) -> dict[str, Any]:
    """Return so many steps in rows of eight, each leading to the one below; some rows stand in a For each."""
    nodes: dict[str, Any] = {"start": {"kind": "input"}}
    edges: list[dict[str, str]] = []
    names = [f"s{index}" for index in range(steps)]
    for index, name in enumerate(names):
        before = f"s{index - 8}" if index >= 8 else "start"
        nodes[name] = {"kind": "transform", "title": f"Step {index}", "set": {"value": f"{index}"}}
        edges.append({"from": before, "to": name})
    for index in range(containers):
        inner = {
            "one": {"kind": "transform", "set": {"value": "1"}},
            "two": {"kind": "transform", "set": {"value": "2"}},
        }
        graph = {"nodes": inner, "edges": [{"from": "one", "to": "two"}]}
        nodes[f"s{index * 16}"] = {"kind": "each", "title": f"Group {index}", "over": [1], "graph": graph}
    return {
        "format": "baton.pipeline",
        "format_version": "1.0",
        "id": f"bench-{steps}-{containers}",
        "name": f"Bench {steps} {containers}",
        "graph": {"nodes": nodes, "edges": edges},
    }


def busy_ms(cdp: CDPSession) -> float:
    """Return how many milliseconds the page's process has been busy so far."""
    found = cdp.send("Performance.getMetrics")["metrics"]
    return 1000 * next(float(one["value"]) for one in found if one["name"] == "TaskDuration")


def per_move(page: Page, cdp: CDPSession, start: tuple[float, float]) -> float:
    """Return the busy milliseconds of one move of a drag that begins at a spot, the button's press not counted."""
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + 6, start[1] + 6)
    page.wait_for_timeout(200)
    before = busy_ms(cdp)
    for move in range(MOVES):
        page.mouse.move(start[0] + 6 + 2 * (move % 20), start[1] + 6 + move)
        page.evaluate("() => new Promise(requestAnimationFrame)")
    spent = busy_ms(cdp) - before
    page.mouse.up()
    return spent / MOVES


def measured(page: Page, address: str) -> dict[str, float]:
    """Open a page and return its figures."""
    cdp = page.context.new_cdp_session(page)
    cdp.send("Performance.enable")
    began = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_selector(BOXES)
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    figures = {"usable_ms": 1000 * (time.perf_counter() - began), "load_busy_ms": busy_ms(cdp)}
    for button in page.locator("[data-zoom=fit], .react-flow__controls-fitview").all()[:1]:
        button.click()
    page.wait_for_timeout(500)
    area = page.locator("[data-graph], .react-flow").first.bounding_box()
    assert area
    figures["pan_ms"] = per_move(page, cdp, (area["x"] + area["width"] - 8, area["y"] + area["height"] / 3))
    box = in_sight(page)
    figures["drag_ms"] = per_move(page, cdp, box)
    page.wait_for_timeout(1500)
    if page.locator("[data-undo-button]").count():
        figures["change_ms"] = change_ms(page)
    figures["elements"] = float(page.evaluate("document.querySelectorAll('*').length"))
    page.context.close()
    return figures


def in_sight(page: Page) -> tuple[float, float]:
    """Return the middle of a box that a pointer would hit."""
    script = """(selector) => [...document.querySelectorAll(selector)].map((one) => {
      const box = one.getBoundingClientRect();
      return [box.x + box.width / 2, box.y + box.height / 2, one];
    }).find(([x, y, one]) => one.contains(document.elementFromPoint(x, y)))?.slice(0, 2)"""
    x, y = page.evaluate(script, BOXES)
    return float(x), float(y)


def change_ms(page: Page) -> float:
    """Return the milliseconds from a change to its picture: the drag is taken back, and done again in turn."""
    changes = ("redo" if index % 2 else "undo" for index in range(CHANGES))
    return statistics.median(float(page.evaluate(ONE_CHANGE, change)) for change in changes)


def weighed(page: Page, address: str) -> dict[str, float]:
    """Return the kilobytes over the wire, compressed, of all that an empty cache loads for a page."""
    seen: list[Response] = []
    page.on("response", lambda response: seen.append(response))  # noqa: PLW0108 - it marks the function it is given
    page.goto(address, wait_until="load")
    page.wait_for_timeout(800)
    found: dict[str, float] = {}
    for response in seen:
        name = response.url.rpartition("/static/")[2].rpartition("/")[2] or urlsplit(response.url).path
        body = response.body() if response.ok else b""
        packed = len(body if name.endswith(PACKED) else gzip.compress(body, 9)) / 1000
        found[name] = round(found.get(name, 0.0) + packed, 1)
    page.context.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--containers", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", default="", help="the address of a page to measure beside ours")
    parser.add_argument("--beside", action="store_true", help="build React Flow's page (npm) and measure it too")
    options = parser.parse_args()
    with (
        react_flow(options.steps, options.beside) as (beside, why),
        services.running(),
        web() as server,
        sync_playwright() as playwright,
    ):
        peers = {"peer": options.peer, "React Flow": beside}
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for line in lines(browser, server, options, {name: address for name, address in peers.items() if address}):
            told({"figure": "canvas", **line})
        browser.close()
    if why:
        told({"figure": "canvas", "page": "React Flow", "not_measured": why})
    told({"figure": "canvas", "limits": LIMITS, **conditions()})


def lines(
    browser: Browser, server: Web, options: argparse.Namespace, peers: dict[str, str]
) -> Iterator[dict[str, Any]]:
    """Yield the figures of each page, the peers' in turn with ours."""
    os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright's loop runs in this thread
    session, places = drafts_for(server, options)
    pages = {name: f"{server.url}/pipelines/{slug}/" for name, slug in places.items()}
    pages |= peers
    found: dict[str, list[dict[str, float]]] = {name: [] for name in pages}
    for _ in range(options.rounds):
        for name, address in pages.items():
            found[name].append(measured(opened(browser, session), address))
    for name, rounds in found.items():
        yield {"page": name, **{key: round(statistics.median(one[key] for one in rounds), 1) for key in rounds[0]}}
    for name in peers:
        yield {"page": f"flat ÷ {name}", **ratios(found["flat"], found[name])}
    weights = weighed(opened(browser, session), f"{server.url}/pipelines/{places['small']}/")
    yield {"page": "first page, kB compressed", "all": round(sum(weights.values()), 1), **weights}


def ratios(ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of ours ÷ theirs over the rounds, of every figure that both have."""
    shared = [key for key in ours[0] if key in theirs[0]]
    pairs = list(zip(ours, theirs, strict=True))
    return {key: round(statistics.median(a[key] / b[key] for a, b in pairs), 2) for key in shared}


def drafts_for(server: Web, options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, str]]:
    """Make the drafts; return a cookie of somebody who may edit them, and their names by what they are."""
    import django

    django.setup()
    from django.conf import settings

    from bench import workloads
    from pipelines import drafts

    actor = workloads.bench_actor("http://127.0.0.1:9")
    made = {"small": (12, 1), "flat": (options.steps, 0), "with containers": (options.steps, options.containers)}
    for steps, containers in made.values():
        drafts.create(actor, a_document(steps, containers))
    cookie = {"name": settings.SESSION_COOKIE_NAME, "value": session_of(actor.user), "url": server.url}
    return cookie, {name: a_document(*sizes)["id"] for name, sizes in made.items()}


def opened(browser: Browser, session: dict[str, Any] | None) -> Page:
    """Return a page of a browser with an empty cache, of somebody who is signed in where a cookie says so."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    if session:
        context.add_cookies([session])  # type: ignore[list-item]
    return context.new_page()


if __name__ == "__main__":
    main()
