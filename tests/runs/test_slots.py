"""Slots: as many calls at once as there is room for, and no run waits behind another run's crowd."""

import asyncio

from runs.execution.slots import Slots


async def test_a_slot_is_taken_at_once_while_one_is_free() -> None:
    slots = Slots(2)
    assert slots.take_now()
    assert slots.take_now()
    assert not slots.take_now()
    slots.give()
    assert slots.take_now()


async def test_waiting_runs_take_turns() -> None:
    slots = Slots(1)
    assert slots.take_now()
    served: list[str] = []

    async def call(run: str) -> None:
        await slots.take(run)
        served.append(run)
        slots.give()

    crowd = [asyncio.create_task(call("big")) for _ in range(3)]
    await asyncio.sleep(0)
    late = asyncio.create_task(call("small"))
    await asyncio.sleep(0)
    slots.give()
    await asyncio.gather(*crowd, late)
    assert served == ["big", "small", "big", "big"]


async def test_nobody_overtakes_those_who_wait() -> None:
    slots = Slots(1)
    assert slots.take_now()
    waiting = asyncio.create_task(slots.take("a"))
    await asyncio.sleep(0)
    slots.give()
    assert not slots.take_now()
    await waiting


async def test_a_waiter_that_is_cancelled_leaves_its_slot_to_the_next() -> None:
    slots = Slots(1)
    assert slots.take_now()
    first = asyncio.create_task(slots.take("a"))
    second = asyncio.create_task(slots.take("b"))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    slots.give()
    await asyncio.wait_for(second, 1)


async def test_a_waiter_cancelled_after_it_was_served_gives_the_slot_back() -> None:
    slots = Slots(1)
    assert slots.take_now()
    waiter = asyncio.create_task(slots.take("a"))
    await asyncio.sleep(0)
    slots.give()
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    assert slots.take_now()
