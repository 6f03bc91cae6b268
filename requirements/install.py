"""Makes .venv and installs the locked requirements, hashes checked; does nothing when that was done already.

Runs on the machine's own Python, so it uses the standard library alone: python3 requirements/install.py [--dev]
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LEAST_PYTHON = (3, 11)


def main() -> None:
    if sys.version_info < LEAST_PYTHON:
        sys.exit(f"Baton needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}. Set PYTHON=….")
    lock = ROOT / ("requirements-dev.lock" if "--dev" in sys.argv[1:] else "requirements.lock")
    stamp = VENV / f"installed-{lock.name}"
    state = f"{sys.version_info[:2]} {hashlib.sha256(lock.read_bytes()).hexdigest()}"
    if stamp.exists() and stamp.read_text() == state:
        return
    _make_environment()
    print(f"baton: installing {lock.name}", flush=True)  # noqa: T201 the first thing a person sees
    pip: list[str | Path] = [VENV / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # The lock is complete: an older pip that resolves it anew takes a package's extras for a requirement without a pin.
    done = subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", lock], check=False)
    if done.returncode != 0:
        sys.exit(f"Could not install {lock.name}; pip's message stands above.")
    stamp.write_text(state)


def _make_environment() -> None:
    python = VENV / "bin" / "python"
    version = f"import sys; raise SystemExit(sys.version_info[:2] != {sys.version_info[:2]})"
    if python.exists() and subprocess.run([python, "-c", version], check=False).returncode == 0:
        return
    # A process of its own: without ensurepip (Debian's python3-venv) it ends with a message of its own.
    done = subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=False, env=_plain_environment())
    if done.returncode != 0:
        sys.exit("Could not make .venv. On Debian and Ubuntu: apt-get install python3-venv")


def _plain_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "VIRTUAL_ENV")}


if __name__ == "__main__":
    main()
