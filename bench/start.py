"""`python -m bench.start [--rounds N]`: seconds of `make up` until Baton serves, the first time and again.

Each round has a data folder of its own. The first start makes the database and the sample; every other one is what a
person waits for. Building the assets, which `make up` does before, counts; installing is not needed any more.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.idle import a_folder, started, stopped
from bench.table import conditions, told

TARGET_SECONDS = 8.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    firsts, seconds = [], []
    for _ in range(parser.parse_args().rounds):
        with a_folder() as folder:
            firsts.append(up(folder))
            seconds.append(up(folder))
    told(
        {
            "figure": "start",
            "first_s": [round(value, 2) for value in firsts],
            "each_s": [round(value, 2) for value in seconds],
            "second_s": round(statistics.median(seconds), 2),
            "target_s": TARGET_SECONDS,
            **conditions(),
        }
    )


def up(folder: Path) -> float:
    """Start an installation, wait until it serves, stop it; return the seconds until it did."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "orchestrator_site.build"], check=True, stdout=subprocess.DEVNULL)
    process = started(folder)
    took = time.monotonic() - began
    stopped(process)
    return took


if __name__ == "__main__":
    main()
