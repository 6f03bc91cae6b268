"""What an actor needs of the worker that it lives in."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Protocol, TypeVar

from psycopg import AsyncConnection

from runs import allowance
from runs.cache import Kept
from runs.engine.decision import Decision
from runs.execution.admission import Admission
from runs.execution.owned import OwnedRun
from runs.execution.slots import Slots
from runs.store import Commit

Answer = TypeVar("Answer")


class Host(Protocol):
    slots: Slots
    admission: Admission

    def now(self) -> datetime: ...
    async def hold(self, wanted: allowance.Wanted) -> allowance.Held: ...
    async def cached(self, workspace_id: str, key: str) -> Kept | None: ...
    async def ask(self, question: Callable[[AsyncConnection[Any]], Awaitable[Answer]]) -> Answer: ...
    async def commit(self, commit: Commit) -> bool: ...
    async def read_inbox(self, run_id: str) -> list[tuple[int, object]]: ...
    def committed(self, run: OwnedRun, decision: Decision) -> None: ...
