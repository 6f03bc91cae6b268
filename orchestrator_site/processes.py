"""Child processes that never outlive their parent, are restarted when they die, and are stopped in order."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# Loaded before any fork: a child that has changed its user may not be able to read the library any more.
_prctl = getattr(ctypes.CDLL(None), "prctl", None)
PR_SET_PDEATHSIG = 1
LONGEST_BACKOFF = 15.0
STEADY_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Program:
    """What to run: `stop` asks it to end in order, `orphaned` is what the kernel sends it when its parent dies."""

    name: str
    argv: Sequence[str]
    stop: signal.Signals = signal.SIGTERM
    orphaned: signal.Signals = signal.SIGKILL
    env: Mapping[str, str] = field(default_factory=dict)
    user: int | None = None
    group: int | None = None
    cwd: Path | None = None
    log: Path | None = None


def die_with_parent(death_signal: signal.Signals) -> None:
    """Ask the kernel to send this process a signal when the thread that started it ends (Linux only)."""
    if _prctl is not None:
        _prctl(PR_SET_PDEATHSIG, int(death_signal))


def launch(program: Program) -> "subprocess.Popen[bytes]":
    """Start a program in a session of its own, so that Ctrl+C reaches only the supervisor."""
    parent = os.getpid()

    def bind_to_parent() -> None:
        die_with_parent(program.orphaned)
        if os.getppid() != parent:  # the parent died before the request to the kernel was made
            os._exit(1)

    output = program.log.open("ab") if program.log else None
    try:
        return subprocess.Popen(
            list(program.argv),
            env={**os.environ, **program.env},
            cwd=program.cwd,
            user=program.user,
            group=program.group,
            extra_groups=[] if program.user is not None else None,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=bind_to_parent,  # noqa: PLW1509 two system calls, for which no lock of another thread is needed
        )
    finally:
        if output:
            output.close()


def stop(process: "subprocess.Popen[bytes]", how: signal.Signals | None, grace: float) -> None:
    """Ask a process to end (None: it was asked), wait up to `grace` seconds, then kill it and what its session left."""
    if process.poll() is None:
        if how is not None:
            process.send_signal(how)
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    kill_session(process.pid)


def wait_until(settled: Callable[[], bool], seconds: float) -> bool:
    """Return whether the condition came true within this time; looks fifty times a second."""
    deadline = time.monotonic() + seconds
    while not settled():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def kill_session(pid: int) -> None:
    """Kill what is left of the process group a launched program led."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


class Child:
    """One supervised program: restarted whenever it ends, after a pause that doubles while it keeps failing."""

    def __init__(self, program: Program, before: Callable[[], None] | None = None) -> None:
        self.program = program
        self.failures = 0
        self._before = before
        self._process: subprocess.Popen[bytes] | None = None
        self._asked = False
        self._started_at = 0.0
        self._due_at = 0.0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        if self._before:
            self._before()
        self._process = launch(self.program)
        self._started_at = time.monotonic()

    def adopt(self, process: "subprocess.Popen[bytes]") -> None:
        """Supervise a process that was started for this program already."""
        self._process, self._started_at = process, time.monotonic()

    def tend(self) -> str | None:
        """Restart the program if it has ended and its pause is over; return a line for the person at the terminal."""
        now = time.monotonic()
        if self.running:
            if now - self._started_at > STEADY_SECONDS:
                self.failures = 0
            return None
        if self._process is not None:
            return self._mourn(self._process, now)
        if now >= self._due_at:
            self.start()
        return None

    def _mourn(self, process: "subprocess.Popen[bytes]", now: float) -> str:
        kill_session(process.pid)
        self._process = None
        pause = 0.0 if self.failures == 0 else min(0.25 * 2**self.failures, LONGEST_BACKOFF)
        self.failures += 1
        self._due_at = now + pause
        return f"{self.program.name} {_how_it_ended(process.returncode)}; it starts again{_after(pause)}"

    def ask_to_stop(self) -> None:
        if self._process is not None and self.running:
            self._process.send_signal(self.program.stop)
            self._asked = True

    def stop(self, grace: float) -> None:
        if self._process is not None:
            # Celery takes a second request for impatience.
            stop(self._process, None if self._asked else self.program.stop, grace)
            self._process, self._asked = None, False

    def replace(self) -> None:
        """Stop the program and let the next `tend` start it at once."""
        self.stop(grace=10)
        self.failures, self._due_at = 0, 0.0


def _how_it_ended(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _after(pause: float) -> str:
    return f" in {pause:.1f} s" if pause else ""


class Guardian:
    """A tiny process that kills the sessions it was told of when the supervisor dies.

    The kernel's parent-death signal reaches only children; what they started in turn is found through their session.
    """

    def __init__(self) -> None:
        self._pipe, self._pid = -1, 0
        self._told: list[int] = []

    def watch(self, pids: Sequence[int]) -> None:
        """Tell the guardian which sessions to end; start it first if it is not there."""
        died = bool(self._pid) and os.waitpid(self._pid, os.WNOHANG) != (0, 0)
        if self._pid and not died and list(pids) == self._told:
            return
        if died:
            os.close(self._pipe)
        if died or not self._pid:
            self._fork()
        self._told = list(pids)
        line = (" ".join(map(str, pids)) + "\n").encode()
        try:
            os.write(self._pipe, line)
        except BrokenPipeError:
            return  # it has just died; the next call finds that out and starts another

    def _fork(self) -> None:
        reading, self._pipe = os.pipe()
        sys.stdout.flush()
        self._pid = os.fork()
        if self._pid == 0:
            os.setsid()
            os.close(self._pipe)
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            _guard(reading)
            os._exit(0)
        os.close(reading)

    def dismiss(self) -> None:
        """End the guardian after an orderly stop."""
        if self._pid:
            self.watch([])
            os.close(self._pipe)
            os.waitpid(self._pid, 0)
            self._pid = 0


def _guard(reading: int) -> None:
    """Remember the newest list of sessions until the supervisor's end of the pipe closes, then kill them."""
    newest: list[int] = []
    rest = b""
    while data := os.read(reading, 4096):
        *lines, rest = (rest + data).split(b"\n")
        if lines:
            newest = [int(word) for word in lines[-1].split()]
    for pid in newest:
        kill_session(pid)
