"""`python -m tests.twice ARGS`: pytest, with one more try, alone and on its own, for each of a few tests that failed.

Thousands of tests race real processes, browsers and clocks on however busy a machine. One that fails among others and
holds alone is told apart from one that fails: it is named UNSTEADY at the end, and is a fault to be mended like any
other, of the test or of Baton. What fails twice fails, and so does whatever leaves more than a few behind.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

MOST = 3
"""Failures up to which a second try tells anything: more of them have a cause."""
TESTS_FAILED = 1  # pytest's exit status; the others are of runs that were broken off, or never began


def main(arguments: Sequence[str]) -> int:
    """Run pytest and return its exit status: 0 also where the few that failed have passed alone."""
    with tempfile.TemporaryDirectory(prefix="baton-tests-") as folder:
        status = _pytest(*arguments, "-o", f"cache_dir={folder}")
        failed = failed_in(Path(folder))
        if status != TESTS_FAILED or not 0 < len(failed) <= MOST:
            return status
    print(f"Once more, alone: {', '.join(failed)}", flush=True)
    status = _pytest(*failed, "-p", "no:cacheprovider")
    if status == 0:
        print("\n".join(f"UNSTEADY {test}: failed among others, passed alone. Mend it." for test in failed), flush=True)
    return status


def failed_in(cache: Path) -> list[str]:
    """Return the ids of the tests that failed, as pytest noted them down; none where it noted nothing."""
    note = cache / "v" / "cache" / "lastfailed"
    return sorted(json.loads(note.read_text())) if note.exists() else []


def _pytest(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
