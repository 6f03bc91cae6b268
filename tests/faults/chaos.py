"""Everything at once: workers die and freeze, connections are cut, the database and the broker go, while runs go on.

`weather` is what a chaos test does; what it leaves behind is in the figures it returns, and it fails when anything was
lost, doubled or left without an owner.
"""

import json
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice, pairwise
from typing import Any

from django import db
from django.db import connection

from accounts import audit
from approvals import services
from approvals.models import Approval
from approvals.policy import Decision
from orchestrator_site.celery import app
from pipelines.models import Pipeline
from runs.models import Call, Run, Step
from tests.faults.own import OwnDatabase
from tests.faults.stage import Stage, WorkerProcess, books_balance, finished_twice, has_no_gap

SETTLE_SECONDS = 120.0
WORKERS = 3
ENDED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class Plan:
    """How long, how many runs in how many waves, and by which seed. `prelude` agents go before each shape's own steps.

    `database` is killed and brought back now and then where one is given.
    """

    seconds: float
    runs: int
    waves: int
    seed: int
    prelude: int = 0
    database: OwnDatabase | None = None


# The shapes of runs


class Shapes:
    """The pipelines that run meanwhile, each with its prelude."""

    def __init__(self, stage: Stage, prelude: int) -> None:
        self._stage = stage
        self._before = [f"p{k}" for k in range(1, prelude + 1)]
        self._calm = stage.agent("calm", 200) if prelude else ""

    def all(self) -> list[Pipeline]:
        makers = (self.chain, self.fan, self.items, self.noting, self.storm, self.ordering, self.mailing)
        return [make() for make in makers]

    def chain(self) -> Pipeline:
        """Four slow agents, one after the other."""
        names = [f"a{k}" for k in range(1, 5)]
        agent = self._stage.agent("slow", 1500)
        nodes = {name: _asking(agent, name) for name in names}
        return self._published("chain", nodes, [f"{a}>{b}" for a, b in pairwise(["start", *names, "end"])], "a4")

    def fan(self) -> Pipeline:
        """Four agents at once, joined."""
        names = [f"f{k}" for k in range(4)]
        agent = self._stage.agent("fan", 1500)
        nodes: dict[str, Any] = {name: _asking(agent, name) for name in names}
        nodes["all"] = {"kind": "combine", "merge": "list"}
        edges = [edge for name in names for edge in (f"start>{name}", f"{name}>all")]
        return self._published("fan", nodes, [*edges, "all>end"], "all")

    def items(self) -> Pipeline:
        """An agent for each of six items, three at a time."""
        prompt = "[run=${input.run} step=item${item}] dig"
        each = {
            "kind": "each",
            "over": "${[1, 2, 3, 4, 5, 6]}",
            "max_parallel": 3,
            "graph": {
                "nodes": {"dig": {"kind": "agent", "agent": self._stage.agent("digger", 200), "prompt": prompt}},
                "edges": [],
            },
            "result": "${steps.dig.output}",
        }
        return self._published("items", {"all": each}, ["start>all", "all>end"], "all")

    def noting(self) -> Pipeline:
        """An agent that writes a note with a tool, then another agent."""
        nodes = {
            "take": _asking(self._stage.agent("noter", 200, tools=("notes.append@1",)), "take"),
            "read": _asking(self._stage.agent("reader", 200), "read"),
        }
        return self._published("noting", nodes, ["start>take", "take>read", "read>end"], "read")

    def storm(self) -> Pipeline:
        """An agent whose model is overloaded for a while."""
        retry = {"max_attempts": 8, "first_delay": "PT1S", "max_delay": "PT2S"}
        hit = {**_asking(self._stage.agent("hit", 200), "storm"), "on_error": {"retry": retry}}
        return self._published("storm", {"hit": hit}, ["start>hit", "hit>end"], "hit")

    def ordering(self) -> Pipeline:
        """An agent, then a keyed post that a person must approve."""
        args = {
            "method": "POST",
            "url": f"{self._stage.sink_url}/order?seconds=0.3",
            "json": {"run": "${input.run}"},
            "idempotency_header": "Idempotency-Key",
        }
        nodes = {
            "think": _asking(self._stage.agent("thinker", 200), "think"),
            "post": {"kind": "tool", "tool": "http.request@1", "args": args},
        }
        return self._published("ordering", nodes, ["start>think", "think>post", "post>end"], "post")

    def mailing(self) -> Pipeline:
        """A mail that a person must approve and that cannot be taken back or recognised."""
        args = {"to": "ana@northwind.example", "subject": "${input.run}", "body": "Good morning."}
        nodes = {
            "send": {"kind": "tool", "tool": "email.send@1", "args": args},
            "after": _asking(self._stage.agent("after", 200), "after"),
        }
        return self._published("mailing", nodes, ["start>send", "send>after", "after>end"], "after")

    def _published(self, slug: str, nodes: dict[str, Any], edges: list[str], last: str) -> Pipeline:
        first = self._before[-1] if self._before else "start"
        edges = [edge.replace("start>", f"{first}>") for edge in edges]
        edges += [f"{a}>{b}" for a, b in pairwise(["start", *self._before])]
        before = {name: _asking(self._calm, name) for name in self._before}
        ends = {"start": {"kind": "input"}, "end": {"kind": "output", "value": f"${{steps.{last}.output}}"}}
        return self._stage.pipeline(slug, {**ends, **before, **nodes}, edges)


def _asking(agent: str, step: str) -> dict[str, Any]:
    return {"kind": "agent", "agent": agent, "prompt": f"[run=${{input.run}} step={step}] go"}


# Who disturbs and who answers


class Crew:
    """Three workers, of which now and then one dies and another takes its place."""

    def __init__(self, stage: Stage, dice: random.Random, database: OwnDatabase | None) -> None:
        self._stage, self._dice, self._database = stage, dice, database
        self.faults: Counter[str] = Counter()
        self._hired = 0
        self.workers = [self._hire() for _ in range(WORKERS)]
        self._due: dict[Callable[[], None], float] = {
            self._kill: 4.0,
            self._cut: 3.0,
            self._freeze: 9.0,
            self._lose_bells: 10.0,
        }
        if database is not None:
            self._due |= {self._kill: 8.5, self._cut: 15.0, self._stop_database: 22.0, self._lose_bells: 60.0}
        self._at = {fault: time.monotonic() + self._pause(fault) for fault in self._due}

    def disturb(self, seconds: float) -> None:
        """Do for this long what is due: kill, cut, freeze, lose bells."""
        ends = time.monotonic() + seconds
        while True:
            fault = min(self._at, key=lambda one: self._at[one])
            time.sleep(max(0.0, min(self._at[fault], ends) - time.monotonic()))
            if time.monotonic() >= ends:
                return
            fault()
            self._at[fault] = time.monotonic() + self._pause(fault)

    def _pause(self, fault: Callable[[], None]) -> float:
        spread = (0.25, 1.75) if self._database is not None else (0.5, 1.5)
        return self._due[fault] * self._dice.uniform(*spread)

    def _hire(self) -> WorkerProcess:
        self._hired += 1
        return self._stage.hire(f"w{self._hired}")

    def _kill(self) -> None:
        ready = [worker for worker in self.workers if worker.is_ready]
        if ready:
            victim = self._dice.choice(ready)
            victim.kill()
            self.workers[self.workers.index(victim)] = self._hire()
            self.faults["kills"] += 1

    def _freeze(self) -> None:
        ready = [worker for worker in self.workers if worker.is_ready]
        if not ready:
            return
        victim = self._dice.choice(ready)
        victim.send(signal.SIGSTOP)
        time.sleep(self._dice.choice((0.5, 4.5)))  # shorter and longer than a lease
        victim.send(signal.SIGCONT)
        self.faults["freezes"] += 1

    def _cut(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )
            self.faults["connections_cut"] += cursor.fetchone()[0]

    def _stop_database(self) -> None:
        assert self._database
        self._database.die()
        time.sleep(self._dice.uniform(0.5, 6.0))
        self._database.come_back()
        self.faults["database_stops"] += 1

    def _lose_bells(self) -> None:
        self.faults["bells_lost"] += app.control.purge() or 0


class Reviewer(threading.Thread):
    """bob approves what is asked, as soon as he sees it. What a lost answer did, he cannot know."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(name="reviewer")
        self._stage = stage
        self.ended = threading.Event()
        self.approved = 0

    def run(self) -> None:
        while not self.ended.wait(0.5):
            try:
                for question in Approval.objects.filter(state="open", kind="approve"):
                    decision = Decision("approve", payload_hash=question.payload_hash)
                    services.decide(self._stage.bob, question.pk, decision)
                    self.approved += 1
            except (db.OperationalError, db.InterfaceError):
                connection.close()  # cut; the next look has a new one
        connection.close()


# The weather


def weather(stage: Stage, plan: Plan) -> dict[str, Any]:
    """Run the plan, wait for calm, return what happened; fail naming the seed when anything is not as it must be."""
    stage.models.ask("/admin/script", [reply for k in range(plan.runs) for reply in replies(f"r{k}")])
    shapes = Shapes(stage, plan.prelude).all()
    began = time.monotonic()
    crew, reviewer = Crew(stage, random.Random(plan.seed), plan.database), Reviewer(stage)
    reviewer.start()
    try:
        runs = []
        for wave in range(plan.waves):
            due = range(wave * plan.runs // plan.waves, (wave + 1) * plan.runs // plan.waves)
            pipelines = islice(cycle(shapes), due.start, due.stop)
            runs += [stage.start(shape, f"r{k}") for k, shape in zip(due, pipelines, strict=True)]
            crew.disturb(plan.seconds / plan.waves)
        calm = time.monotonic()
        while not settled(runs) and time.monotonic() < calm + SETTLE_SECONDS:
            time.sleep(0.5)
        settling = time.monotonic() - calm
    finally:
        reviewer.ended.set()
        reviewer.join()
    figures = {"seed": plan.seed, **crew.faults, "approved": reviewer.approved, "settled_after_s": round(settling, 1)}
    figures |= left_behind(stage, runs)
    print(json.dumps({"chaos": {**figures, "whole_s": round(time.monotonic() - began, 1)}}))
    assert_nothing_was_lost(stage, runs, plan.seed)
    return figures


def replies(run: str) -> list[dict[str, Any]]:
    """Return what the models say to one run beside plain answers: overloaded three times, and one wish for a note."""
    note = {"name": "notes_append", "args": {"text": "seen"}}
    return [
        {"kind": "429", "retry_after": "1", "match": f"[run={run} step=storm]", "times": 3},
        {"tool_calls": [note], "match": f"[run={run} step=take]", "times": 1, "latency": 0.2},
    ]


def settled(runs: list[Run]) -> bool:
    """Tell whether every run has ended, or waits for a person to say what a lost call did."""
    asked = set(Approval.objects.filter(state="open", kind="outcome_unknown").values_list("run_id", flat=True))
    rows = Run.objects.filter(pk__in=[run.pk for run in runs], owner=None).values_list("pk", "state")
    return len(rows) == len(runs) and all(state in ENDED or (state == "waiting" and pk in asked) for pk, state in rows)


def sent_too_often(run: Run, asked: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Return {step: (asked, announced)} where the provider was asked more often than the journal announced."""
    announced: Counter[str] = Counter()
    for request in Call.objects.filter(run=run, kind="model").values_list("request", flat=True):
        words = str(request["messages"][-1 if len(request["messages"]) < 3 else 1])
        announced[words.split("step=", 1)[1].split("]", 1)[0]] += 1
    return {step: (count, announced[step]) for step, count in asked.items() if count > announced[step]}


def left_behind(stage: Stage, runs: list[Run]) -> dict[str, Any]:
    now = list(Run.objects.filter(pk__in=[run.pk for run in runs]))
    return {
        "runs": len(now),
        "steps": Step.objects.filter(run__in=now).count(),
        "states": Counter(f"{run.state}/{run.reason}" if run.reason else run.state for run in now),
        "owners": sum(run.epoch for run in now),
        "model_calls": sum(sum(stage.asked(run.input["run"]).values()) for run in now),
        "lost_calls": Call.objects.filter(state="lost").count(),
        "effects": len(stage.effects()),
        "mails": len(stage.mails()),
    }


def assert_nothing_was_lost(stage: Stage, started: list[Run], seed: int) -> None:
    runs = list(Run.objects.filter(pk__in=[run.pk for run in started]).order_by("number"))
    assert settled(runs), f"seed {seed}\n" + "\n".join(stage.explain(r) for r in runs if r.state not in ENDED)[:20_000]
    for run in runs:
        assert run.state in ("succeeded", "waiting"), f"seed {seed}\n{stage.explain(run)}"
        assert finished_twice(run) == [], f"seed {seed}\n{stage.explain(run)}"
        assert sent_too_often(run, stage.asked(run.input["run"])) == {}, f"seed {seed}\n{stage.explain(run)}"
        assert has_no_gap(run), f"seed {seed}\n{stage.explain(run)}"
        assert books_balance(run), f"seed {seed}\n{stage.explain(run)}"
    keys: defaultdict[str, set[str]] = defaultdict(set)
    for effect in stage.effects():
        keys[json.loads(effect["body"])["run"]].add(effect["key"])
    assert max(map(len, keys.values()), default=0) <= 1, f"seed {seed}: one effect went out under two keys: {keys}"
    subjects = Counter(mail["text"].split("Subject: ", 1)[1].split("\n", 1)[0].strip() for mail in stage.mails())
    assert max(subjects.values(), default=0) <= 1, f"seed {seed}: a mail went out twice: {subjects}"
    assert audit.verify(stage.team.workspace) is None
