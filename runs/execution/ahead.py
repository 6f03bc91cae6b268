"""A call that is made ready while its intent is being written, and leaves the process only when that is durable."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """One call, begun early. `work` is given the event for which it waits before anything of it leaves the process."""

    def __init__(self, work: Callable[[asyncio.Event], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._may_leave = asyncio.Event()
        self._task: asyncio.Task[T] | None = None

    def prepare(self) -> None:
        """Begin, once whoever writes the intent has had its turn of the loop: it should not wait for this."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._begun())

    async def finish(self) -> T:
        """Let it go, and return what it comes to, or raise that. Called once the intent is durable."""
        self._may_leave.set()
        if self._task is None:
            return await self._work(self._may_leave)
        return await self._task

    def drop(self) -> None:
        """Give it up, if it has not ended: nothing of it has left unless `finish` was called."""
        if self._task is not None and not self._task.cancel() and not self._task.cancelled():
            self._task.exception()  # a failure of what was never to be made is nobody's

    async def _begun(self) -> T:
        await asyncio.sleep(0)
        try:
            return await self._work(self._may_leave)
        except (SystemExit, KeyboardInterrupt) as end:  # out of a task of its own it would end the whole loop
            raise RuntimeError(f"A call ended with {type(end).__name__}.") from end
