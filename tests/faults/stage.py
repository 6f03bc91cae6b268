"""Where faults are staged: worker processes that can be killed, a model server and an effect sink outside of them."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from django.db import connection

from accounts.access import Actor
from accounts.roles import Role
from pipelines import drafts, publish
from pipelines.library import agents
from pipelines.library.agents import AgentFields
from pipelines.models import Connection, Pipeline
from runs.models import Call, Event, LedgerEntry, Run, Span
from runs.services import Order, cancel, start_run
from tests.conftest import ROOT, database_url, free_port, wait_for
from tests.faults.forked import Forked
from tests.people import Team, a_member, a_team, acting

LEASE_SECONDS = 3
NOBODY_DIES = {"BATON_LEASE_SECONDS": "30"}
"""For workers of which none dies or stands still: a busy machine takes no run away from its owner."""


class Outside:
    """A helper process that Baton knows nothing of, steered and asked over HTTP."""

    def __init__(self, module: str, *ports: int) -> None:
        self.port = ports[0]
        arguments = [sys.executable, "-m", module, *map(str, ports)]
        self._process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL)
        wait_for(self._answers, 20)

    def ask(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data)
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            self.ask("/admin/reset", {})
        except OSError:
            return False
        return True


class WorkerProcess:
    """One worker with a short lease, in a process group of its own. `oddity`: what is wrong with it (odd_worker).

    `inside` comes before its command: on which machine it runs.
    """

    def __init__(
        self, name: str, folder: Path, oddity: str = "", inside: Sequence[str] = (), **environment: str
    ) -> None:
        self.log = folder / f"{name}.log"
        self._before = self.log.stat().st_size if self.log.exists() else 0
        worker = ["worker", "--pool", "threads", "--concurrency", "2", "--hostname", f"{name}@localhost"]
        alone = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO"]
        arguments = ["-A", "orchestrator_site", *worker, *alone]
        told = {**os.environ, **_environment(), **environment}
        if not oddity and not inside:
            self._process: Forked | subprocess.Popen[bytes] = Forked(arguments, told, self.log)
            return
        program = ["tests.faults.odd_worker", oddity] if oddity else ["celery"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*inside, sys.executable, "-m", *program, *arguments],
                cwd=ROOT,
                env=told,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def is_ready(self) -> bool:
        return b"ready." in self.log.read_bytes()[self._before :]

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait_until_ready(self) -> "WorkerProcess":
        wait_for(lambda: self.is_ready, 40, self.log.read_text)
        return self

    def send(self, number: signal.Signals) -> None:
        os.killpg(self._process.pid, number)

    def freeze_between_commits(self) -> None:
        """Stop it where it has no transaction open, whose locks would stop everybody else too."""
        for _ in range(200):
            self.send(signal.SIGSTOP)
            time.sleep(0.05)  # what the database was told before, it has done by then
            if not _somebody_holds_locks():
                return
            self.send(signal.SIGCONT)
            time.sleep(0.02)
        raise AssertionError("The worker never was between two commits.")

    def kill(self) -> None:
        """kill -9, as the kernel's out-of-memory killer would."""
        self.send(signal.SIGKILL)
        self._process.wait()

    def ask_to_stop(self) -> None:
        """SIGTERM, as a deployment would; a process that a test froze could not hear it."""
        if self.is_running:
            self._process.terminate()
            self.send(signal.SIGCONT)

    def stop(self) -> None:
        """Ask it to stop and return when the process has drained and ended."""
        self.ask_to_stop()
        self.wait_until_ended()

    def wait_until_ended(self) -> None:
        self._process.wait(40)


def _somebody_holds_locks() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "select exists (select from pg_stat_activity where datname = current_database()"
            " and pid <> pg_backend_pid() and xact_start is not null and backend_type = 'client backend')"
        )
        return bool(cursor.fetchone()[0])


class Stage:
    """A team, a connection `stub` to the model server, and the means to run pipelines and look at what was left."""

    def __init__(self, folder: Path, models: Outside, sink: tuple[Outside, int], host: str = "127.0.0.1") -> None:
        self.folder, self.models, self.sink = folder, models, sink[0]
        self.sink_url = f"http://{host}:{self.sink.port}"
        self._environment = outside(host, sink[1])
        self.workers: list[WorkerProcess] = []
        self.team: Team = a_team()
        self.bob: Actor = acting(self.team.bob)
        # the tests compose as somebody who may do everything but approve what they started
        self.composer: Actor = acting(a_member(self.team.workspace, "olga", Role.COMPOSER, Role.MANAGER, Role.ADMIN))
        prices = {f"stub-{ms}ms": {"input_per_million": "1.00", "output_per_million": "4.00"} for ms in (0, 200, 1500)}
        Connection.objects.create(
            workspace=self.team.workspace,
            name="stub",
            kind="openai",
            base_url=f"http://{host}:{models.port}/v1",
            trusted_address=True,
            prices=prices,
        )

    def worker(self, name: str = "w1", oddity: str = "", **environment: str) -> WorkerProcess:
        """Start a worker and wait until it serves."""
        return self.hire(name, oddity, **environment).wait_until_ready()

    def hire(self, name: str, oddity: str = "", inside: Sequence[str] = (), **environment: str) -> WorkerProcess:
        """Start a worker and return at once."""
        process = WorkerProcess(name, self.folder, oddity, inside, **self._environment, **environment)
        self.workers.append(process)
        return process

    def stop(self) -> None:
        """Stop all workers that still run, at once."""
        for worker in self.workers:
            worker.ask_to_stop()
        for worker in self.workers:
            worker.wait_until_ended()

    def agent(self, slug: str, ms: int = 0, **fields: Any) -> str:
        version = agents.create(self.composer, slug, AgentFields(f"stub/stub-{ms}ms", max_output=100, **fields))
        return f"{slug}@{version.number}"

    def pipeline(self, slug: str, nodes: dict[str, Any], edges: list[str], **document: Any) -> Pipeline:
        """Publish a pipeline. `edges` are written "a>b" or "a:port>b"."""
        parts = [edge.partition(">") for edge in edges]
        arrows = [
            {"from": source.partition(":")[0], "port": source.partition(":")[2] or "done", "to": target}
            for source, _, target in parts
        ]
        head = {"format": "baton.pipeline", "format_version": "1.0", "id": slug, "name": slug}
        inputs = {"type": "object", "properties": {"run": {"type": "string"}}}
        pipeline = drafts.create(
            self.composer, {**head, "inputs": inputs, **document, "graph": {"nodes": nodes, "edges": arrows}}
        )
        publish.publish(self.composer, pipeline, "")
        pipeline.refresh_from_db()
        return pipeline

    def chain(self, length: int, ms: int) -> Pipeline:
        """Publish a chain of agents whose prompts carry the marker [run=… step=…]."""
        nodes: dict[str, Any] = {
            "start": {"kind": "input"},
            "end": {"kind": "output", "value": f"${{steps.a{length}.output}}"},
        }
        names = [f"a{k}" for k in range(1, length + 1)]
        for k, name in enumerate(names, 1):
            prompt = f"[run=${{input.run}} step={name}] " + (f"${{steps.a{k - 1}.output}}" if k > 1 else "")
            nodes[name] = {"kind": "agent", "agent": self.agent(f"agent-{name}-{ms}", ms), "prompt": prompt}
        path = ["start", *names, "end"]
        edges = [f"{a}>{b}" for a, b in pairwise(path)]
        return self.pipeline(f"chain-{length}-{ms}", nodes, edges, budget={"max_cost_usd": "1.00"})

    def start(self, pipeline: Pipeline, marker: str = "r1") -> Run:
        return self.start_all(pipeline, [marker])[0]

    def start_all(self, pipeline: Pipeline, markers: Sequence[str]) -> list[Run]:
        return [start_run(self.composer, pipeline, Order({"run": marker})) for marker in markers]

    def cancel(self, run: Run) -> None:
        cancel(self.composer, run, "enough")

    def wait(self, run: Run, *states: str, seconds: float = 30) -> Run:
        """Wait until the run has one of these states (by default: has ended) and nobody works on it any more."""
        wanted = states or ("succeeded", "failed", "cancelled")
        wait_for(
            lambda: Run.objects.filter(pk=run.pk, state__in=wanted, owner=None).exists(),
            seconds,
            lambda: self.explain(run),
        )
        return Run.objects.get(pk=run.pk)

    def asked(self, marker: str = "r1") -> dict[str, int]:
        """Return how often the model server was asked for each step."""
        return dict(self.models.ask("/admin/stats")["markers"].get(marker, {}))

    def wait_for_call(self, step: str, marker: str = "r1", times: int = 1) -> None:
        """Wait until the model server has been asked for a step (so many times)."""
        wait_for(lambda: self.asked(marker).get(step, 0) >= times, 30, self.logs)

    def mails(self) -> list[dict[str, str]]:
        """Return what runs sent, without the notices that the desk sends to the people of the team."""
        return [mail for mail in self.sink.ask("/admin/mails") if "\nList-Unsubscribe:" not in mail["text"]]

    def effects(self) -> list[dict[str, Any]]:
        return list(self.sink.ask("/admin/effects"))

    def logs(self) -> str:
        return "\n".join(f"--- {worker.log.name}\n{worker.log.read_text()[-3000:]}" for worker in self.workers)

    def explain(self, run: Run) -> str:
        now = Run.objects.get(pk=run.pk)
        events = [f"{e.seq} {e.type} {e.path} {e.payload}"[:200] for e in Event.objects.filter(run=run).order_by("seq")]
        return "\n".join([f"{now.state} {now.reason} owner={now.owner}", *events, self.logs()])


def finished_twice(run: Run) -> list[str]:
    """Return the steps for which a finished model call with the same request stands twice in the journal."""
    calls = Call.objects.filter(run=run, kind="model", state="finished").values_list("path", "request_hash")
    return sorted({path for path, _ in calls if list(calls).count((path, _)) > 1})


def has_no_gap(run: Run) -> bool:
    seqs = list(Event.objects.filter(run=run).order_by("seq").values_list("seq", flat=True))
    return seqs == list(range(1, len(seqs) + 1)) and Run.objects.get(pk=run.pk).seq == len(seqs)


def books_balance(run: Run) -> bool:
    """Tell whether run, ledger and spans agree to the micro-dollar and nothing is left reserved."""
    run = Run.objects.get(pk=run.pk)
    priced = LedgerEntry.objects.filter(run=run, amount_micros__isnull=False)
    settled = priced.filter(kind="settled").values_list("amount_micros", flat=True)
    lost = priced.filter(kind="unconfirmed").values_list("amount_micros", flat=True)
    spans = Span.objects.filter(run=run, cost_micros__isnull=False).values_list("cost_micros", flat=True)
    return (
        sum(settled) == sum(spans) == run.cost_micros
        and sum(lost) == run.unconfirmed_micros
        and run.reserved_micros == 0
        and all(map(_is_closed, _entries_by_call(run).values()))
    )


def _entries_by_call(run: Run) -> dict[str, dict[str, int | None]]:
    found: defaultdict[str, dict[str, int | None]] = defaultdict(dict)
    for call, kind, amount in LedgerEntry.objects.filter(run=run).values_list("call", "kind", "amount_micros"):
        found[call][kind] = amount
    return found


def _is_closed(entries: dict[str, int | None]) -> bool:
    """Tell whether all that was reserved for a call was spent, given back or lost; a call may cost more than that."""
    reserved, settled = entries.get("reserved"), entries.get("settled") or 0
    closed = settled + (entries.get("released") or 0) + (entries.get("unconfirmed") or 0)
    return reserved is None or closed == max(reserved, settled)


def outside(host: str, smtp: int) -> dict[str, str]:
    """Return what a worker is told of those outside of Baton."""
    return {"EMAIL_URL": f"smtp://{host}:{smtp}", "BATON_EGRESS_ALLOW": host}


def _environment() -> dict[str, str]:
    return {
        "DATABASE_URL": database_url(),
        "BATON_DATABASE_ROLE": "baton_worker",
        "BATON_LEASE_SECONDS": str(LEASE_SECONDS),
        "PYTHONWARNINGS": "ignore",
    }


def free_ports() -> tuple[int, int]:
    return free_port(), free_port()
