"""`python -m bench.idle [--seconds N]`: what the whole embedded stack needs when nothing is going on.

Starts an installation of its own with its sample, lets it settle, and prints resident megabytes (as the operating
system adds them up per process, and with shared pages counted once) and the share of one core over the seconds.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from bench.meter import cpu, tree
from bench.table import conditions, told

FOREIGN = ("DATABASE_URL", "CELERY_BROKER_URL", "CHANNEL_LAYER_URL")
SETTLE_SECONDS = 15
TARGET_MB, TARGET_CPU = 450, 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=30)
    seconds = parser.parse_args().seconds
    with a_folder() as folder:
        process = started(folder)
        try:
            time.sleep(SETTLE_SECONDS)
            figures = idle(process.pid, seconds)
        finally:
            stopped(process)
    told({"figure": "idle", **figures, "target_mb": TARGET_MB, "target_cpu_percent": TARGET_CPU, **conditions()})


@contextmanager
def a_folder() -> Iterator[Path]:
    """Give a folder for an installation's data, which PostgreSQL may read as another user."""
    folder = Path(tempfile.mkdtemp(prefix="baton-idle-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def stopped(process: "subprocess.Popen[bytes]") -> None:
    """Stop an installation, as Ctrl-C does."""
    process.send_signal(signal.SIGINT)
    process.wait(40)


def started(folder: Path) -> "subprocess.Popen[bytes]":
    """Start an installation in a folder of its own; return when it serves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {"BATON_DATA_DIR": str(folder), "PORT": str(port)}
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN} | own
    with (folder / "up.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator_site.up"], env=environment, stdout=log, stderr=log
        )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
            return process
        except OSError:
            time.sleep(0.05)
    process.kill()
    sys.exit(f"The installation did not start:\n{(folder / 'up.log').read_text()[-3000:]}")


def idle(pid: int, seconds: int) -> dict[str, Any]:
    """Return the memory of the process tree and the CPU it uses over these seconds."""
    before, began = cpu([pid]), time.monotonic()
    time.sleep(seconds)
    share = 100 * (cpu([pid]) - before) / (time.monotonic() - began)
    resident = {}
    shared_once = 0.0
    for process in tree([pid]):
        with_shared = process.memory_full_info()
        name = _name(process)
        resident[name] = round(resident.get(name, 0.0) + with_shared.rss / 1e6, 1)
        shared_once += with_shared.pss / 1e6
    return {
        "resident_mb": round(sum(resident.values())),
        "shared_counted_once_mb": round(shared_once),
        "cpu_percent_of_a_core": round(share, 2),
        "by_program": resident,
    }


def _name(process: psutil.Process) -> str:
    line = " ".join(process.cmdline())
    marks = {"orchestrator_site.web": "web", "celery": "worker", "orchestrator_site.up": "supervisor"}
    return next((name for mark, name in marks.items() if mark in line), process.name().split(":")[0])


if __name__ == "__main__":
    main()
