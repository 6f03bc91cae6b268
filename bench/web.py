"""A web server of this installation, as a process, and somebody who is signed in to it."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

START_SECONDS = 60


@dataclass(frozen=True)
class Web:
    """Where the server answers, and its process."""

    url: str
    pid: int


@contextmanager
def web() -> Iterator[Web]:
    """Run one web process on a free port, as the database's role for the web; give it once it serves.

    Its assets are collected as an installation's are; without npm they are served as they lie there.
    """
    subprocess.run([sys.executable, "-m", "orchestrator_site.build", "--collect"], check=False, capture_output=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    own = {"PORT": str(port), "BATON_BASE_URL": url, "BATON_DATABASE_ROLE": "baton_web", "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen([sys.executable, "-m", "orchestrator_site.web"], env={**os.environ, **own})
    try:
        _await(url, process)
        yield Web(url, process.pid)
    finally:
        process.terminate()
        process.wait(30)


def session_of(user: Any) -> str:
    """Return the key of a new session of this person."""
    from django.test import Client

    browser = Client()
    browser.force_login(user)
    return str(browser.session.session_key)


def _await(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/healthz", timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"The web server did not answer at {url} within {START_SECONDS} s.")
