"""A thread that keeps a worker's leases alive, stops doing so when the event loop has stalled, and ends a process
whose loop will not come back: whoever watches over it starts another.

Where the database was away for all, leases ran out while their owners live. Who could not renew its own takes no
other's for a moment after it can again: the others are coming back too.
"""

import logging
import math
import os
import threading
import time

import psycopg

from runs import claims

log = logging.getLogger("baton.heartbeat")

STALLED_AFTER = 20.0
HOPELESS_AFTER = 120.0
AGAIN_AFTER = 0.5
PATIENCE = 5.0
"""Seconds for which others get the time to renew their leases, once this worker could renew its own again."""


class Heartbeat(threading.Thread):
    """Renews every lease of `owner` three times within a lease, as long as `beat` is called often enough."""

    def __init__(self, conninfo: str, owner: str, lease_seconds: int) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._conninfo, self._owner, self._lease = conninfo, owner, lease_seconds
        self._alive_at = time.monotonic()
        self._ended = threading.Event()
        self._failed_at = -math.inf
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None

    def beat(self) -> None:
        """Say that the event loop is moving."""
        self._alive_at = time.monotonic()

    @property
    def is_back(self) -> bool:
        """Whether the database has been there for long enough to say that an owner whose lease ran out is gone."""
        return time.monotonic() - self._failed_at > PATIENCE

    def stop(self) -> None:
        self._ended.set()

    def run(self) -> None:
        rounds = 0
        pause = self._lease / 3
        while not self._ended.wait(pause):
            stalled = time.monotonic() - self._alive_at
            if stalled > min(STALLED_AFTER, self._lease * 2 / 3):
                log.error("The event loop has stalled; leases are no longer renewed.")
                rounds += 1
                # Seen twice: after a sleep of the whole machine the loop gets its turn first.
                if stalled > HOPELESS_AFTER and rounds > 1:
                    log.critical("The event loop has stood still for %d s: this process ends.", stalled)
                    os._exit(os.EX_SOFTWARE)
                continue
            rounds = 0
            pause = self._lease / 3 if self._renew() and self.is_back else AGAIN_AFTER
        if self._connection:
            self._connection.close()

    def _renew(self) -> bool:
        """Renew; return False when the database was not there. Until it is back for good that is done again and again,
        so as to be first, and to reach the runs whose decisions were being written at that moment."""
        try:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(self._conninfo, autocommit=True, connect_timeout=5)
            claims.renew(self._connection, self._owner, self._lease)
            return True
        except psycopg.Error as error:
            log.warning("Leases could not be renewed, trying again: %s", error)
            self._connection = None
            self._failed_at = time.monotonic()
            return False
