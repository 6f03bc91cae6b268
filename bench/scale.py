"""How cost grows: `python -m bench.scale [--rounds N]` prints two ratios, measured interleaved.

`two_workers`: runs per second of two worker processes against one, when the model is the limit (few calls at a time,
each of 200 ms). `each_items`: seconds and CPU per item of a For each over 2,000 items against one over 20.
"""

import argparse
import time
from contextlib import ExitStack
from typing import Any

from bench import services
from bench.run import stub, times, worker
from bench.table import conditions, ratio_of, told

AT_ONCE = 60
SLOTS = {"BATON_WORKER_CONCURRENCY": "12"}
SMALL, LARGE = 20, 2_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with services.running(), stub() as (address, _):
        import django

        django.setup()
        told({"figure": "two_workers", **two_workers(address, rounds), "target": 1.7, **conditions()})
        told({"figure": "each_items", **each_items(address, rounds), "target": 1.3, **conditions()})


def two_workers(address: str, rounds: int) -> dict[str, Any]:
    """Return the ratio of throughputs, two workers to one; each worker makes twelve calls at a time."""
    one, two = [], []
    for _ in range(rounds):
        one.append(_throughput(address, 1))
        two.append(_throughput(address, 2))
    return {"one_runs_per_s": _rounded(one), "two_runs_per_s": _rounded(two), **ratio_of(two, one)}


def each_items(address: str, rounds: int) -> dict[str, Any]:
    """Return the ratio of seconds per item, a large For each to small ones; the model answers at once."""
    small, large = [], []
    small_cpu, large_cpu = [], []
    with worker() as pid:
        for _ in range(rounds):
            for count, runs, seconds, cpu in ((SMALL, 10, small, small_cpu), (LARGE, 1, large, large_cpu)):
                took, used = _per_item(address, pid, count, runs)
                seconds.append(took)
                cpu.append(used)
    return {
        "ms_per_item_of_20": _rounded([1000 * value for value in small]),
        "ms_per_item_of_2000": _rounded([1000 * value for value in large]),
        "cpu": ratio_of(large_cpu, small_cpu),
        **ratio_of(large, small),
    }


def _throughput(address: str, workers: int) -> float:
    from bench import workloads

    with ExitStack() as stack:
        for number in range(workers):
            stack.enter_context(worker(f"w{number}-", **SLOTS))
        actor = workloads.bench_actor(address)
        pipeline = workloads.chain(actor, 5, 200)
        times(actor, pipeline, AT_ONCE // 4, AT_ONCE // 4)
        began = time.perf_counter()
        times(actor, pipeline, AT_ONCE, AT_ONCE)
        return AT_ONCE / (time.perf_counter() - began)


def _per_item(address: str, pid: int, count: int, runs: int) -> tuple[float, float]:
    from bench import workloads
    from bench.meter import Meter

    actor = workloads.bench_actor(address)
    pipeline = workloads.items(actor, count, 0)
    times(actor, workloads.items(actor, SMALL, 0), 1, 1)
    with Meter([pid]) as meter:
        seconds = times(actor, pipeline, runs, 1)
    return sum(seconds) / (runs * count), meter.cpu_s / (runs * count)


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 3) for value in values]


if __name__ == "__main__":
    main()
