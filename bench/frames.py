"""`python -m bench.frames [--seconds 10] [--beside] [--peer http://…/?updates=50]`: pictures per second of a canvas.

A run of 1,000 steps, sixteen in a row at a time, is followed on its page in headless Chromium: some 50 steps begin and
as many end each second, so that a hundred times a second a card changes what it says. The worker, the web server and
the browser share this machine. `--beside` builds a page of React Flow (`bench/react_flow`) with as many boxes, fifty of
which change each second, and measures it in the same run; so does `--peer` with a page of yours. `busy_ms_per_s` is
what the page's process was busy for, so other load matters less.
"""

import argparse
import os
import shutil
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from bench import services
from bench.beside import react_flow
from bench.canvas import busy_ms, opened
from bench.run import stub, worker
from bench.table import conditions, told
from bench.web import Web, session_of, web

STEPS, ROW, MODEL_MS = 1000, 16, 320
UPDATES = 50
TARGET_FPS = 50
# Pictures, and changes of what a card says, over some seconds.
COUNT = """(seconds) => new Promise((done) => {
  let pictures = 0, changes = 0;
  const states = new Map();
  const looked = () => {
    for (const box of document.querySelectorAll(".slot, .react-flow__node")) {
      const card = box.querySelector(".node, .card"), said = card ? card.className + card.textContent : "";
      if (states.has(box) && states.get(box) !== said) changes += 1;
      states.set(box, said);
    }
  };
  looked();
  const began = performance.now();
  const picture = (now) => {
    pictures += 1;
    if (now - began < seconds * 1000) requestAnimationFrame(picture);
    else { looked(); done([pictures / ((now - began) / 1000), changes / seconds]); }
  };
  requestAnimationFrame(picture);
})"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--peer", default="", help="the address of a page to measure beside ours")
    parser.add_argument("--beside", action="store_true", help="build React Flow's page (npm) and measure it too")
    options = parser.parse_args()
    with (
        react_flow(STEPS, options.beside) as (beside, why),
        services.running(),
        stub() as (address, _),
        worker(),
        web() as server,
        sync_playwright() as playwright,
    ):
        os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright's loop runs in this thread
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        peers = {"peer": options.peer, "React Flow": beside and f"{beside}&updates={UPDATES}"}
        found = {name: counted(opened(browser, None), peer, options.seconds) for name, peer in peers.items() if peer}
        ours = of_a_run(browser, server, address, options.seconds)
        browser.close()
    for name, theirs in {**found, "run": ours}.items():
        told({"figure": "frames", "page": name, **theirs})
    for name, theirs in found.items():
        told({"figure": "frames", "page": f"run ÷ {name}", **{key: round(ours[key] / theirs[key], 2) for key in ours}})
    if why:
        told({"figure": "frames", "page": "React Flow", "not_measured": why})
    told({"figure": "frames", "target_fps": TARGET_FPS, **conditions()})


def of_a_run(browser: Browser, server: Web, address: str, seconds: int) -> dict[str, Any]:
    """Start a run and return the figures of its page."""
    from django.conf import settings

    from bench import workloads
    from runs.services import Order, start_run

    actor = workloads.bench_actor(address)
    pipeline = workloads.lanes(actor, STEPS, ROW, MODEL_MS)
    run = start_run(actor, pipeline, Order({"run": "frames"}))
    cookie = {"name": settings.SESSION_COOKIE_NAME, "value": session_of(actor.user), "url": server.url}
    return counted(opened(browser, cookie), f"{server.url}/runs/{run.pk}/", seconds)


def counted(page: Page, address: str, seconds: int) -> dict[str, Any]:
    """Open a page, show all of it, and return its pictures per second."""
    page.goto(address)
    page.wait_for_selector(".slot, .react-flow__node")
    for button in page.locator("[data-zoom=fit], .react-flow__controls-fitview").all()[:1]:
        button.click()
    page.wait_for_timeout(2000)
    cdp = page.context.new_cdp_session(page)
    cdp.send("Performance.enable")
    before = busy_ms(cdp)
    pictures, changes = page.evaluate(COUNT, seconds)
    busy = (busy_ms(cdp) - before) / seconds
    page.context.close()
    return {"fps": round(pictures, 1), "changed_cards_per_s": round(changes, 1), "busy_ms_per_s": round(busy, 1)}


if __name__ == "__main__":
    main()
