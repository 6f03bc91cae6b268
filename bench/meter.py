"""CPU and memory of process trees, as the operating system counts them."""

import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import psutil


@dataclass
class Meter:
    """`with Meter(pids) as meter:` measures wall seconds, CPU seconds and the peak resident megabytes of the trees."""

    pids: Iterable[int]
    database_pid: int | None = None
    wall_s: float = 0.0
    cpu_s: float = 0.0
    database_cpu_s: float = 0.0
    rss_mb: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Meter":
        self._start = time.perf_counter(), cpu(self.pids), cpu([self.database_pid] if self.database_pid else [])
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        started, before, database_before = self._start
        self.wall_s = time.perf_counter() - started
        self.cpu_s = cpu(self.pids) - before
        self.database_cpu_s = cpu([self.database_pid] if self.database_pid else []) - database_before
        self._stop.set()
        self._sampler.join()

    def _sample(self) -> None:
        while True:
            self.rss_mb = max(self.rss_mb, sum(_resident(process) for process in tree(self.pids)) / 1e6)
            if self._stop.wait(0.25):
                return


def tree(pids: Iterable[int]) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for pid in pids:
        try:
            process = psutil.Process(pid)
            found += [process, *process.children(recursive=True)]
        except psutil.Error:
            continue
    return found


def cpu(pids: Iterable[int]) -> float:
    """Return the CPU seconds of the trees so far, children that ended included."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0.0
    for process in tree(pids):
        try:
            with open(f"/proc/{process.pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(int(value) for value in fields[11:15]) / ticks
    return total


def postmaster() -> int | None:
    """Return the pid of the PostgreSQL server that is measured with; None when it runs on another machine."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("select pg_backend_pid()")
        (backend,) = cursor.fetchone()
    try:
        server = psutil.Process(backend).parent()
    except psutil.Error:
        return None
    return server.pid if server and server.name().startswith("postgres") else None


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
