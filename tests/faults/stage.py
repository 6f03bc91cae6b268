"""Where faults are staged: worker processes that can be killed, a model server and an effect sink outside of them."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from itertools import pairwise
from pathlib import Path
from typing import Any

from accounts.access import Actor
from accounts.roles import Role
from pipelines import drafts, publish
from pipelines.library import agents
from pipelines.library.agents import AgentFields
from pipelines.models import Connection, Pipeline
from runs.models import Call, Event, LedgerEntry, Run, Span
from runs.services import Order, start_run
from tests.conftest import ROOT, database_url, free_port, wait_for
from tests.people import Team, a_member, a_team, acting

LEASE_SECONDS = 3


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
    """One worker with a short lease, in a process group of its own. `oddity`: what is wrong with it (odd_worker)."""

    def __init__(self, name: str, folder: Path, oddity: str = "", **environment: str) -> None:
        self.log = folder / f"{name}.log"
        program = ["tests.faults.odd_worker", oddity] if oddity else ["celery"]
        worker = ["worker", "--pool", "threads", "--concurrency", "2", "--hostname", f"{name}@localhost"]
        alone = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *program, "-A", "orchestrator_site", *worker, *alone],
                cwd=ROOT,
                env={**os.environ, **_environment(), **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def is_ready(self) -> bool:
        return "ready." in self.log.read_text()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait_until_ready(self) -> "WorkerProcess":
        wait_for(lambda: self.is_ready, 40, self.log.read_text)
        return self

    def send(self, number: signal.Signals) -> None:
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """kill -9, as the kernel's out-of-memory killer would."""
        self.send(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM, as a deployment would; returns when the process has drained and ended."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(40)


class Stage:
    """A team, a connection `stub` to the model server, and the means to run pipelines and look at what was left."""

    def __init__(self, folder: Path, models: Outside, sink: Outside, smtp_port: int) -> None:
        self.folder, self.models, self.sink = folder, models, sink
        self.sink_url = f"http://127.0.0.1:{sink.port}"
        self._environment = {
            "EMAIL_URL": f"smtp://127.0.0.1:{smtp_port}",
            "BATON_EGRESS_ALLOW": "127.0.0.1",
        }
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
            base_url=f"http://127.0.0.1:{models.port}/v1",
            trusted_address=True,
            prices=prices,
        )

    def worker(self, name: str = "w1", oddity: str = "", **environment: str) -> WorkerProcess:
        """Start a worker and wait until it serves."""
        return self.hire(name, oddity, **environment).wait_until_ready()

    def hire(self, name: str, oddity: str = "", **environment: str) -> WorkerProcess:
        """Start a worker and return at once."""
        process = WorkerProcess(name, self.folder, oddity, **self._environment, **environment)
        self.workers.append(process)
        return process

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
        return start_run(self.composer, pipeline, Order({"run": marker}))

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
        return list(self.sink.ask("/admin/mails"))

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
    settled = LedgerEntry.objects.filter(run=run, kind="settled").values_list("amount_micros", flat=True)
    lost = LedgerEntry.objects.filter(run=run, kind="unconfirmed").values_list("amount_micros", flat=True)
    spans = Span.objects.filter(run=run, cost_micros__isnull=False).values_list("cost_micros", flat=True)
    return (
        sum(settled) == sum(spans) == run.cost_micros
        and sum(lost) == run.unconfirmed_micros
        and run.reserved_micros == 0
    )


def _environment() -> dict[str, str]:
    return {
        "DATABASE_URL": database_url(),
        "BATON_DATABASE_ROLE": "baton_worker",
        "BATON_LEASE_SECONDS": str(LEASE_SECONDS),
        "PYTHONWARNINGS": "ignore",
    }


def free_ports() -> tuple[int, int]:
    return free_port(), free_port()
