"""How many passwords are looked at at once for who is not inside: a hash takes 100 MiB, all lanes and a connection."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from accounts.errors import TooMany

AT_ONCE = 2
WAITING = 4
"""Who may wait for a turn. With those whose turn it is they are fewer than half of a server's 16 connections."""
_SECONDS = 2

_room = threading.BoundedSemaphore(AT_ONCE + WAITING)
_turns = threading.BoundedSemaphore(AT_ONCE)


@contextmanager
def turn() -> Iterator[None]:
    """Wait for one's turn to hash a password; raise TooMany `too_many_at_once` where too many wait already.

    Of each server: a flood of sign-ins is refused at once, and leaves the pages of those who are inside alone.
    """
    if not _room.acquire(blocking=False):
        raise TooMany(
            "Too many people are signing in just now. Try again in a moment.", _SECONDS, code="too_many_at_once"
        )
    try:
        with _turns:
            yield
    finally:
        _room.release()
