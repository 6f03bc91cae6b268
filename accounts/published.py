"""What the provider of single sign-on publishes of itself, kept by each web server for some minutes.

Without that everybody who presses the button has it asked for, and a provider that is slow for a moment lets nobody in.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

KEPT_SECONDS = 600
FRESH_SECONDS = 60
"""A key that is not among those kept is looked for anew, but no more often than this."""


class Published:
    """Documents by their address."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, Any]] = {}

    def get(self, address: str, ask: Callable[[], Any], oldest: float = KEPT_SECONDS) -> Any:
        """Return the document, asked for unless one is kept that is younger than `oldest` seconds.

        What `ask` raises is raised, and nothing is kept of it.
        """
        with self._lock:
            at, document = self._kept.get(address, (0.0, None))
        if document is not None and time.monotonic() - at < oldest:
            return document
        document = ask()
        now = time.monotonic()
        with self._lock:
            young = {known: one for known, one in self._kept.items() if now - one[0] < KEPT_SECONDS}
            self._kept = young | {address: (now, document)}
        return document

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()


published = Published()
