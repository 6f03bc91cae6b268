"""`python -m bench.live [--seconds 20] [--sockets 10]`: how long after it was decided an event stands on a page.

A run of about fifty events per second is followed by some sockets as pages open them, and by a page in a browser where
Chromium and Playwright are there. An event's time is the worker's when it decided, before the commit; the time on the
page is when its fragments were swapped in.
"""

import argparse
import asyncio
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

from bench import services
from bench.meter import cpu
from bench.run import stub, worker
from bench.sockets import opened
from bench.table import conditions, spread, told
from bench.web import Web, session_of, web

MODEL_MS = 80  # one item after another: four events for each
ITEMS_PER_SECOND = 11
TARGET_P50_MS, TARGET_P99_MS = 80, 300
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Kept by the page: the number of the last event it shows, and when it began to show it.
NOTE = """() => {
  window.shown = [];
  const words = document.querySelector("[data-live-words]");
  new MutationObserver(() => {
    const seq = Number(words.textContent.match(/event (\\d+)/)?.[1] ?? 0);
    if (seq > (window.shown.at(-1)?.[0] ?? 0)) window.shown.push([seq, Date.now()]);
  }).observe(words, { childList: true, characterData: true, subtree: true });
}"""

Shown = list[tuple[int, float]]  # up to which event, and when


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--sockets", type=int, default=10)
    options = parser.parse_args()
    with services.running(), stub() as (address, _), worker(), web() as server:
        line = measure(address, server, options.seconds, options.sockets)
    told({"figure": "live", **line, "target_p50_ms": TARGET_P50_MS, "target_p99_ms": TARGET_P99_MS, **conditions()})


def measure(address: str, server: Web, seconds: int, sockets: int) -> dict[str, Any]:
    """Return the milliseconds from decision to page, over the sockets and in the browser."""
    from bench import workloads
    from runs.models import Event
    from runs.services import Order, start_run

    actor = workloads.bench_actor(address)
    pipeline = workloads.items(actor, seconds * ITEMS_PER_SECOND, MODEL_MS, at_once=1)
    session = session_of(actor.user)
    run = start_run(actor, pipeline, Order({"run": "live"}))
    before = cpu([server.pid]), time.monotonic()
    heard, shown = asyncio.run(_watch(server, session, str(run.pk), (sockets, seconds * 3)))
    share = (cpu([server.pid]) - before[0]) / (time.monotonic() - before[1])
    times = {seq: at.timestamp() for seq, at in Event.objects.filter(run=run).values_list("seq", "at")}
    span = max(times.values()) - min(times.values())
    return {
        "events": len(times),
        "events_per_s": round(len(times) / span, 1),
        "sockets": sockets,
        "frames_per_s": round(sum(map(len, heard)) / max(1, len(heard)) / span, 1),
        "socket": spread([late for one in heard for late in _late(one, times)]),
        "browser": spread(_late(shown, times)) if shown else "Chromium or Playwright is not there",
        "web_cpu_percent_of_a_core": round(100 * share, 1),
    }


def _late(shown: Shown, times: dict[int, float]) -> list[float]:
    """Return the milliseconds from each event's time to its frame's, of those decided once a first frame stood."""
    return [
        1000 * (when - times[seq])
        for (before, _), (last, when) in pairwise(shown)
        for seq in range(before + 1, last + 1)
        if times[seq] > shown[0][1]
    ]


async def _watch(server: Web, session: str, run_id: str, limits: tuple[int, float]) -> tuple[list[Shown], Shown]:
    """Follow the run to its end with so many sockets and a browser; return what each was sent and what it showed."""
    async with page(server, session, run_id) as shown_by_page:
        heard = await _listen(server, session, run_id, *limits)
        return heard, await shown_by_page()


async def _listen(server: Web, session: str, run_id: str, count: int, seconds: float) -> list[Shown]:
    """Follow the run with so many sockets until its last event; return what each was sent and when."""
    import orjson

    heard: list[Shown] = [[] for _ in range(count)]
    ended = asyncio.Event()

    def hear(one: Shown, text: bytes) -> None:
        now = time.time()
        frame = orjson.loads(text)
        if not frame.get("heartbeat"):
            one.append((frame["seq"], now))
        if "Ended" in frame.get("content", ""):
            ended.set()

    url = f"{server.url.replace('http', 'ws')}/ws/runs/{run_id}?after=0"
    headers = {"Origin": server.url, "Cookie": f"sessionid={session}"}
    pages = [await opened(url, headers, lambda text, one=one: hear(one, text)) for one in heard]
    try:
        async with asyncio.timeout(seconds):
            await ended.wait()
    except TimeoutError:
        sys.exit(f"The run did not end within {seconds} s.")
    await asyncio.sleep(0.5)
    for one in pages:
        one.close()
    return heard


@asynccontextmanager
async def page(server: Web, session: str, run_id: str) -> AsyncIterator[Callable[[], Awaitable[Shown]]]:
    """Open the run's page in a browser; give a function that returns what it has shown. Without a browser: nothing."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None or not find_spec("playwright"):
        yield _nothing
        return
    from playwright.async_api import async_playwright

    async with async_playwright() as driver:
        flags = ["--disable-gpu", "--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        browser = await driver.chromium.launch(executable_path=path, args=flags)
        context = await browser.new_context()
        await context.add_cookies([{"name": "sessionid", "value": session, "url": server.url}])
        tab = await context.new_page()
        await tab.goto(f"{server.url}/runs/{run_id}/")
        await tab.evaluate(NOTE)

        async def shown() -> Shown:
            return [(seq, at / 1000) for seq, at in await tab.evaluate("window.shown")]

        yield shown


async def _nothing() -> Shown:
    return []


if __name__ == "__main__":
    main()
