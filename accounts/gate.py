"""Lets sockets in, and turns out those whose person may no longer look: many are asked about at once."""

import asyncio
import logging
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, Protocol, TypeVar

from channels.db import database_sync_to_async

from accounts.socket_access import Answer

BROKEN = 1011  # the close code of a server that cannot go on
CHECK_SECONDS = 7.0  # with the time of a check, nobody is inside ten seconds after they lost the right
AT_ONCE = 500

log = logging.getLogger("baton.live")
Knock = TypeVar("Knock", bound=Hashable)


class Inside(Protocol):
    """An open socket."""

    async def beat(self) -> None: ...

    async def close(self, code: int) -> None: ...


class Gate(Generic[Knock]):
    """One for a process. While the database answers some, those who knock meanwhile gather for the next question.

    `answers` says of many knocks at once who follows, or the code with which the socket closes.
    """

    def __init__(self, answers: Callable[[Sequence[Knock]], Sequence[Answer]]) -> None:
        self._answers = answers
        self._knocks: list[Knock] = []
        self._next: asyncio.Task[dict[Knock, Answer]] | None = None
        self._turn = asyncio.Lock()
        self._inside: dict[Inside, Knock] = {}
        self._rounds: asyncio.Task[None] | None = None

    async def admit(self, knock: Knock) -> Answer:
        """Return who follows, or the code with which the socket closes."""
        self._knocks.append(knock)
        self._next = self._next or asyncio.create_task(self._ask())
        return (await asyncio.shield(self._next))[knock]

    def keep(self, follower: Inside, knock: Knock) -> None:
        """Look every few seconds whether this one may still follow; until `forget`."""
        self._inside[follower] = knock
        if self._rounds is None or self._rounds.done():
            self._rounds = asyncio.create_task(self._go_round())

    def forget(self, follower: Inside) -> None:
        self._inside.pop(follower, None)

    async def _ask(self) -> dict[Knock, Answer]:
        async with self._turn:
            knocks, self._knocks, self._next = self._knocks, [], None
            return await self._answer(knocks)

    async def _go_round(self) -> None:
        while self._inside:
            await asyncio.sleep(CHECK_SECONDS)
            inside = list(self._inside.items())
            for first in range(0, len(inside), AT_ONCE):
                await self._check(inside[first : first + AT_ONCE])

    async def _check(self, some: Sequence[tuple[Inside, Knock]]) -> None:
        """Close those who may no longer follow; all of them, when that cannot be known: they come back and ask anew."""
        try:
            found = await self._answer([knock for _, knock in some])
        except Exception:
            log.exception("Whether %d sockets may still be open cannot be known, so they are closed", len(some))
            found = {knock: BROKEN for _, knock in some}
        for follower, knock in some:
            answer = found[knock]
            if isinstance(answer, int):
                await follower.close(answer)
            else:
                await follower.beat()

    async def _answer(self, knocks: Sequence[Knock]) -> dict[Knock, Answer]:
        asked = list(dict.fromkeys(knocks))
        # in a thread of its own: nobody may stay inside longer because the pages of a busy run are being drawn
        found = await database_sync_to_async(self._answers, thread_sensitive=False)(asked)
        return dict(zip(asked, found, strict=True))
