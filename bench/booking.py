"""`python -m bench.booking [--runs 40000] [--spans 5]`: what bringing calls into the daily books costs.

Runs W1 of `bench.run` first, to know what a step with its call costs here: CPU of the worker and the database. Then
it fills a workspace with finished runs and their steps (`bench.history`) and books half of them in the batches in which
the poll of a worker does it, the other half as after a rebuild. Prints calls per second, CPU per thousand calls, and
how much that adds to the CPU of a step. None of it is in the way of a step: runs are booked when they have ended.
"""

import argparse
import os
from typing import Any

from bench import services
from bench.meter import Meter, postmaster
from bench.table import conditions, told

STEPS_OF, RUNS = "W1", 40
TARGET_PERCENT, TARGET_CALLS_PER_S = 10, 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40_000)
    parser.add_argument("--spans", type=int, default=5)
    options = parser.parse_args()
    with services.running():
        import django

        django.setup()
        from bench import history
        from runs.spending import booking

        step_ms = cpu_of_a_step()
        booking.book()  # what that left is no part of what is measured
        history.fill(history.bare_actor(), options.runs, options.spans)
        half = options.runs // 2
        given = {"polled": (booking.RUNS_AT_ONCE, half), "rebuilt": (booking.RUNS_AT_ONCE_ANEW, options.runs)}
        for how, (at_once, runs) in given.items():
            cost = booked(at_once, runs, options.spans)
            told({"figure": "booking", "how": how, **cost, **beside_a_step(cost, step_ms), **conditions()})


def cpu_of_a_step() -> float:
    """Return the milliseconds of CPU that a step costs the worker and the database, its model call included."""
    from bench import run

    with run.stub() as (address, _), run.worker() as pid:
        line = run.measure(STEPS_OF, 0, RUNS, (address, pid))
    return float(line["cpu_s_per_1000_steps"] + line["pg_cpu_s_per_1000_steps"])


def booked(at_once: int, most: int, spans: int) -> dict[str, Any]:
    """Book at most so many runs in batches; return what that took for each of their calls."""
    from runs.spending import booking

    runs = 0
    with Meter([os.getpid()], postmaster()) as meter:
        while runs < most and (done := booking.book_some(at_once)):
            runs += done
    calls = runs * spans
    cpu_ms = 1000 * (meter.cpu_s + meter.database_cpu_s) / calls
    return {
        "calls": calls,
        "calls_per_s": round(calls / meter.wall_s),
        "target_calls_per_s": TARGET_CALLS_PER_S,
        "cpu_ms_per_1000_calls": round(1000 * cpu_ms, 1),
    }


def beside_a_step(cost: dict[str, Any], step_ms: float) -> dict[str, Any]:
    """Return how much booking a call adds to the CPU of the step that made it."""
    return {
        "cpu_ms_of_a_step": round(step_ms, 2),
        "percent_of_a_step": round(cost["cpu_ms_per_1000_calls"] / 10 / step_ms, 1),
        "target_percent_of_a_step": TARGET_PERCENT,
    }


if __name__ == "__main__":
    main()
