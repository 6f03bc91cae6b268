"""`make faults`: every figure and fault of docs/faults.md, one JSON line each and a closing table.

`python -m tests.faults [NAME …]` runs the rows of these names only. The exit status is pytest's.
"""

import json
import os
import random
import sys
import time
from collections import Counter, defaultdict

import pytest

from tests.faults.catalogue import Entry, entries
from tests.faults.figures import telling


class Report:
    """Follows the tests as pytest runs them and keeps what each row of the page came to."""

    def __init__(self, rows: list[Entry]) -> None:
        self.rows = rows
        self.outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.seconds: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for row in self.rows:
            if row.covers(report.nodeid):
                self.seconds[row.name] += report.duration  # type: ignore[assignment]
                if report.when == "call" or report.outcome != "passed":
                    self.outcomes[row.name][report.outcome] += 1

    def held(self, row: Entry) -> bool:
        """Tell whether every check of a row ran and passed."""
        came = self.outcomes[row.name]
        return bool(came) and set(came) == {"passed"}

    def print_lines(self) -> None:
        for row in self.rows:
            if not row.is_figure:
                line = {"fault": row.name, "ok": self.held(row), "checks": dict(self.outcomes[row.name])}
                print(json.dumps({**line, "seconds": round(self.seconds[row.name], 1)}))

    def print_table(self) -> None:
        told = {figure.name: figure for figure in telling.TOLD}
        print(f"\n{'':4}{'check':34}{'seconds':>8}  figures")
        for row in self.rows:
            figure = told.get(row.name)
            words = ", ".join(f"{name} {figure.values[name]}" for name in figure.limits) if figure else row.words[:70]
            print(f"{'ok' if self.held(row) else 'NO':4}{row.name:34}{self.seconds[row.name]:8.1f}  {words}")
        held = sum(self.held(row) for row in self.rows)
        print(f"\n{held} of {len(self.rows)} hold.")


def main(names: list[str]) -> int:
    known = {entry.name: entry for entry in entries()}
    if unknown := [name for name in names if name not in known]:
        print(f"docs/faults.md has no {', '.join(unknown)}. It has: {', '.join(known)}.")
        return int(pytest.ExitCode.USAGE_ERROR)
    rows = [known[name] for name in names] or list(known.values())
    checks = list(dict.fromkeys(check for row in rows for check in row.checks))
    report = Report(rows)
    seed = os.environ.setdefault("BATON_CHAOS_SEED", str(random.SystemRandom().randrange(10**6)))
    began = time.monotonic()
    status = pytest.main(["-q", "-s", "-p", "no:cacheprovider", *checks], plugins=[report])
    print()
    report.print_lines()
    report.print_table()
    print(f"{time.monotonic() - began:.0f} seconds; BATON_CHAOS_SEED={seed} repeats the faults.")
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
