"""A thread beside the poll for what may take its time: one at a time, woken by the poll, ended with the process."""

import atexit
import threading
import time
from collections.abc import Callable

END_SECONDS = 5.0
"""How long a process that ends waits for what such a thread has in hand; what is cut off then is done again later."""


_all: list["Beside"] = []


def end_all() -> None:
    """Have nothing more begun beside, and wait for what is in hand. A worker calls it while it has all of its parts."""
    until = time.monotonic() + END_SECONDS
    begun = [one for one in _all if not one.is_ending]
    for one in begun:
        one.is_ending = True
    for one in begun:
        one.wait(max(0.0, until - time.monotonic()))


atexit.register(end_all)


class Beside:
    """Does its work in a thread of its own. Work that has a next thing to do asks `is_ending` before it begins that."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self._name, self._work = name, work
        self._thread: threading.Thread | None = None
        self.is_ending = False
        _all.append(self)

    @property
    def is_at_it(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def wake(self) -> None:
        """Let a thread begin, unless one is at it already or the process ends. Returns at once."""
        if not self.is_at_it and not self.is_ending:
            # A daemon: whatever it waits for, for longer than `END_SECONDS`, it does not keep the process.
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait until the thread has ended, for so long at most; return whether none is at it."""
        if self._thread is not None:
            self._thread.join(seconds)
        return not self.is_at_it
