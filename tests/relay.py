"""A small proxy for tests: passes connections on, each to the next of some servers that answers.

`python -m tests.relay HOST:PORT=HOST:PORT[,HOST:PORT…] …` listens at the left and passes on to the right. A server that
did not answer in time comes last for a few seconds. Stopped (SIGSTOP), it is a network that carries nothing.
"""

import asyncio
import sys
import time
from contextlib import suppress
from itertools import count

ANSWER_SECONDS = 1.0
REST_SECONDS = 3.0

Place = tuple[str, int]


class Relay:
    """One place to listen at and the servers behind it."""

    def __init__(self, servers: list[Place]) -> None:
        self._servers = servers
        self._turn = count()
        self._silent_until = dict.fromkeys(servers, 0.0)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        links = [writer]
        try:
            back, forth = await self._reached()
            links.append(forth)
            await asyncio.wait(
                [asyncio.ensure_future(pass_on(reader, forth)), asyncio.ensure_future(pass_on(back, writer))],
                return_when=asyncio.FIRST_COMPLETED,
            )
        except OSError:
            pass
        finally:
            for link in links:
                link.transport.abort()

    async def _reached(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        turn = next(self._turn) % len(self._servers)
        inline = self._servers[turn:] + self._servers[:turn]
        now = time.monotonic()
        for server in sorted(inline, key=lambda one: self._silent_until[one] > now):
            try:
                return await asyncio.wait_for(asyncio.open_connection(*server), ANSWER_SECONDS)
            except OSError:
                self._silent_until[server] = time.monotonic() + REST_SECONDS
        raise ConnectionError("nobody answers")


async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()


def place(text: str) -> Place:
    host, _, port = text.rpartition(":")
    return host, int(port)


async def relay(ways: list[str]) -> None:
    for way in ways:
        here, _, there = way.partition("=")
        servers = [place(one) for one in there.split(",")]
        await asyncio.start_server(Relay(servers).connected, *place(here), backlog=1024)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(relay(sys.argv[1:]))
