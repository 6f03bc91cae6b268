"""Services of a test's own, which it may kill: a PostgreSQL in the place of the test database, a broker."""

import os
import shutil
import signal
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from django.core.management import call_command
from django.db import connection

from orchestrator_site.embedded import addresses, postgres, valkey
from orchestrator_site.embedded.postgres import Cluster
from orchestrator_site.processes import stop


class OwnDatabase:
    """An embedded PostgreSQL that this process and the workers of its test use in the place of the test database."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cluster, self._process = postgres.start(folder)
        self._before = dict(connection.settings_dict)
        connection.close()
        connection.close_pool()
        connection.settings_dict.update(_settings(self._cluster))
        call_command("migrate", interactive=False, verbosity=0)

    def die(self) -> None:
        """End at once, as a crash does: no connection is asked, the log has to be replayed."""
        connection.close()
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(20)

    def come_back(self) -> None:
        _, self._process = postgres.start(self._folder)

    def remove(self) -> None:
        connection.close()
        connection.close_pool()
        connection.settings_dict.update(self._before)
        stop(self._process, signal.SIGINT, 10)
        shutil.rmtree(self._cluster.home, ignore_errors=True)


class OwnBroker:
    """An embedded Valkey that rings the workers of its test; nobody else does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        _, self._process = valkey.start(folder)

    @property
    def environment(self) -> dict[str, str]:
        """Return what a worker must be told to listen here."""
        return {
            "CELERY_BROKER_URL": addresses.broker_url(self._folder),
            "CHANNEL_LAYER_URL": addresses.channel_layer_url(self._folder),
        }

    @property
    def url(self) -> str:
        return addresses.broker_url(self._folder)

    def die(self) -> None:
        """kill -9, and what it had not written down is gone."""
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait(10)

    def come_back(self) -> None:
        _, self._process = valkey.start(self._folder)

    def remove(self) -> None:
        stop(self._process, signal.SIGTERM, 10)
        shutil.rmtree(self._folder, ignore_errors=True)


def _settings(cluster: Cluster) -> dict[str, str]:
    parts = urlsplit(cluster.url())
    return {
        "NAME": parts.path[1:],
        "USER": parts.username or "",
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parse_qs(parts.query)["host"][0],
        "PORT": "",
    }
