"""`python -m bench.soak [--minutes 30] [--every 30] [--runs-per-second 3]`: an installation under steady work.

Starts runs of three shapes at a steady rate and every so many seconds prints what it sees: the worker's memory, the
connections to the database, runs and inbox rows that wait, and how long runs took. At the end the last third is held
against the first (after five percent of warm-up): memory, connections and waiting must not have grown, runs must not
take longer, and none may have failed. The exit status says whether all that holds.
"""

import argparse
import sys
import time
from dataclasses import asdict, dataclass
from itertools import cycle
from statistics import mean, median
from typing import Any

import psutil

from bench import services
from bench.run import stub, worker
from bench.table import conditions, told

SETTLE_SECONDS = 60.0


@dataclass(frozen=True)
class Sample:
    """What was seen at one moment. `took_s` is the median of the runs that ended since the sample before."""

    at_s: float
    worker_mb: float
    connections: int
    open_runs: int
    queued: int
    waiting_facts: int
    ended: int
    failed: int
    took_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--every", type=float, default=30.0)
    parser.add_argument("--runs-per-second", type=float, default=3.0)
    options = parser.parse_args()
    with services.running(), stub() as (address, _), worker() as pid:
        soak = Soak(address, pid)
        samples = soak.keep_going(options.minutes * 60, options.every, options.runs_per_second)
        unended = soak.left_over()
    found = {"unended": unended, **verdict(samples)}
    told({"figure": "soak", "minutes": options.minutes, "samples": len(samples), **found, **conditions()})
    sys.exit(0 if found["ok"] and not unended else 1)


class Soak:
    """Starts runs and looks at what they leave behind."""

    def __init__(self, address: str, pid: int) -> None:
        from bench import workloads

        self._actor = workloads.bench_actor(address)
        self._shapes = cycle(
            [
                workloads.chain(self._actor, 10, 20),
                workloads.fan(self._actor, 20, 20),
                workloads.items(self._actor, 40, 20),
            ]
        )
        self._process = psutil.Process(pid)
        self._looked: Any = None

    def keep_going(self, seconds: float, every: float, rate: float) -> list[Sample]:
        """Start runs at this rate for so long; return the samples."""
        from runs.services import Order, start_run

        began = time.monotonic()
        samples: list[Sample] = []
        started = 0
        while (now := time.monotonic() - began) < seconds:
            if now * rate >= started:
                start_run(self._actor, next(self._shapes), Order({"run": f"r{started}"}))
                started += 1
            elif now >= (len(samples) + 1) * every:
                samples.append(self._sample(now))
                told(asdict(samples[-1]))
            else:
                time.sleep(0.02)
        return samples

    def left_over(self) -> int:
        """Wait a minute for what is under way and return how many runs have not ended."""
        from runs.models import Run

        deadline = time.monotonic() + SETTLE_SECONDS
        while (left := Run.objects.filter(finished_at=None).count()) and time.monotonic() < deadline:
            time.sleep(0.5)
        return left

    def _sample(self, at: float) -> Sample:
        from django.db import connection
        from django.utils import timezone

        from runs.models import Inbox, Run

        now = timezone.now()
        ended = Run.objects.filter(finished_at__isnull=False)
        if self._looked:
            ended = ended.filter(finished_at__gt=self._looked)
        self._looked = now
        rows = list(ended.values_list("state", "started_at", "finished_at"))
        with connection.cursor() as cursor:
            cursor.execute("select count(*) from pg_stat_activity where datname = current_database()")
            connections = cursor.fetchone()[0]
        return Sample(
            at_s=round(at, 1),
            worker_mb=round(self._process.memory_info().rss / 1e6, 1),
            connections=connections,
            open_runs=Run.objects.filter(finished_at=None).count(),
            queued=Run.objects.filter(state="queued").count(),
            waiting_facts=Inbox.objects.filter(taken_at=None).count(),
            ended=len(rows),
            failed=sum(state != "succeeded" for state, _, _ in rows),
            took_s=round(median([(end - start).total_seconds() for _, start, end in rows] or [0.0]), 3),
        )


def verdict(samples: list[Sample]) -> dict[str, Any]:
    """Return first and last third of each figure, and whether nothing grew."""
    warm = samples[max(1, len(samples) // 20) :]
    third = max(1, len(warm) // 3)
    first, last = warm[:third], warm[-third:]

    def both(name: str) -> tuple[float, float]:
        return mean(getattr(one, name) for one in first), mean(getattr(one, name) for one in last)

    memory, took, links, facts = both("worker_mb"), both("took_s"), both("connections"), both("waiting_facts")
    failed = sum(sample.failed for sample in samples)
    holds = (
        memory[1] <= memory[0] * 1.1 + 10
        and took[1] <= took[0] * 1.5 + 0.1
        and links[1] <= links[0] + 3
        and facts[1] <= facts[0] + 10
        and not failed
    )
    pairs = {"worker_mb": memory, "took_s": took, "connections": links, "waiting_facts": facts}
    shown = {name: [round(value, 2) for value in pair] for name, pair in pairs.items()}
    return {**shown, "ended": sum(sample.ended for sample in samples), "failed": failed, "ok": holds}


if __name__ == "__main__":
    main()
