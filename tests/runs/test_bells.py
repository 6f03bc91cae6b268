"""The bell of a workspace, rung from code that is not asynchronous."""

import asyncio
import threading

from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer

from runs import live


def test_a_job_rings_while_the_loop_that_started_it_stands_still() -> None:
    heard = threading.Event()

    def job() -> None:
        live.ring_workspace("w1")
        heard.set()

    async def stopping() -> bool:
        started = asyncio.ensure_future(sync_to_async(job, thread_sensitive=False)())
        await asyncio.sleep(0)
        rang = heard.wait(10)  # the loop does nothing meanwhile, as one that has been stopped
        await started
        return rang

    assert asyncio.run(stopping())


def test_who_listens_to_a_workspace_hears_it() -> None:
    async def heard() -> object:
        layer = get_channel_layer()
        name = await layer.new_channel()
        await layer.group_add(live.workspace_group("w2"), name)
        await sync_to_async(live.ring_workspace, thread_sensitive=False)("w2")
        async with asyncio.timeout(10):
            return await layer.receive(name)

    assert asyncio.run(heard()) == {"type": "look.again"}
