"""`python -m bench.load [--minutes 10]`: many people and many runs at once, for a while.

1,000 sockets follow 50 runs, 450 others go on beside them (as one ends the next begins), and pages are asked for at
fifty a second. Told are how late events came to the sockets (p99 ≤ 2 s), how long pages took from when they were due,
how long runs waited for their start (p99 ≤ 2 s), whatever failed, and each process's memory at the start and at the
end. The exit status says whether the limits hold, nothing failed and no memory grew.

`--minutes 1 --sockets 100 --runs 50 --rate 10` is a form for trying.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, suppress
from datetime import timedelta
from multiprocessing import get_context
from statistics import mean
from typing import Any

import psutil

from bench import services
from bench.meter import cpu, postmaster
from bench.run import stub, worker
from bench.table import conditions, spread, told
from bench.visitors import Plan, visit
from bench.web import session_of, web

MODEL_MS = 10_000
STEPS = 5
FOLLOWED = 10  # one run of so many is followed, and lasts all the time
PEOPLE = 20
EVERY_SECONDS = 10.0
MOST_STARTS = 10  # between two looks
LOOK_SECONDS = 0.25
LIMITS = {"socket.p99_ms": 2_000, "start.p99_ms": 2_000}
Sample = dict[str, float]  # megabytes by process, and how many runs were open
PAGES = (
    "/",
    "/pipelines/",
    "/pipelines/{pipeline}/",
    "/runs/",
    "/runs/?state=failed",
    "/runs/{run}/",
    "/runs/{run}/?view=timeline",
    "/approvals/",
    "/agents/",
    "/costs/",
    "/notices/",
    "/api/v1/runs",
    "/api/v1/runs/{run}",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--sockets", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--webs", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with services.running(), stub() as (address, _), ExitStack() as stack:
        slots = {"BATON_WORKER_CONCURRENCY": str(options.runs)}
        names = [f"worker{n}" for n in range(1, options.workers + 1)]
        workers = {name: stack.enter_context(worker(f"load-{name}-", **slots)) for name in names}
        webs = [stack.enter_context(web()) for _ in range(options.webs)]
        pids = {**workers, **{f"web{n}": server.pid for n, server in enumerate(webs, 1)}}
        found = Load(address, pids, options).measured([server.url for server in webs])
    told({"figure": "load", **vars(options), **found, **conditions()})
    sys.exit(0 if found["ok"] else 1)


class Load:
    """Keeps so many runs open and looks at the processes, while visitors come and go."""

    def __init__(self, address: str, pids: Mapping[str, int], options: argparse.Namespace) -> None:
        import django

        django.setup()
        from bench import workloads

        self._options = options
        self._actor = workloads.bench_actor(address)
        self._seconds = 60 * options.minutes
        items = round(3 * (self._seconds + 120) / (MODEL_MS / 1000))
        self._long = workloads.items(self._actor, items, MODEL_MS, at_once=1)
        self._short = workloads.chain(self._actor, STEPS, MODEL_MS)
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        if database := postmaster():
            self._processes["database"] = psutil.Process(database)
        self._started = 0

    def measured(self, webs: Sequence[str]) -> dict[str, Any]:
        """Return what was seen; `ok` says whether the limits hold."""
        idle = self._memory()
        followed = self._followed(max(1, self._options.runs // FOLLOWED))
        while self._open() < self._options.runs:
            self._top_up()
            time.sleep(LOOK_SECONDS)
        plan = self._plan(webs, followed)
        with ProcessPoolExecutor(1, get_context("spawn")) as apart:
            seen, samples, used = self._go_on(apart.submit(visit, plan))
        missing = self._missing(seen.pop("seen"))
        found = {
            **seen,
            "missing": missing,
            "start": self._waits(),
            "failed": self._failed(),
            "started": self._started,
        }
        memory = _grown(samples)
        found |= {"open_runs": round(mean(sample["open"] for sample in samples)), "cpu_percent_of_a_core": used}
        found |= {"idle_mb": idle, "memory_mb": {name: pair for name, (*pair, _) in memory.items()}}
        return {**found, "limits": LIMITS, "ok": _holds(found) and all(flat for *_, flat in memory.values())}

    def _followed(self, count: int) -> list[str]:
        """Start the runs that last; their models answer one after the other, not all at once."""
        started = []
        for _ in range(count):
            started.append(str(self._start(self._long).pk))
            time.sleep(MODEL_MS / 1000 / count)
        return started

    def _go_on(self, visitors: "Future[dict[str, Any]]") -> tuple[dict[str, Any], list[Sample], dict[str, float]]:
        """Keep the runs going until the visitors have left; return what they saw, samples, and each process's CPU."""
        samples: list[Sample] = []
        began, before = time.monotonic(), self._cpu()
        while not visitors.done():
            self._top_up()
            if time.monotonic() >= began + len(samples) * EVERY_SECONDS:
                samples.append({"open": float(self._open()), **self._memory()})
                told({"at_s": round(time.monotonic() - began), **samples[-1]})
            time.sleep(LOOK_SECONDS)
        seconds = time.monotonic() - began
        used = {name: round(100 * (after - before[name]) / seconds) for name, after in self._cpu().items()}
        return visitors.result(), samples, used

    def _plan(self, webs: Sequence[str], followed: Sequence[str]) -> Plan:
        options = self._options
        names = {"pipeline": self._short.slug, "run": followed[0]}
        return Plan(
            webs=webs,
            sessions=[session_of(person) for person in self._people()],
            reader=session_of(self._actor.user),
            runs=followed,
            pages=[page.format_map(names) for page in PAGES],
            sockets=options.sockets,
            rate=options.rate,
            seconds=self._seconds,
        )

    def _people(self) -> list[Any]:
        from accounts.models import Membership, User

        people = [User.objects.create_user(f"visitor-{number}@example.com") for number in range(PEOPLE)]
        Membership.objects.bulk_create(
            [Membership(workspace=self._actor.workspace, user=person, roles=["viewer"]) for person in people]
        )
        return people

    def _start(self, pipeline: Any) -> Any:
        from runs.services import Order, start_run

        self._started += 1
        return start_run(self._actor, pipeline, Order({"run": f"r{self._started}"}))

    def _top_up(self) -> None:
        for _ in range(min(MOST_STARTS, self._options.runs - self._open())):
            self._start(self._short)

    def _open(self) -> int:
        from runs.models import Run

        return int(Run.objects.filter(finished_at=None).count())

    def _failed(self) -> int:
        from runs.models import Run

        return int(Run.objects.filter(state="failed").count())

    def _waits(self) -> dict[str, float]:
        """Return the milliseconds from order to start."""
        from runs.models import Run

        rows = Run.objects.filter(started_at__isnull=False).values_list("created_at", "started_at")
        return spread([1000 * (started - ordered).total_seconds() for ordered, started in rows])

    def _missing(self, seen: Sequence[tuple[str, int]]) -> int:
        """Return how many events older than what is still under way the sockets have not seen."""
        from django.db.models import Max
        from django.utils import timezone

        from runs.models import Event

        long_ago = timezone.now() - timedelta(seconds=20)
        rows = Event.objects.filter(run__in={run for run, _ in seen}, at__lt=long_ago)
        newest = {str(run): seq for run, seq in rows.values_list("run").annotate(Max("seq"))}
        return sum(max(0, newest.get(run, 0) - last) for run, last in seen)

    def _memory(self) -> dict[str, float]:
        return {name: _megabytes(name, process) for name, process in self._processes.items()}

    def _cpu(self) -> dict[str, float]:
        return {name: cpu([process.pid]) for name, process in self._processes.items()}


def _megabytes(name: str, process: psutil.Process) -> float:
    """Return the resident megabytes; of the database's many processes, pages that they share are counted once."""
    if name != "database":
        return round(process.memory_info().rss / 1e6, 1)
    whole = 0
    for one in (process, *process.children()):
        with suppress(psutil.Error):  # a connection that has just ended
            whole += one.memory_full_info().pss
    return round(whole / 1e6, 1)


def _grown(samples: Sequence[Sample]) -> dict[str, tuple[float, float, bool]]:
    """Return each process's megabytes in the first and the last third, after a warm-up, and whether it is flat."""
    warm = samples[max(1, len(samples) // 10) :] or samples
    third = max(1, len(warm) // 3)
    found = {}
    for name in (name for name in samples[0] if name != "open"):
        first, last = (mean(sample[name] for sample in part) for part in (warm[:third], warm[-third:]))
        found[name] = (round(first, 1), round(last, 1), name == "database" or last <= first * 1.1 + 10)
    return found


def _holds(found: Mapping[str, Any]) -> bool:
    within = all(found[key.partition(".")[0]][key.partition(".")[2]] <= limit for key, limit in LIMITS.items())
    return within and not (found["missing"] or found["out_of_order"] or found["failed"] or found["page_errors"])


if __name__ == "__main__":
    main()
