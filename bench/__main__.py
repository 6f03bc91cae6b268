"""`make bench`: every figure of docs/measuring.md that has a target, one after the other, and a table at the end.

Each command prints its own JSON lines, which are shown as they come. With BATON_BENCH_PEERS set, `bench.compare` takes
the place of `bench.run`, and the ratios to peers named `sync` and `async` are judged too; what was not measured says
so. `python -m bench NAME …` takes a part. The exit status is 1 when a target is missed or a command failed.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMANDS: Mapping[str, Sequence[str]] = {
    "run": ("bench.run",),
    "compare": ("bench.compare", "--rounds", "3"),
    "scale": ("bench.scale",),
    "live": ("bench.live",),
    "frames": ("bench.frames", "--beside"),
    "canvas": ("bench.canvas", "--beside"),
    "pages": ("bench.pages",),
    "booking": ("bench.booking",),
    "dashboards": ("bench.dashboards",),
    "recovery": ("bench.recovery",),
    "start": ("bench.start",),
    "idle": ("bench.idle",),
    "memory": ("bench.memory",),
}


@dataclass(frozen=True, slots=True)
class Target:
    """A line is the target's when it has all of `where`; `key` leads to its number, with dots into objects."""

    words: str
    where: Mapping[str, Any]
    key: str
    limit: float
    at_least: bool = False

    def value(self, line: Mapping[str, Any]) -> float | None:
        if any(line.get(name) != value for name, value in self.where.items()):
            return None
        found: Any = line
        for part in self.key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return float(found) if isinstance(found, int | float) else None

    def holds(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


def _against(peer: str, workload: str) -> dict[str, str]:
    return {"against": peer, "workload": workload}


TARGETS = (
    Target("W1 0 ms, time ÷ peer sync", _against("sync", "W1-0ms"), "median_s.ratio", 0.55),
    Target("W2 200 ms, time ÷ peer async", _against("async", "W2-200ms"), "median_s.ratio", 0.9),
    Target("W3 200 ms, runs/s ÷ peer sync", _against("sync", "W3-200ms"), "runs_per_s.ratio", 1.8, at_least=True),
    Target("W3 200 ms, CPU ÷ peer sync", _against("sync", "W3-200ms"), "cpu_s_per_1000_steps.ratio", 0.55),
    Target("W1 0 ms, CPU s per 1,000 steps", {"peer": "baton", "workload": "W1-0ms"}, "cpu_s_per_1000_steps", 3.0),
    Target("W4 kill -9: next call, s", {"figure": "after_kill"}, "next_call_s", 35),
    Target("W4 clean stop: next call, s", {"figure": "after_stop"}, "next_call_s", 3.0),
    Target("W4 kill -9: finished steps repeated", {"figure": "after_kill"}, "finished_steps_repeated", 0),
    Target("W4 clean stop: finished steps repeated", {"figure": "after_stop"}, "finished_steps_repeated", 0),
    Target("two workers ÷ one", {"figure": "two_workers"}, "ratio", 1.7, at_least=True),
    Target("an item of 2,000 ÷ one of 20", {"figure": "each_items"}, "ratio", 1.3),
    Target("decided → socket, p50 ms", {"figure": "live"}, "socket.p50_ms", 80),
    Target("decided → socket, p99 ms", {"figure": "live"}, "socket.p99_ms", 300),
    Target("decided → browser, p50 ms", {"figure": "live"}, "browser.p50_ms", 80),
    Target("decided → browser, p99 ms", {"figure": "live"}, "browser.p99_ms", 300),
    Target("a run of 1,000 steps, pictures/s", {"figure": "frames", "page": "run"}, "fps", 50, at_least=True),
    Target("editor, 1,000 steps: usable, ms", {"figure": "canvas", "page": "flat"}, "usable_ms", 1000),
    Target("editor, 1,000 steps: a pan, CPU ms", {"figure": "canvas", "page": "flat"}, "pan_ms", 60),
    Target("editor, 1,000 steps: a drag, CPU ms", {"figure": "canvas", "page": "flat"}, "drag_ms", 30),
    Target("editor, 1,000 steps: a pan ÷ React Flow", {"page": "flat ÷ React Flow"}, "pan_ms", 1),
    Target("editor, 1,000 steps: a drag ÷ React Flow", {"page": "flat ÷ React Flow"}, "drag_ms", 1),
    Target("a run of 1,000 steps: pictures ÷ React Flow", {"page": "run ÷ React Flow"}, "fps", 1, at_least=True),
    Target("editor's first page, kB", {"figure": "canvas", "page": "first page, kB compressed"}, "all", 120),
    Target("slowest page, p95 ms", {"figure": "pages"}, "slowest_p95_ms", 100),
    Target("ten million calls: slowest question, p95 ms", {"figure": "questions"}, "slowest_p95_ms", 1000),
    Target("ten million calls: slowest page, p95 ms", {"figure": "managers' pages"}, "slowest_p95_ms", 1500),
    Target("books, % of a step's CPU", {"figure": "booking", "how": "polled"}, "percent_of_a_step", 10.0),
    Target("make up, second start, s", {"figure": "start"}, "second_s", 8.0),
    Target("idle, MB", {"figure": "idle"}, "shared_counted_once_mb", 450),
    Target("idle, % of a core", {"figure": "idle"}, "cpu_percent_of_a_core", 2.0),
    Target("memory over 50,000 steps, MB more", {"figure": "memory"}, "rise_mb", 10.0),
)


def main(names: Sequence[str]) -> int:
    instead = "run" if os.environ.get("BATON_BENCH_PEERS") else "compare"
    chosen = names or [name for name in COMMANDS if name != instead]
    if unknown := [name for name in chosen if name not in COMMANDS]:
        print(f"There is no {', '.join(unknown)}. There are {', '.join(COMMANDS)}.")
        return 2
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(os.environ.get("OUT") or Path(folder) / "lines")
        for name in chosen:
            print(f"\n{name}", flush=True)
            done = subprocess.run(
                [sys.executable, "-m", *COMMANDS[name]], check=False, env={**os.environ, "OUT": str(out)}
            )
            failed += [name] * (done.returncode != 0)
        lines = [json.loads(text) for text in out.read_text().splitlines()] if out.exists() else []
    missed = told_of(lines)
    if failed:
        print(f"Failed: {', '.join(failed)}.")
    return 1 if failed or missed else 0


def told_of(lines: Sequence[Mapping[str, Any]]) -> int:
    """Print each target beside its newest value, "--" where it was not measured; return how many were missed."""
    missed = 0
    print(f"\n{'':4}{'figure':44}{'measured':>10}{'target':>12}")
    for target in TARGETS:
        found = [value for line in lines if (value := target.value(line)) is not None]
        holds = bool(found) and target.holds(found[-1])
        missed += bool(found) and not holds
        word, measured = ("ok" if holds else "NO", f"{found[-1]:.2f}") if found else ("--", "not taken")
        print(f"{word:4}{target.words:44}{measured:>10}{'≥' if target.at_least else '≤':>4}{target.limit:8.2f}")
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
