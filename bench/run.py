"""`python -m bench.run`: the workloads W1 to W3 on this installation, a JSON line each.

`python -m bench.run [-w W1|W2|W3] [--ms N] [-n RUNS]` starts a stub model server and one worker process, starts the
runs through `services.start_run`, and takes each run's time from its own row (started_at to finished_at). CPU and
memory are the worker's process tree; the database's CPU stands beside them.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

from bench import services

IDEAL = {"W1": 10, "W2": 2, "W3": 5}
STEPS = {"W1": 10, "W2": 51, "W3": 5}
EVERY = [("W1", 0), ("W1", 200), ("W2", 200), ("W3", 200)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-w", "--workload", choices=IDEAL)
    parser.add_argument("--ms", type=int, default=0)
    parser.add_argument("-n", type=int, default=0)
    options = parser.parse_args()
    chosen = [(options.workload, options.ms)] if options.workload else EVERY
    with services.running(), stub() as (address, _), worker() as pid:
        for workload, ms in chosen:
            line = measure(workload, ms, options.n or runs_of(workload, ms), (address, pid))
            print(json.dumps(line), flush=True)
            if out := os.environ.get("OUT"):
                with open(out, "a") as file:
                    file.write(json.dumps(line) + "\n")


def runs_of(workload: str, ms: int) -> int:
    return {"W1": 3 if ms else 20, "W2": 3, "W3": 100}[workload]


def measure(workload: str, ms: int, count: int, where: tuple[str, int]) -> dict[str, Any]:
    """Return one line of figures: seconds, milliseconds of overhead per step, CPU seconds per 1,000 steps."""
    from bench import workloads
    from bench.meter import Meter, postmaster

    address, pid = where
    actor = workloads.bench_actor(address)
    pipeline = workloads.fan(actor, 50, ms) if workload == "W2" else workloads.chain(actor, IDEAL[workload], ms)
    at_once = count if workload == "W3" else 1
    times(actor, pipeline, 1, 1)
    with Meter([pid], postmaster()) as meter:
        seconds = times(actor, pipeline, count, at_once)
    floor = IDEAL[workload] * ms / 1000
    median = statistics.median(seconds)
    steps = STEPS[workload] * count
    line = {
        "peer": "baton",
        "workload": f"{workload}-{ms}ms",
        "n": count,
        "median_s": round(median, 4),
        "p95_s": round(sorted(seconds)[min(count - 1, round(0.95 * (count - 1)))], 4),
        "overhead_ms_per_step": round(1000 * (median - floor) / (STEPS if workload == "W2" else IDEAL)[workload], 3),
        "cpu_s_per_1000_steps": round(1000 * meter.cpu_s / steps, 2),
        "pg_cpu_s_per_1000_steps": round(1000 * meter.database_cpu_s / steps, 2),
        "rss_mb": round(meter.rss_mb, 1),
        "durable": "postgres",
    }
    if workload == "W3":
        line["runs_per_s"] = round(count / meter.wall_s, 2)
    return line


def times(actor: Any, pipeline: Any, count: int, at_once: int) -> list[float]:
    """Run the pipeline `count` times, `at_once` together, and return each run's seconds from its row."""
    from runs.models import Run
    from runs.services import Order, start_run

    def start(number: int) -> Any:
        return start_run(actor, pipeline, Order({"run": f"r{number}"})).pk

    seconds: list[float] = []
    for first in range(0, count, at_once):
        numbers = range(first, first + at_once)
        batch = list(map(start, numbers) if at_once == 1 else clients().map(start, numbers))
        deadline = time.monotonic() + 120
        while Run.objects.filter(pk__in=batch, finished_at=None).exists():
            if time.monotonic() > deadline:
                sys.exit(f"The runs did not finish in 120 s: {Run.objects.filter(pk__in=batch).values_list('state')}")
            time.sleep(0.025)
        for run in Run.objects.filter(pk__in=batch):
            if run.state != "succeeded":
                sys.exit(f"Run {run.pk} {run.state}: {run.error}")
            seconds.append((run.finished_at - run.started_at).total_seconds())
    return seconds


@cache
def clients() -> ThreadPoolExecutor:
    """Return the threads that start runs together; each keeps its connection to the database."""
    return ThreadPoolExecutor(4)


@contextmanager
def stub() -> Iterator[tuple[str, int]]:
    """Run the stub model server; give its address and pid. `STUB` names one that runs already."""
    if given := os.environ.get("STUB"):
        yield given, 0
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "bench.stub_model", str(port)])
    try:
        _await_port(port)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def worker(name: str = "bench", **environment: str) -> Iterator[int]:
    """Run one worker process; give its pid once it serves."""
    import django

    django.setup()
    command = [sys.executable, "-W", "ignore", "-m", "celery", "--quiet", "-A", "orchestrator_site", "worker"]
    options = ["-P", "threads", "-c", "2", "-l", "ERROR", "-n", f"{name}{os.getpid()}@localhost"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, env={**os.environ, **environment})
    try:
        time.sleep(2.5)
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def _await_port(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"The stub model server did not answer on port {port}.")


if __name__ == "__main__":
    main()
