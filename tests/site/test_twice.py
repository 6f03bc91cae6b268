"""The second try of a few tests: what fails twice fails, what passes alone is named, and many failures are final."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

HOLDS = "def test_holds(): pass\n"
FAILS = "def test_fails(): assert False\n"
UNSTEADY = """from pathlib import Path
def test_holds_the_second_time():
    seen = Path("seen")
    there = seen.exists()
    seen.touch()
    assert there
"""


def tried(folder: Path, tests: str) -> tuple[int, str]:
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(tests)
    done = subprocess.run(
        [sys.executable, "-m", "tests.twice"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


def test_what_passes_is_run_once(tmp_path: Path) -> None:
    status, said = tried(tmp_path, HOLDS)
    assert (status, said.count("1 passed")) == (0, 1)


def test_what_fails_twice_fails(tmp_path: Path) -> None:
    status, said = tried(tmp_path, HOLDS + FAILS)
    assert status == 1
    assert "Once more, alone: test_it.py::test_fails" in said
    assert "UNSTEADY" not in said


def test_what_passes_alone_is_named_and_only_that_is_run_again(tmp_path: Path) -> None:
    status, said = tried(tmp_path, UNSTEADY + HOLDS)
    assert status == 0
    assert "UNSTEADY test_it.py::test_holds_the_second_time" in said
    assert said.count("collected 1 item") == 1


@pytest.mark.parametrize(
    "tests",
    ["".join(f"def test_fails_{n}(): assert False\n" for n in range(4)), "import nothing_of_this_name\n", ""],
    ids=["too many failures", "a file that cannot be read", "no test at all"],
)
def test_what_a_second_try_would_tell_nothing_of_is_final(tmp_path: Path, tests: str) -> None:
    status, said = tried(tmp_path, tests)
    assert status != 0
    assert "Once more" not in said
