"""The feed of one run, over a log in memory: nothing lost, nothing twice, however many read at once."""

import asyncio
from typing import Any

import pytest

from runs import feed, live
from runs.feed import Feed


class Log:
    """The event table: answers after a moment, with what it held when it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, length: int = 0) -> None:
        self.length = length
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()
        monkeypatch.setattr(feed, "database_sync_to_async", lambda _: self.read)

    async def read(self, run_id: str, seq: int) -> list[dict[str, Any]]:
        self.asked += 1
        found = [{"seq": number} for number in range(seq + 1, min(self.length, seq + live.PAGE) + 1)]
        await self.gate.wait()
        await asyncio.sleep(0)
        return found


async def caught_up(reader: Feed, seq: int) -> list[int]:
    """Return what one socket would send from here to the end."""
    await reader.refresh()
    sent: list[int] = []
    while events := await reader.after(seq):
        sent += [event["seq"] for event in events]
        seq = sent[-1]
    return sent


@pytest.mark.parametrize("length", [0, 1, live.PAGE - 1, live.PAGE, live.PAGE + 1, 3 * live.PAGE, feed.KEPT + 700])
async def test_a_reader_catches_up_with_the_whole_log_at_once(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    log, run = Log(monkeypatch, length), Feed("run")
    assert await caught_up(run, 0) == list(range(1, length + 1))
    log.length += live.PAGE + 3
    assert await caught_up(run, length) == list(range(length + 1, log.length + 1))
    assert await caught_up(run, 0) == list(range(1, log.length + 1))


async def test_readers_at_the_same_moment_share_one_query(monkeypatch: pytest.MonkeyPatch) -> None:
    log, run = Log(monkeypatch, 10), Feed("run")
    await caught_up(run, 0)
    log.length, log.asked = 12, 0
    found = await asyncio.gather(*(caught_up(run, 10) for _ in range(50)))
    assert found == [[11, 12]] * 50
    assert log.asked <= 2


async def test_a_reader_that_is_rung_while_another_reads_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The query under way may have looked just before the event of which this reader was told."""
    log, run = Log(monkeypatch, 10), Feed("run")
    await caught_up(run, 0)
    log.gate.clear()
    early = asyncio.create_task(caught_up(run, 10))
    await asyncio.sleep(0)
    log.length = 11
    late = asyncio.create_task(caught_up(run, 10))
    await asyncio.sleep(0)
    log.gate.set()
    assert await late == [11]
    assert await early in ([], [11])


async def test_a_reader_that_leaves_while_it_reads_takes_nothing_from_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log, run = Log(monkeypatch, 10), Feed("run")
    await caught_up(run, 0)
    log.gate.clear()
    log.length = 11
    leaving, staying = (asyncio.create_task(caught_up(run, 10)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    log.gate.set()
    assert await staying == [11]


async def test_readers_far_apart_get_each_event_once(monkeypatch: pytest.MonkeyPatch) -> None:
    log, run = Log(monkeypatch, 4 * live.PAGE), Feed("run")
    places = [0, 1, 499, 500, 501, 1_700, 1_999, 2_000]
    found = await asyncio.gather(*(caught_up(run, place) for place in places))
    assert found == [list(range(place + 1, log.length + 1)) for place in places]
