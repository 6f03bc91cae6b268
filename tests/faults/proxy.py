"""A way to the database that can be slow or fall silent: a unix socket that passes everything on, in a thread."""

import asyncio
import shutil
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from django.db import connection

SOCKET = ".s.PGSQL.5432"


class Proxy:
    """Stands between workers and the test database. `delay` is the seconds that each packet takes, either way."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self._silent = False
        self._folder = Path(tempfile.mkdtemp(prefix="baton-proxy-"))
        self._loop = asyncio.new_event_loop()
        self._links: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._on_loop(self._listen())

    @property
    def url(self) -> str:
        """Return the address of the test database by way of this proxy."""
        at = connection.settings_dict
        login = quote(at["USER"]) + (f":{quote(at['PASSWORD'])}" if at["PASSWORD"] else "")
        return f"postgresql://{login}@/{at['NAME']}?host={quote(str(self._folder))}"

    def fall_silent(self) -> None:
        """Pass nothing on any more and close nothing: nobody is told that the other side is gone."""
        self._silent = True

    def hang_up(self) -> None:
        """Close the silent connections and let new ones through."""
        self._silent = False
        self._on_loop(self._close_links())

    def remove(self) -> None:
        self._on_loop(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _on_loop(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)  # type: ignore[arg-type]

    async def _listen(self) -> None:
        self._server = await asyncio.start_unix_server(self._connected, str(self._folder / SOCKET))

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at = connection.settings_dict
        there = Path(at["HOST"]) / SOCKET
        try:
            back, forth = await asyncio.open_unix_connection(str(there))
        except OSError:
            writer.close()
            return
        self._links |= {writer, forth}
        await asyncio.gather(self._pass_on(reader, forth), self._pass_on(back, writer), return_exceptions=True)
        for link in (writer, forth):
            self._links.discard(link)
            link.close()

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            await asyncio.sleep(self.delay)
            while self._silent:
                await asyncio.sleep(0.05)
            target.write(data)
            await target.drain()
        with suppress(OSError):
            target.close()

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._close_links()

    async def _close_links(self) -> None:
        for link in list(self._links):
            link.transport.abort()
