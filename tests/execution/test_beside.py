"""A thread beside the poll when its process ends: what is in hand ends, nothing is begun, and nobody waits long."""

import subprocess
import sys
import time

import pytest

from runs.execution import beside
from runs.execution.beside import END_SECONDS, Beside
from tests.conftest import ROOT

PROGRAM = """
import time
from runs.execution.beside import Beside
def work():
    while not beside.is_ending:
        print("began", flush=True)
        time.sleep({seconds})
        print("ended", flush=True)
beside = Beside("one", work)
beside.wake()
beside.wake()
time.sleep(0.2)
"""


def ended(seconds: float) -> tuple[str, float]:
    """Return what a process says whose work takes so long, and how long it takes after it was told all."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(seconds=seconds)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout, time.monotonic() - began


def test_what_is_in_hand_ends_with_the_process_and_nothing_more_is_begun() -> None:
    assert ended(1)[0] == "began\nended\n"


def test_all_that_stand_beside_are_waited_for_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [Beside(name, lambda: time.sleep(4)) for name in ("one", "two")]
    monkeypatch.setattr(beside, "_all", both)
    for one in both:
        one.wake()
    began = time.monotonic()
    beside.end_all()
    assert not [one for one in both if one.is_at_it]
    assert time.monotonic() - began < 7.5, "one after the other takes eight"
    both[0].wake()
    assert not both[0].is_at_it, "nothing is begun any more"


def test_what_takes_too_long_keeps_no_process() -> None:
    said, seconds = ended(50)
    assert said == "began\n"
    assert END_SECONDS <= seconds < 50
