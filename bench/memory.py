"""`python -m bench.memory [--steps N] [--minutes N]`: one worker's memory over 50,000 steps, and whether it grows.

Chains, For eachs and fans in turn, at 0 ms. A fifth of the steps warm the process up; over the rest a straight line
through the samples must not rise by more than five percent or ten megabytes. The exit status says whether it did.

A step costs about eight milliseconds of CPU over worker, database and measurement, so all of them take some five
minutes of two idle cores and much longer on busy ones: after `--minutes` what has been measured is judged.
"""

import argparse
import sys
import time
from itertools import cycle
from typing import Any

import psutil

from bench import services
from bench.run import stub, times, worker
from bench.table import conditions, told

STEPS = 50_000
MINUTES = 30.0
SHARE, MEGABYTES = 0.05, 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    options = parser.parse_args()
    with services.running(), stub() as (address, _), worker() as pid:
        samples = sampled(address, pid, options.steps, 60 * options.minutes)
    verdict = growth(samples)
    told({"figure": "memory", "steps": samples[-1][0], **verdict, **conditions()})
    sys.exit(0 if verdict["ok"] else 1)


def sampled(address: str, pid: int, steps: int, seconds: float) -> list[tuple[int, float]]:
    """Run this many steps, or what the seconds suffice for; return (steps so far, megabytes) after each thousand."""
    from bench import workloads

    actor = workloads.bench_actor(address)
    shapes = [
        (workloads.chain(actor, 10, 0), 100, 10),
        (workloads.items(actor, 1_000, 0), 1, 1_001),
        (workloads.fan(actor, 50, 0), 8, 52),
    ]
    done, samples, began = 0, [], time.monotonic()
    for pipeline, runs, each in cycle(shapes):
        times(actor, pipeline, runs, min(runs, 20))
        done += runs * each
        samples.append((done, psutil.Process(pid).memory_info().rss / 1e6))
        taken = time.monotonic() - began
        told({"steps": done, "worker_mb": round(samples[-1][1], 1), "seconds": round(taken, 1)})
        if done >= steps or taken >= seconds:
            return samples
    return samples


def growth(samples: list[tuple[int, float]]) -> dict[str, Any]:
    """Return by how many megabytes a straight line through the samples after the warm-up rises, and whether it may."""
    last = samples[-1][0]
    warm = [(done, mb) for done, mb in samples if done >= last / 5]
    rise = slope(warm) * (warm[-1][0] - warm[0][0])
    allowed = max(MEGABYTES, SHARE * warm[0][1])
    return {
        "from_mb": round(warm[0][1], 1),
        "to_mb": round(warm[-1][1], 1),
        "rise_mb": round(rise, 1),
        "allowed_mb": round(allowed, 1),
        "ok": rise <= allowed,
    }


def slope(points: list[tuple[float, float]] | list[tuple[int, float]]) -> float:
    """Return the slope of the line through these points that fits them best (least squares)."""
    middle_x = sum(x for x, _ in points) / len(points)
    middle_y = sum(y for _, y in points) / len(points)
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / spread if spread else 0.0


if __name__ == "__main__":
    main()
