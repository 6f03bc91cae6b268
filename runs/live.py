"""Says "look again" to the pages that watch. Rows are the truth; a lost message costs nothing but a moment.

Worker side: `Bell` rings at the first change of a run, then at most once per run every 40 ms. Web side: groups and the
reading of events by seq.
"""

import asyncio
import logging
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from redis.exceptions import RedisError

from runs.models import Event, Run

log = logging.getLogger("baton.live")

COALESCE_SECONDS = 0.04
LONGEST_SEQ = 18  # digits that surely fit 64 bits
PAGE = 500


def run_group(run_id: object) -> str:
    return f"run.{run_id}"


def workspace_group(workspace_id: object) -> str:
    return f"workspace.{workspace_id}"


def ring_workspace(workspace_id: object) -> None:
    """Tell the pages of a workspace to look again, from code that is not asynchronous. It never fails.

    On a loop of its own: a job of a worker that stops would wait for ever for the worker's loop.
    """
    try:
        send = async_to_sync(get_channel_layer().group_send, force_new_loop=True)
        send(workspace_group(workspace_id), {"type": "look.again"})
    except (OSError, RuntimeError, RedisError) as error:
        log.warning("The channel layer did not take the bell of a workspace: %s", error)


def seq_of(text: str | None) -> int:
    """Return the event number that an address names; 0, before the first, where it names none."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= LONGEST_SEQ else 0


def events_after(run_id: UUID | str, seq: int, limit: int = PAGE) -> list[dict[str, Any]]:
    """Return the events after `seq`, oldest first, at most `limit`, as {seq, type, path, at, payload}."""
    rows = Event.objects.filter(run_id=run_id, seq__gt=seq).order_by("seq")[:limit]
    return [dict(row) for row in rows.values("seq", "type", "path", "at", "payload")]


def last_seq(run_id: UUID | str) -> int:
    """Return the number of the run's newest event; 0 where there is none."""
    return Run.objects.filter(pk=run_id).values_list("seq", flat=True).first() or 0


class Bell:
    """Rings for runs whose commit is done; lives on one event loop."""

    def __init__(self) -> None:
        self._changed: dict[str, str] = {}
        self._lists: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def changed(self, run_id: str, workspace_id: str, *, lists: bool) -> None:
        """Note that a run has new events; `lists` says that counts and lists of the workspace changed as well."""
        self._changed[run_id] = workspace_id
        if lists:
            self._lists.add(workspace_id)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._ring(), name="bell")

    async def _ring(self) -> None:
        layer = get_channel_layer()
        while self._changed:
            runs, self._changed = self._changed, {}
            lists, self._lists = self._lists, set()
            groups = [run_group(run_id) for run_id in runs] + [workspace_group(one) for one in lists]
            try:
                for group in groups:
                    await layer.group_send(group, {"type": "look.again"})
            except (OSError, RuntimeError, RedisError) as error:
                log.warning("The channel layer did not take %d bells: %s", len(groups), error)
            await asyncio.sleep(COALESCE_SECONDS)
