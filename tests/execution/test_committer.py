"""Which connection writes a decision: the one that wrote last, and another only while that one is busy."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from runs import store
from runs.execution.committer import MOST_IN_ONE_STATEMENT, Committer
from runs.store import Commit


class Book:
    """What each connection has written, in order. One that is `held` answers only when it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written: list[tuple[int, list[str]]] = []
        self.held = asyncio.Event()
        self.held.set()
        self._opened = 0
        monkeypatch.setattr(Committer, "_connect", self._connect)
        monkeypatch.setattr(store, "write", self._write)

    async def _connect(self) -> int:
        self._opened += 1
        return self._opened

    async def _write(self, connection: int, commits: Sequence[Commit]) -> dict[str, bool]:
        ids = [str(commit.run["id"]) for commit in commits]
        self.written.append((connection, ids))
        await self.held.wait()
        return dict.fromkeys(ids, False)


@pytest.fixture
def book(monkeypatch: pytest.MonkeyPatch) -> Book:
    return Book(monkeypatch)


def a_decision(name: object) -> Commit:
    return Commit({"id": str(name)})


async def test_decisions_one_after_the_other_are_all_written_by_the_same_connection(book: Book) -> None:
    committer = Committer("", connections=3)
    await asyncio.sleep(0)
    for number in range(5):
        await committer.commit(a_decision(number))
    await committer.close()
    assert book.written == [(1, [str(number)]) for number in range(5)]


async def test_another_connection_writes_while_one_is_busy_and_what_waits_for_both_goes_together(book: Book) -> None:
    committer = Committer("", connections=2)
    await asyncio.sleep(0)
    book.held.clear()
    waiting: list[asyncio.Task[Any]] = []
    for name in "abcd":
        waiting.append(asyncio.create_task(committer.commit(a_decision(name))))
        await asyncio.sleep(0.01)
    assert book.written == [(1, ["a"]), (2, ["b"])]
    book.held.set()
    assert await asyncio.gather(*waiting) == [False] * 4
    await committer.close()
    assert [ids for _, ids in book.written[2:]] == [["c", "d"]]


async def test_no_decision_is_lost_and_none_is_written_twice_when_many_are_ready_at_once(book: Book) -> None:
    committer = Committer("", connections=2)
    count = 3 * MOST_IN_ONE_STATEMENT + 1
    await asyncio.gather(*(committer.commit(a_decision(number)) for number in range(count)))
    await committer.close()
    assert sorted(int(name) for _, ids in book.written for name in ids) == list(range(count))
    assert max(len(ids) for _, ids in book.written) == MOST_IN_ONE_STATEMENT
