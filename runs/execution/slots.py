"""How many calls a worker makes at once, shared fairly: runs take turns, and within a run first come, first served."""

import asyncio
from collections import deque


class Slots:
    """A counting semaphore over calls whose waiters are served run by run in turn."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @property
    def is_full(self) -> bool:
        return self._free <= 0

    def take_now(self) -> bool:
        """Take a slot without waiting; False when none is free or somebody waits already."""
        if self._free <= 0 or self._waiting:
            return False
        self._free -= 1
        return True

    async def take(self, run_id: str) -> None:
        """Take a slot, waiting for this run's turn if there is none."""
        if self.take_now():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(run_id, deque()).append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.give()
            raise

    def give(self) -> None:
        """Return a slot: the run whose turn it is gets it, and goes to the end of the line."""
        while self._waiting:
            run_id = next(iter(self._waiting))
            line = self._waiting.pop(run_id)
            future = line.popleft()
            if line:
                self._waiting[run_id] = line
            if not future.done():
                future.set_result(None)
                return
        self._free += 1
