"""Loaded by pytest before Django reads its settings: finds or starts the services the tests need.

Without DATABASE_URL an embedded PostgreSQL and Valkey run for this session, in a folder of their own; workers of
pytest-xdist share them, each with its own database and its own numbered key spaces.
"""

import atexit
import os
import shutil
import signal
import tempfile
from pathlib import Path

from orchestrator_site.embedded import addresses, postgres, valkey
from orchestrator_site.processes import stop


def _start_services() -> None:
    data_dir = Path(tempfile.mkdtemp(prefix="baton-test-"))
    data_dir.chmod(0o755)  # as root, PostgreSQL runs as another user
    os.environ["BATON_DATA_DIR"] = str(data_dir)
    atexit.register(shutil.rmtree, data_dir, ignore_errors=True)
    if not os.environ.get("DATABASE_URL"):
        cluster, process = postgres.start(data_dir)
        atexit.register(stop, process, signal.SIGINT, 20)
        _forget_durability(cluster.url())
    if not (os.environ.get("CELERY_BROKER_URL") and os.environ.get("CHANNEL_LAYER_URL")):
        _, process = valkey.start(data_dir)
        atexit.register(stop, process, signal.SIGTERM, 10)


def _forget_durability(url: str) -> None:
    """No test needs its rows after a power cut; killed processes lose nothing by this."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("ALTER SYSTEM SET full_page_writes = off")
        connection.execute("SELECT pg_reload_conf()")


def _take_own_key_spaces(worker: str) -> None:
    """Give a pytest-xdist worker (gw0, gw1, …) broker and channel databases that no other rings."""
    number = int(worker.removeprefix("gw"))
    socket = addresses.valkey_socket(Path(os.environ["BATON_DATA_DIR"]))
    os.environ.setdefault("CELERY_BROKER_URL", f"redis+socket://{socket}?virtual_host={2 * number + 3}")
    os.environ.setdefault("CHANNEL_LAYER_URL", f"unix://{socket}?db={2 * number + 2}")


os.environ.setdefault("BATON_DEMO_LATENCY_MS", "0")
if "PYTEST_XDIST_WORKER" in os.environ:
    _take_own_key_spaces(os.environ["PYTEST_XDIST_WORKER"])
else:
    _start_services()
