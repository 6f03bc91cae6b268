"""`python -m bench.pages [--runs 100000]`: the server's time for each page and list of a workspace with a long history.

Fills a workspace with finished runs (`bench.history`), starts one web process, and asks for every page in turn, several
rounds, by one connection that stays open. A page's time is from the request's last byte to the answer's last; the
first round warms and is not counted. Beside it stands the mean of the web process's CPU, which a busy machine changes
less.
"""

import argparse
import http.client
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from bench import services
from bench.meter import cpu
from bench.table import conditions, spread, told
from bench.web import Web, session_of, web

TARGET_P95_MS = 100
SPANS = 3
PAGES = (
    "/",
    "/pipelines/",
    "/pipelines/{pipeline}/",
    "/pipelines/{pipeline}/outline/",
    "/pipelines/{pipeline}/run/",
    "/pipelines/{pipeline}/versions/",
    "/pipelines/{pipeline}/publish/",
    "/runs/",
    "/runs/?state=failed",
    "/runs/?pipeline__slug={pipeline}",
    "/runs/{run}/",
    "/runs/{run}/?view=timeline",
    "/runs/{run}/?view=log",
    "/runs/{run}/step/?path=a2",
    "/approvals/",
    "/agents/",
    "/agents/{agent}/",
    "/agents/+figures/",
    "/costs/",
    "/costs/speed/",
    "/costs/chargeback/",
    "/costs/runs/",
    "/costs/budgets/",
    "/costs/prices/",
    "/costs/alerts/",
    "/notices/",
    "/settings/triggers/",
    "/templates/",
    "/knowledge/",
    "/api/v1/runs",
    "/api/v1/runs?state=failed",
    "/api/v1/runs/{run}",
    "/api/v1/runs/{run}/steps",
    "/api/v1/runs/{run}/spans",
    "/api/v1/pipelines",
    "/api/v1/approvals",
    "/api/v1/costs",
    "/api/v1/costs?group_by=agent,model,day",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    with services.running():
        import django

        django.setup()
        names, session = prepared(options.runs)
        with web() as server:
            slowest = 0.0
            for page in PAGES:
                figures = measured(server, page.format_map(names), session, options.rounds)
                slowest = max(slowest, figures["p95_ms"])
                told({"figure": "page", "page": page, **figures})
    told(
        {
            "figure": "pages",
            "runs": options.runs,
            "slowest_p95_ms": slowest,
            "target_p95_ms": TARGET_P95_MS,
            **conditions(),
        }
    )


def prepared(runs: int) -> tuple[Mapping[str, object], str]:
    """Fill the workspace; return what the addresses name, and a session of its member."""
    from bench import history
    from runs.models import Run

    actor = history.bare_actor()
    pipelines = history.fill(actor, runs, SPANS)
    history.book()
    run = Run.objects.get(workspace=actor.workspace, number=runs // 2)
    names = {"pipeline": pipelines[0].slug, "run": run.pk, "agent": "bench-1-0"}
    return names, session_of(actor.user)


def measured(server: Web, path: str, session: str, rounds: int) -> dict[str, Any]:
    """Return the milliseconds of a page over the rounds after the first, its CPU and its bytes."""
    where = urlsplit(server.url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port)
    times = []
    size = 0
    for number in range(rounds + 1):
        if number <= 1:
            used = cpu([server.pid])
        began = time.perf_counter()
        connection.request("GET", path, headers={"Cookie": f"sessionid={session}"})
        answer = connection.getresponse()
        size = len(answer.read())
        times.append(1000 * (time.perf_counter() - began))
        if answer.status != 200:
            raise SystemExit(f"{path} answered {answer.status}.")
    connection.close()
    return {**spread(times[1:]), "cpu_ms": round(1000 * (cpu([server.pid]) - used) / rounds, 1), "bytes": size}


if __name__ == "__main__":
    main()
