"""One installation on many machines: four workers, two web servers behind a proxy, and whom they serve."""

import asyncio
import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings

from orchestrator_site.processes import Child, Program
from pipelines.models import Pipeline
from runs.models import Run
from tests.conftest import ROOT, free_port, wait_for
from tests.faults.figures.crowd import Crowd
from tests.faults.machines import Machine, Network
from tests.faults.own import OwnBroker, OwnDatabase
from tests.faults.stage import Outside, Stage, WorkerProcess
from tests.people import bearer

WORKERS, WEBS = ("w1", "w2", "w3", "w4"), ("web1", "web2")
START_SECONDS = 90
ANSWER_SECONDS, PATIENCE_SECONDS = 12.0, 120.0
ORDERED_AT_ONCE = 20
ROLE = "BATON_DATABASE_ROLE"
ESTABLISHED = "01"


class Site:
    """The machines and what runs on them; `url` is the address that people and programs know, the proxy's.

    `told` is what each worker is told beside where everything is.
    """

    def __init__(
        self, net: Network, folder: Path, told: Mapping[str, str], database: OwnDatabase, broker: OwnBroker
    ) -> None:
        self.net, self.folder, self._told = net, folder, told
        self.database, self.broker = database, broker
        self.url = f"http://{net.host}:{free_port()}"
        self._machines = {name: net.machine(name, database.port, serves=name in WEBS) for name in (*WORKERS, *WEBS)}
        self.workers = {name: self._worker(name) for name in WORKERS}
        self.webs = {name: self._web(self._machines[name]) for name in WEBS}
        for web in self.webs.values():
            web.start()

    @property
    def proxied(self) -> str:
        """Return the proxy's way: from the address that everybody knows to the web servers."""
        return f"{self.url.removeprefix('http://')}={','.join(map(self.front, WEBS))}"

    def front(self, web: str) -> str:
        """Return the HOST:PORT at which the proxy finds a web server."""
        return self._machines[web].front

    def wait_until_ready(self) -> None:
        for worker in self.workers.values():
            worker.wait_until_ready()
        for name in WEBS:
            wait_for(lambda name=name: _is_ready(self.front(name)), START_SECONDS, self.logs)

    def kill_worker(self, name: str) -> None:
        self.workers[name].kill()
        self.workers[name] = self._worker(name)

    def kill_workers(self) -> None:
        """Kill all of them; nobody takes their place before `hire_workers`."""
        for worker in self.workers.values():
            worker.kill()

    def hire_workers(self) -> None:
        """Start a worker on each machine and return when all of them serve."""
        self.workers = {name: self._worker(name) for name in WORKERS}
        for worker in self.workers.values():
            worker.wait_until_ready()

    def kill_web(self, name: str) -> None:
        web = self.webs[name]
        os.kill(web.pid or 0, signal.SIGKILL)
        wait_for(lambda: not web.running, 10)
        web.start()

    def connected(self, web: str) -> int:
        """Return how many connections a web server has, as the kernel of its machine counts them."""
        port = f":{self._machines[web].bind[1]:04X}"
        table = Path(f"/proc/{self.webs[web].pid}/net/tcp").read_text().splitlines()[1:]
        rows = [line.split() for line in table]
        return sum(row[1].endswith(port) and row[3] == ESTABLISHED for row in rows)

    def stop(self) -> None:
        for worker in self.workers.values():
            worker.ask_to_stop()
        for web in self.webs.values():
            web.stop(grace=10)
        for worker in self.workers.values():
            worker.wait_until_ended()

    def logs(self) -> str:
        return "\n".join(f"--- {log.name}\n{log.read_text()[-3000:]}" for log in self.folder.glob("*.log"))

    def _worker(self, name: str) -> WorkerProcess:
        machine = self._machines[name]
        environment = {**self._told, **self._environment(machine)}
        return WorkerProcess(name, self.folder, inside=machine.inside, **environment)

    def _web(self, machine: Machine) -> Child:
        host, port = machine.bind
        return Child(
            Program(
                machine.name,
                [*machine.inside, sys.executable, "-m", "orchestrator_site.web"],
                env={**self._environment(machine), "BATON_HOST": host, "PORT": str(port), ROLE: "baton_web"},
                cwd=ROOT,
                log=self.folder / f"{machine.name}.log",
            )
        )

    def _environment(self, machine: Machine) -> dict[str, str]:
        """Return what a process is told; the folder of its data is its own."""
        folder = self.folder / f"{machine.name}.data"
        folder.mkdir(exist_ok=True)
        return {
            **self.broker.environment,
            "DATABASE_URL": self.database.url_at(machine.database),
            "BATON_DATA_DIR": str(folder),
            "BATON_BASE_URL": self.url,
            "BATON_DEMO_LATENCY_MS": "300",
            "SECRET_KEY": settings.SECRET_KEY,
            "PYTHONWARNINGS": "ignore",
            "DJANGO_ALLOW_ASYNC_UNSAFE": "",
        }


def _is_ready(front: str) -> bool:
    try:
        return urllib.request.urlopen(f"http://{front}/readyz", timeout=5).status == 200
    except OSError:
        return False


class Caller:
    """A program that asks again with the same key until it has an answer, whatever happens in between.

    It asks the proxy, or past it the web server that is named.
    """

    def __init__(self, site: Site, headers: dict[str, str], web: str = "") -> None:
        asked = f"http://{site.front(web)}" if web else site.url
        self._root = f"{asked}/api/v1"
        self._headers = {**headers, "Content-Type": "application/json"}
        self.again = 0

    def ask(self, method: str, path: str, body: Any = None, key: str = "") -> tuple[int, Any]:
        """Return status and JSON of the answer; fail when there is none for two minutes."""
        patience = time.monotonic() + PATIENCE_SECONDS
        headers = {**self._headers, **({"Idempotency-Key": key} if key else {})}
        data = None if body is None else json.dumps(body).encode()
        while True:
            asked = urllib.request.Request(f"{self._root}{path}", data, headers, method=method)
            status, found = _answer(asked)
            if status and status < 500 and not (status == 409 and found["code"] == "in_progress"):
                return status, found
            assert time.monotonic() < patience, f"{method} {path}: {status} {found}"
            self.again += 1
            time.sleep(0.5)


def _answer(asked: urllib.request.Request) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(asked, timeout=ANSWER_SECONDS) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with suppress(ValueError):
            return refused.code, json.load(refused)
        return refused.code, None
    except (OSError, ValueError) as broken:  # cut off, also in the middle of its answer
        return 0, repr(broken)


class SiteStage(Stage):
    """The stage before a site: whatever a program asks there goes through the site's proxy, and its workers work."""

    def __init__(self, site: Site, models: Outside, sink: tuple[Outside, int]) -> None:
        super().__init__(site.folder, models, sink, site.net.host)
        self.site = site
        self.workers = list(site.workers.values())
        self.program = Caller(site, bearer(self.composer.user, self.team.workspace))

    def start_all(self, pipeline: Pipeline, markers: Sequence[str]) -> list[Run]:
        """Order a run for each marker, many at once."""
        with ThreadPoolExecutor(ORDERED_AT_ONCE) as pool:
            ordered = list(pool.map(lambda marker: self._order(pipeline.slug, marker), markers))
        return [Run.objects.get(pk=run) for run in ordered]

    def cancel(self, run: Run) -> None:
        status, found = self.program.ask("POST", f"/runs/{run.pk}/cancel", {"reason": "enough"}, key=f"cancel-{run.pk}")
        assert status == 202, found

    def logs(self) -> str:
        return self.site.logs()

    def _order(self, slug: str, marker: str) -> str:
        body = {"input": {"run": marker}}
        status, found = self.program.ask("POST", f"/pipelines/{slug}/runs", body, key=f"{slug}-{marker}")
        assert status == 202, found
        return str(found["id"])


class Lookers:
    """Pages that follow runs, in a thread of their own, and come back from their last event when they are cut off."""

    def __init__(self, site: Site, sessions: list[str]) -> None:
        self._origin, self._sessions = site.url, sessions
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.crowds: dict[Any, Crowd] = {}

    def follow(self, run: Run) -> None:
        address = f"{self._origin.replace('http', 'ws')}/ws/runs/{run.pk}"
        self.crowds[run.pk] = crowd = Crowd(address, self._origin, self._sessions)
        asyncio.run_coroutine_threadsafe(self._look(crowd), self._loop)

    def missing(self) -> int:
        """Return how many events the pages together have not seen."""
        seqs = dict(Run.objects.filter(pk__in=self.crowds).values_list("pk", "seq"))
        return sum(len(crowd.seen) * seqs[run] - sum(crowd.seen) for run, crowd in self.crowds.items())

    def leave(self) -> None:
        asyncio.run_coroutine_threadsafe(_end_others(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    async def _look(self, crowd: Crowd) -> None:
        await crowd.enter()
        await crowd.stay()


async def _end_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
