"""Children are restarted, stopped, and never outlive their parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator_site.processes import Child, Guardian, Program, launch, stop
from tests.conftest import wait_for

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(60)
"""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def tend_until_running(child: Child, other_than: int | None, seconds: float = 5) -> list[str]:
    said: list[str] = []

    def settled() -> bool:
        line = child.tend()
        if line:
            said.append(line)
        return child.running and child.pid != other_than

    wait_for(settled, seconds)
    return said


def test_a_killed_child_starts_again_at_once_and_says_so() -> None:
    child = Child(Program("sleeper", SLEEPER))
    child.start()
    first = child.pid
    assert first
    os.kill(first, signal.SIGKILL)
    said = tend_until_running(child, first)
    assert said == ["sleeper was ended by SIGKILL; it starts again"]
    child.stop(grace=5)


def test_a_child_that_keeps_failing_is_started_ever_more_rarely() -> None:
    child = Child(Program("broken", [sys.executable, "-c", "raise SystemExit(3)"]))
    child.start()
    said: list[str] = []

    def failed_three_times() -> bool:
        line = child.tend()
        if line:
            said.append(line)
        return child.failures == 3

    wait_for(failed_three_times, 10)
    assert said == [
        "broken ended with code 3; it starts again",
        "broken ended with code 3; it starts again in 0.5 s",
        "broken ended with code 3; it starts again in 1.0 s",
    ]


def test_a_child_that_ignores_the_request_is_killed_after_its_grace(tmp_path: Path) -> None:
    log = tmp_path / "stubborn.log"
    process = launch(Program("stubborn", [sys.executable, "-c", STUBBORN], log=log))
    wait_for(lambda: "deaf" in log.read_text(), 20)
    started = time.monotonic()
    stop(process, signal.SIGTERM, grace=0.5)
    assert process.returncode == -signal.SIGKILL
    assert time.monotonic() - started < 15


PARENT = """
import sys, time
from orchestrator_site.processes import Guardian, Program, launch
grandparent = "import subprocess,sys,time; p=subprocess.Popen([sys.executable,'-c','import time; time.sleep(60)']);"
child = launch(Program("child", [sys.executable, "-c", grandparent + "print(p.pid, flush=True); time.sleep(60)"]))
guardian = Guardian()
guardian.watch([child.pid])
print(child.pid, guardian._pid, flush=True)
time.sleep(60)
"""


@pytest.mark.faults
def test_nothing_outlives_a_killed_parent_not_even_grandchildren() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    pids = [int(word) for _ in range(2) for word in parent.stdout.readline().split()]
    assert len(pids) == 3
    assert all(is_alive(pid) for pid in pids)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: not any(is_alive(pid) for pid in pids), 5)


def test_a_killed_guardian_is_replaced() -> None:
    guardian = Guardian()
    guardian.watch([])
    first = guardian._pid
    os.kill(first, signal.SIGKILL)

    def is_another() -> bool:
        guardian.watch([])
        return guardian._pid != first

    wait_for(is_another, 10)
    guardian.dismiss()
