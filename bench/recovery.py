"""W4, `python -m bench.recovery [--rounds N]`: how long a run of ten steps stands still after its worker has gone.

Two workers, the lease of an installation as it is delivered. In the sixth of ten steps the owner's process is killed
(`after_kill`), or stopped with SIGTERM (`after_stop`); nobody calls anything. Printed: seconds until the model server
is asked again, which is the next call of the run, and how many finished steps were asked for again.
"""

import argparse
import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from bench import services
from bench.run import stub, worker
from bench.table import conditions, told

MS = 320
DONE, STEPS = 5, 10
STOP_TARGET, AFTER_LEASE = 3.0, 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    rounds = parser.parse_args().rounds
    with services.running(), stub() as (address, _):
        import django

        django.setup()
        from django.conf import settings

        lease = settings.LEASE_SECONDS
        for figure, number, target in (
            ("after_kill", signal.SIGKILL, lease + AFTER_LEASE),
            ("after_stop", signal.SIGTERM, STOP_TARGET),
        ):
            taken = [one(address, f"{figure}{turn}", number) for turn in range(rounds)]
            told(
                {
                    "figure": figure,
                    "lease_s": lease,
                    "next_call_s": round(max(seconds for seconds, _ in taken), 2),
                    "each_s": [round(seconds, 2) for seconds, _ in taken],
                    "finished_steps_repeated": sum(repeated for _, repeated in taken),
                    "target_s": target,
                    **conditions(),
                }
            )


def one(address: str, marker: str, number: signal.Signals) -> tuple[float, int]:
    """Run the chain and end its owner in the sixth step; return seconds to the next call, and steps asked for twice."""
    from bench import workloads
    from runs.models import Run
    from runs.services import Order, start_run

    actor = workloads.bench_actor(address)
    pipeline = workloads.chain(actor, STEPS, MS)
    with ExitStack() as stack:
        pids = {name: stack.enter_context(worker(f"{marker}{name}")) for name in ("a", "b")}
        run = start_run(actor, pipeline, Order({"run": marker}))
        calls = Asked(address, marker)
        wait_for(lambda: calls.of(DONE + 1) == 1, 60)
        owner = str(Run.objects.values_list("owner", flat=True).get(pk=run.pk))
        finished = calls.total - 1
        ended = time.monotonic()
        os.kill(pids["a" if f"{marker}a" in owner else "b"], number)
        wait_for(lambda: calls.total > finished + 1, 120)
        seconds = time.monotonic() - ended
        wait_for(lambda: Run.objects.filter(pk=run.pk).exclude(finished_at=None).exists(), 60)
        run.refresh_from_db()
        if run.state != "succeeded":
            sys.exit(f"The run {run.state}: {run.error}")
        return seconds, sum(calls.of(step) > 1 for step in range(1, DONE + 1))


class Asked:
    """How often the model server was asked for each step of one run."""

    def __init__(self, address: str, marker: str) -> None:
        self._address, self._marker = address, marker

    def of(self, step: int) -> int:
        return self._read().get(str(step), 0)

    @property
    def total(self) -> int:
        return sum(self._read().values())

    def _read(self) -> dict[str, int]:
        with urllib.request.urlopen(f"{self._address}/calls", timeout=5) as answer:
            found: dict[str, dict[str, int]] = json.load(answer)
        return found.get(self._marker, {})


def wait_for(condition: Callable[[], Any], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("The run did not get on.")
        time.sleep(0.01)


if __name__ == "__main__":
    main()
