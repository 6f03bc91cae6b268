"""One process of a session migrates its database and leaves a copy, with which the others begin: ten seconds each."""

import fcntl
import os
from pathlib import Path
from typing import TextIO

from django.db import connection

COPY = "baton_migrated"


class Turn:
    """The turn of this process to make its database: `take` it before, `end` it after.

    Only where processes share a PostgreSQL that is the session's own.
    """

    def __init__(self) -> None:
        self._lock: TextIO | None = None

    def take(self) -> None:
        """Wait while another process migrates; have the database made from its copy where there is one."""
        if os.environ.get("DATABASE_URL") or int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) < 2:
            return
        lock = Path(os.environ["BATON_DATA_DIR"], "migrating").open("w")  # noqa: SIM115 until `end`
        fcntl.flock(lock, fcntl.LOCK_EX)
        with connection._nodb_cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [COPY])
            is_there = cursor.fetchone() is not None
        if is_there:
            connection.settings_dict["TEST"]["TEMPLATE"] = COPY
            lock.close()
        else:
            self._lock = lock

    def end(self) -> None:
        """Leave a copy, if this process has migrated."""
        if self._lock is None:
            return
        name = connection.settings_dict["NAME"]
        connection.close()
        with connection._nodb_cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute(f"CREATE DATABASE {COPY} TEMPLATE {connection.ops.quote_name(name)}")
        self._lock.close()
        self._lock = None
