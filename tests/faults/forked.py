"""Workers that begin where every worker's imports of others' code end: forked from a process that has made them once.

Two thirds of what it takes to start a worker are imports of packages. `python -m tests.faults.forked` makes them, knows
nothing of Baton or its settings, and becomes a worker in a fork for each line that asks for one.
"""

import atexit
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from threading import Lock

PACKAGES = (
    "aiohttp",
    "celery.apps.worker",
    "celery.bin.celery",
    "celery.concurrency.thread",
    "channels_redis.pubsub",
    "django.contrib.postgres.fields",
    "django.db.backends.postgresql.base",
    "django.views.generic",
    "jsonschema",
    "psycopg_pool",
    "pydantic_ai.models.openai",
    "uvloop",
)
"""What workers spend most of their start on, as far as it can be imported without Django's settings."""

_ASKING = Lock()


class Forked:
    """A worker process in a session of its own, which writes to a log; the part of `Popen` that the stage uses."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        wish = {"arguments": arguments, "environment": dict(environment), "log": str(log)}
        log.touch()
        self.pid = _ask(json.dumps(wish))
        self._end = os.pidfd_open(self.pid)
        weakref.finalize(self, os.close, self._end)

    def poll(self) -> bool | None:
        """Return None while it runs. What has ended stays a zombie of the other process: its number stays its own."""
        return True if self._has_ended(0) else None

    def wait(self, seconds: float | None = None) -> None:
        if not self._has_ended(seconds):
            raise TimeoutError(f"worker {self.pid} still runs after {seconds} s")

    def _has_ended(self, seconds: float | None) -> bool:
        ends = select.poll()
        ends.register(self._end, select.POLLIN)
        return bool(ends.poll(None if seconds is None else seconds * 1000))

    def terminate(self) -> None:
        signal.pidfd_send_signal(self._end, signal.SIGTERM)


def _ask(wish: str) -> int:
    with _ASKING:
        parent = _parent()
        assert parent.stdin
        assert parent.stdout
        parent.stdin.write(wish.encode() + b"\n")
        parent.stdin.flush()
        return int(parent.stdout.readline())


@cache
def _parent() -> "subprocess.Popen[bytes]":
    from tests.conftest import ROOT

    parent = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.forked"],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    atexit.register(parent.kill)
    return parent


def main() -> None:
    for name in PACKAGES:
        importlib.import_module(name)
    if not _is_worker():
        return
    from celery.__main__ import main as celery

    celery()


def _is_worker() -> bool:
    """Fork for each line that is read; return False when there are no more, True in a fork."""
    for line in sys.stdin.buffer:
        pid = os.fork()
        if pid == 0:
            _become(**json.loads(line))
            return True
        print(pid, flush=True)
    return False


def _become(arguments: list[str], environment: dict[str, str], log: str) -> None:
    os.setsid()
    with open(log, "ab") as to, open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        for output in (1, 2):
            os.dup2(to.fileno(), output)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["celery", *arguments]


if __name__ == "__main__":
    main()
