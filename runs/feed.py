"""One reader of a run's events, shared by all who follow it in this process."""

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Any

from channels.db import database_sync_to_async

from runs import live

KEPT = 2_000


class Feed:
    """The newest events of one run in memory; `after` reads the database only when somebody needs older ones."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._events: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._lock = asyncio.Lock()
        self._begun = self._ended = 0
        self._whole = False  # whether the log went no further when its newest kept event was read

    async def refresh(self) -> None:
        """Read what is new. Callers at the same moment share one query, but never one that began before they called:
        it might have looked just before the event they were told of."""
        wanted = self._begun + 1
        async with self._lock:
            if self._ended < wanted:
                self._begun += 1
                await self._read()
                self._ended = self._begun

    async def after(self, seq: int) -> Sequence[dict[str, Any]]:
        """Return the events after `seq` without a gap, oldest first, at most `live.PAGE`: ask again until none come."""
        reaches_back = bool(self._events) and self._events[0]["seq"] <= seq + 1
        kept = list(islice((event for event in self._events if event["seq"] > seq), live.PAGE))
        if reaches_back and (kept or self._whole):
            return kept
        return await self._fetch(seq)

    async def _read(self) -> None:
        more = bool(self._events)
        while more:
            more = len(await self._fetch(self._events[-1]["seq"])) == live.PAGE

    async def _fetch(self, seq: int) -> Sequence[dict[str, Any]]:
        """Read a page of events and keep those that continue what is kept; another reader may have been faster."""
        events: list[dict[str, Any]] = await database_sync_to_async(live.events_after)(self._run_id, seq)
        for event in events:
            if not self._events or event["seq"] == self._events[-1]["seq"] + 1:
                self._events.append(event)
        if events and events[-1]["seq"] == self._events[-1]["seq"]:
            self._whole = len(events) < live.PAGE
        return events
