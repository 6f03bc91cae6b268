"""React Flow's page, built in a temporary folder and served: what `--beside` measures in the same run."""

import functools
import http.server
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator_site.build import BuildFailed, npm_command

SOURCE = Path(__file__).parent / "react_flow"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: each line of the output is a figure."""


@contextmanager
def react_flow(steps: int, wanted: bool) -> Iterator[tuple[str, str]]:
    """Give the address of React Flow's page with so many boxes, and "" for why there is none; else "" and why."""
    if not wanted:
        yield "", "not asked for: --beside builds and measures it"
        return
    with tempfile.TemporaryDirectory(prefix="baton-beside-") as name:
        folder = Path(name) / "page"
        if why := _build(folder):
            yield "", why
            return
        serve = functools.partial(_Quiet, directory=str(folder / "dist"))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/index.html?steps={steps}", ""
        finally:
            server.shutdown()
            server.server_close()


def _build(folder: Path) -> str:
    """Build the page there; return why it could not be."""
    shutil.copytree(SOURCE, folder)
    try:
        npm = npm_command()
        for words in (["install", "--no-audit", "--no-fund", "--no-save"], ["run", "build"]):
            done = subprocess.run([*npm, *words], cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                return f"npm {words[0]} failed: {done.stderr.strip()[-300:]}"
    except (BuildFailed, OSError) as error:
        return f"npm is not there: {error}"
    shutil.copy(folder / "index.html", folder / "dist")
    return ""
