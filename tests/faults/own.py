"""Services of a test's own, which it may kill: a PostgreSQL in the place of the test database, a broker."""

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from django.core.management import call_command
from django.db import connection

from orchestrator_site.embedded import addresses, postgres, valkey
from orchestrator_site.embedded.postgres import Cluster
from orchestrator_site.processes import launch, stop
from tests.conftest import free_port


class OwnDatabase:
    """An embedded PostgreSQL that this process and the workers of its test use in the place of the test database.

    With a host, other machines reach it there as well, at `port`.
    """

    def __init__(self, folder: Path, host: str = "") -> None:
        self._folder = folder
        self._host, self.port = host, free_port()
        self._before = dict(connection.settings_dict)
        self._lay_out()
        self._process = self._started()
        _use(_settings(self._cluster, str(self.port) if host else ""))
        call_command("migrate", interactive=False, verbosity=0)

    @property
    def log(self) -> Path:
        return self._cluster.log

    def die(self) -> None:
        """End at once, as a crash does: no connection is asked, the log has to be replayed."""
        connection.close()
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(20)

    def come_back(self) -> None:
        self._process = self._at_host() if self._host else self._started()

    def url_at(self, place: str) -> str:
        """Return the owner's address of the database for whom it is at this HOST:PORT."""
        return f"postgresql://{postgres.OWNER}:{quote(self._cluster.password)}@{place}/{postgres.DATABASE}"

    def _lay_out(self) -> None:
        _copy_migrated(self._folder)

    def _started(self) -> "subprocess.Popen[bytes]":
        self._cluster, process = postgres.start(self._folder)
        if not self._host:
            return process
        stop(process, signal.SIGINT, 20)
        with (self._cluster.data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 0.0.0.0/0 scram-sha-256\n")
        return self._at_host()

    def _at_host(self) -> "subprocess.Popen[bytes]":
        program = self._cluster.program()
        listening = ["-c", f"listen_addresses={self._host}", "-c", f"port={self.port}"]
        process = launch(replace(program, argv=[*program.argv, *listening]))
        self._cluster.wait_ready(process)
        return process

    def remove(self) -> None:
        _use(self._before)
        stop(self._process, signal.SIGINT, 10)
        shutil.rmtree(self._cluster.home, ignore_errors=True)


def _use(settings: dict[str, Any]) -> None:
    connection.close()
    connection.close_pool()
    connection.settings_dict.update(settings)


def _copy_migrated(folder: Path) -> None:
    """Begin with a cluster that was migrated before, which takes a tenth of the time of another one."""
    made = _migrated()
    if not (made / postgres.HOME_FILE).exists():  # its files are there, not under /var/lib
        subprocess.run(["cp", "-a", f"{made}/.", folder], check=True)


@cache
def _migrated() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="baton-migrated-"))
    folder.chmod(0o755)  # as root, PostgreSQL runs as another user
    before = dict(connection.settings_dict)
    cluster, process = postgres.start(folder)
    for made in (folder, cluster.home):
        atexit.register(shutil.rmtree, made, ignore_errors=True)
    try:
        _use(_settings(cluster, ""))
        call_command("migrate", interactive=False, verbosity=0)
    finally:
        _use(before)
        stop(process, signal.SIGINT, 20)
    return folder


class OwnBroker:
    """An embedded Valkey that rings the workers of its test; nobody else does. With a host it listens there instead."""

    def __init__(self, folder: Path, host: str = "") -> None:
        self._folder = folder
        self._host, self._port = host, free_port()
        self._process = self._started()

    @property
    def environment(self) -> dict[str, str]:
        """Return what a worker must be told to listen here."""
        if self._host:
            there = f"redis://{self._host}:{self._port}"
            return {"CELERY_BROKER_URL": f"{there}/1", "CHANNEL_LAYER_URL": f"{there}/0"}
        return {
            "CELERY_BROKER_URL": addresses.broker_url(self._folder),
            "CHANNEL_LAYER_URL": addresses.channel_layer_url(self._folder),
        }

    @property
    def url(self) -> str:
        return self.environment["CELERY_BROKER_URL"]

    def die(self) -> None:
        """kill -9, and what it had not written down is gone."""
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait(10)

    def come_back(self) -> None:
        self._process = self._started()

    def _started(self) -> "subprocess.Popen[bytes]":
        server, process = valkey.start(self._folder)
        if not self._host:
            return process
        stop(process, signal.SIGTERM, 10)
        program = server.program()
        listening = ["--port", str(self._port), "--bind", self._host, "--protected-mode", "no"]
        process = launch(replace(program, argv=[*program.argv, *listening]))
        server.wait_ready(process)
        return process

    def remove(self) -> None:
        stop(self._process, signal.SIGTERM, 10)
        shutil.rmtree(self._folder, ignore_errors=True)


def _settings(cluster: Cluster, port: str) -> dict[str, str]:
    parts = urlsplit(cluster.url())
    return {
        "NAME": parts.path[1:],
        "USER": parts.username or "",
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parse_qs(parts.query)["host"][0],
        "PORT": port,
    }
