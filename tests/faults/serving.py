"""A web server of the code that is here, as a process of its own, and what programs and people ask of it."""

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

from django.conf import settings

from accounts.models import User
from orchestrator_site.processes import Child, Program
from tests.conftest import ROOT, database_url, free_port, status_of, wait_for
from tests.people import signed_in_as

START_SECONDS = 60


class WebServer:
    """Serves from its start to `stop`; signs in to the database as `database` says, and is told `more`."""

    def __init__(self, folder: Path, database: str = "", **more: str) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.log = folder / "web.log"
        told = {
            "DATABASE_URL": database or database_url(),
            "PORT": str(port),
            "BATON_BASE_URL": self.url,
            "SECRET_KEY": settings.SECRET_KEY,
            "PYTHONWARNINGS": "ignore",
            "DJANGO_ALLOW_ASYNC_UNSAFE": "",
            **more,
        }
        program = [sys.executable, "-m", "orchestrator_site.web"]
        self._child = Child(Program("web", program, env=told, cwd=ROOT, log=self.log))
        self._child.start()
        wait_for(lambda: self.status("/healthz") == 200, START_SECONDS, self.log.read_text)

    def status(self, path: str) -> int:
        return status_of(f"{self.url}{path}")

    def page(self, path: str, user: User) -> str:
        """Return a page as this person sees it; fail when it is none."""
        session = signed_in_as(user).cookies[settings.SESSION_COOKIE_NAME].value
        return self._asked(path, {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session}"})

    def post(self, path: str, headers: dict[str, str], body: Any) -> Any:
        """Return what the API answers to a program; fail when it refuses."""
        headers = {"Content-Type": "application/json", **headers}
        return json.loads(self._asked(f"/api/v1{path}", headers, json.dumps(body).encode()))

    def get(self, path: str, headers: dict[str, str]) -> Any:
        """Return what the API answers to a program that only looks; fail when it refuses."""
        return json.loads(self._asked(f"/api/v1{path}", headers))

    def _asked(self, path: str, headers: dict[str, str], body: bytes | None = None) -> str:
        request = urllib.request.Request(f"{self.url}{path}", body, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(answer.read().decode())

    def stop(self) -> None:
        self._child.stop(grace=10)
