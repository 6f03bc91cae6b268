"""The database and broker a measurement uses: those of the environment, else embedded ones of its own."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


@contextmanager
def running() -> Iterator[None]:
    """Prepare a migrated database and a broker; leave the environment pointing at them."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orchestrator_site.settings")
    with ExitStack() as stack:
        if "DATABASE_URL" not in os.environ or "CELERY_BROKER_URL" not in os.environ:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="baton-bench-"))
            os.environ["BATON_DATA_DIR"] = folder
            stack.enter_context(_embedded(Path(folder)))
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], check=True)
        yield


@contextmanager
def _embedded(folder: Path) -> Iterator[None]:
    from orchestrator_site.embedded import postgres, valkey
    from orchestrator_site.processes import stop

    started = []
    try:
        if "DATABASE_URL" not in os.environ:
            cluster, process = postgres.start(folder)
            started.append((process, cluster.program().stop))
        if "CELERY_BROKER_URL" not in os.environ:
            server, process = valkey.start(folder)
            started.append((process, server.program().stop))
        yield
    finally:
        for process, how in reversed(started):
            stop(process, how, grace=10)
