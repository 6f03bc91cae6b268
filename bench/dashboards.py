"""`python -m bench.dashboards [--runs 1000000] [--spans 10]`: what managers ask of a history of ten million calls.

Fills a workspace with finished runs (`bench.history`), then prints for every question of the cost pages its p95 over
several rounds, cold buffers and all; for the pages the same with a web server between; and what bringing the calls
into the daily books took (`bench.booking`). `--filled` asks a database that an earlier call has filled.
"""

import argparse
import datetime as dt
import time
import zoneinfo
from collections.abc import Callable, Iterator
from typing import Any

from bench import services
from bench.booking import booked
from bench.pages import measured
from bench.table import conditions, spread, told
from bench.web import session_of, web

TARGET_QUERY_MS, TARGET_PAGE_MS = 1000, 1500
PAGES = (
    "/costs/",
    "/costs/speed/",
    "/costs/chargeback/",
    "/costs/runs/",
    "/",
    "/pipelines/",
    "/runs/",
    "/api/v1/costs",
    "/api/v1/costs?group_by=agent,step,day",
)
DAY = dt.timedelta(days=1)
MONTH = 30 * DAY


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--spans", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--filled", action="store_true", help="the database of DATABASE_URL has the history already")
    options = parser.parse_args()
    with services.running():
        import django

        django.setup()
        from bench import history, workloads

        if options.filled:
            actor = workloads.bench_actor("http://127.0.0.1:9")
        else:
            actor = history.bare_actor()
            fill(actor, options.runs, options.spans)
        slowest = max(asked(name, ask, options.rounds) for name, ask in questions(actor.workspace))
        told({"figure": "questions", "slowest_p95_ms": slowest, "target_p95_ms": TARGET_QUERY_MS, **conditions()})
        with web() as server:
            pages = [measured(server, page, session_of(actor.user), options.rounds) for page in PAGES]
        for page, figures in zip(PAGES, pages, strict=True):
            told({"figure": "page", "page": page, **figures})
        slowest = max(figures["p95_ms"] for figures in pages)
        told({"figure": "managers' pages", "slowest_p95_ms": slowest, "target_p95_ms": TARGET_PAGE_MS, **conditions()})


def fill(actor: Any, runs: int, spans: int) -> None:
    """Give the actor's workspace its history, and bring it into the daily books."""
    from bench import history
    from runs.spending.booking import RUNS_AT_ONCE_ANEW

    began = time.perf_counter()
    history.fill(actor, runs, spans, with_steps=False)
    told({"figure": "filled", "calls": runs * spans, "seconds": round(time.perf_counter() - began)})
    told({"figure": "booking", "how": "rebuilt", **booked(RUNS_AT_ONCE_ANEW, runs, spans)})
    history.settle()


def questions(workspace: Any) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield every kind of question that a dashboard asks: a month and all of the history, by each dimension."""
    from django.utils import timezone

    from accounts.access import Actor
    from accounts.models import User
    from accounts.roles import Role
    from runs import costs, dashboards, drilling, health, speeds
    from runs.spending import DIMENSIONS, Question, ask, filters

    def longest(today: dt.date) -> filters.Filters:
        return filters.read({"from": [str(today - 4 * MONTH)]}, today)

    zone, now = zoneinfo.ZoneInfo(workspace.zone), timezone.now()
    midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)

    def asks(
        by: tuple[str, ...], since: dt.datetime, until: dt.datetime | None = None, **only: str
    ) -> Callable[[], object]:
        """As the pages do, up to the end of today."""
        return lambda: ask(Question(workspace, by, since, until or midnight + DAY, zone, only))

    for by in [(), *((name,) for name in DIMENSIONS), ("pipeline", "day"), ("agent", "model", "day")]:
        yield f"a month by {','.join(by) or 'nothing'}", asks(by, midnight - MONTH)
        yield f"all days by {','.join(by) or 'nothing'}", asks(by, midnight - 4 * MONTH)
    yield "one pipeline's month by step", asks(("step",), midnight - MONTH, pipeline="history-3")
    yield "one agent's month by day", asks(("day",), midnight - MONTH, agent="bench-1")
    yield "one tag's month by model", asks(("model",), midnight - MONTH, tag="weekly")
    yield "from a moment, by person", asks(("person",), now - MONTH)
    yield "from a moment until a moment, by model", asks(("model",), now - MONTH, now - DAY / 2)
    today = now.astimezone(zone).date()
    reader = Actor(User(), workspace, frozenset({Role.VIEWER}))
    for name, month in (("this month", filters.read({}, today)), ("all days", longest(today))):
        yield f"the page of costs, {name}", lambda month=month: dashboards.board(workspace, month, now)
        yield f"the page of speeds, {name}", lambda month=month: speeds.speeds(workspace, month)
        yield f"the page of charges, {name}", lambda month=month: dashboards.charges(workspace, month)
    day = filters.read({"from": [str(today)]}, today)
    yield "the runs of a day", lambda: drilling.listed(workspace, day, {})
    yield "today by hour", lambda: costs.by_hour(workspace, now)
    yield "pipelines' health", lambda: health.pipelines(reader, now)


def asked(name: str, ask: Callable[[], object], rounds: int) -> float:
    """Print a question's times and return its p95."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        ask()
        times.append(1000 * (time.perf_counter() - began))
    figures = spread(times)
    told({"figure": "question", "question": name, **figures})
    return figures["p95_ms"]


if __name__ == "__main__":
    main()
