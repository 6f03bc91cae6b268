"""A minute of everything: workers die and freeze, connections are cut, bells lost, while runs of many shapes go on.

BATON_CHAOS_SECONDS makes it longer, BATON_CHAOS_SEED repeats a sequence of faults.
"""

import json
import os
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from itertools import cycle, islice
from typing import Any

import pytest
from django import db
from django.db import connection

from accounts import audit
from approvals import services
from approvals.models import Approval
from approvals.policy import Decision
from orchestrator_site.celery import app
from pipelines.models import Pipeline
from runs.models import Call, Run
from tests.faults.stage import Stage, WorkerProcess, books_balance, finished_twice, has_no_gap

CHAOS_SECONDS = float(os.environ.get("BATON_CHAOS_SECONDS", "45"))
SETTLE_SECONDS = 120.0
WORKERS = 3
RUNS, WAVES = 42, 6
ENDED = ("succeeded", "failed", "cancelled")

pytestmark = [pytest.mark.faults, pytest.mark.timeout(int(CHAOS_SECONDS + SETTLE_SECONDS) + 120)]


# The shapes of runs


def fan(stage: Stage) -> Pipeline:
    """Four agents at once, joined."""
    names = [f"f{k}" for k in range(4)]
    agent = stage.agent("fan", 1500)
    nodes: dict[str, Any] = {name: _asking(agent, name) for name in names}
    nodes |= {
        "start": {"kind": "input"},
        "all": {"kind": "combine", "merge": "list"},
        "end": {"kind": "output", "value": "${steps.all.output}"},
    }
    edges = [edge for name in names for edge in (f"start>{name}", f"{name}>all")]
    return stage.pipeline("fan", nodes, [*edges, "all>end"])


def items(stage: Stage) -> Pipeline:
    """An agent for each of six items, three at a time."""
    dig = {"kind": "agent", "agent": stage.agent("digger", 200), "prompt": "[run=${input.run} step=item${item}] dig"}
    each = {
        "kind": "each",
        "over": "${[1, 2, 3, 4, 5, 6]}",
        "max_parallel": 3,
        "graph": {"nodes": {"dig": dig}, "edges": []},
        "result": "${steps.dig.output}",
    }
    nodes = {"start": {"kind": "input"}, "all": each, "end": {"kind": "output", "value": "${steps.all.output}"}}
    return stage.pipeline("items", nodes, ["start>all", "all>end"])


def noting(stage: Stage) -> Pipeline:
    """An agent that writes a note with a tool, then another agent."""
    nodes = {
        "start": {"kind": "input"},
        "take": _asking(stage.agent("noter", 200, tools=("notes.append@1",)), "take"),
        "read": _asking(stage.agent("reader", 200), "read"),
        "end": {"kind": "output", "value": "${steps.read.output}"},
    }
    return stage.pipeline("noting", nodes, ["start>take", "take>read", "read>end"])


def storm(stage: Stage) -> Pipeline:
    """An agent whose model is overloaded for a while."""
    retry = {"max_attempts": 8, "first_delay": "PT1S", "max_delay": "PT2S"}
    hit = {**_asking(stage.agent("hit", 200), "storm"), "on_error": {"retry": retry}}
    nodes = {"start": {"kind": "input"}, "hit": hit, "end": {"kind": "output", "value": "${steps.hit.output}"}}
    return stage.pipeline("storm", nodes, ["start>hit", "hit>end"])


def ordering(stage: Stage) -> Pipeline:
    """An agent, then a keyed post that a person must approve."""
    args = {
        "method": "POST",
        "url": f"{stage.sink_url}/order?seconds=0.3",
        "json": {"run": "${input.run}"},
        "idempotency_header": "Idempotency-Key",
    }
    nodes = {
        "start": {"kind": "input"},
        "think": _asking(stage.agent("thinker", 200), "think"),
        "post": {"kind": "tool", "tool": "http.request@1", "args": args},
        "end": {"kind": "output", "value": "${steps.post.output.status}"},
    }
    return stage.pipeline("ordering", nodes, ["start>think", "think>post", "post>end"])


def mailing(stage: Stage) -> Pipeline:
    """A mail that a person must approve and that cannot be taken back or recognised."""
    args = {"to": "ana@northwind.example", "subject": "${input.run}", "body": "Good morning."}
    nodes = {
        "start": {"kind": "input"},
        "send": {"kind": "tool", "tool": "email.send@1", "args": args},
        "after": _asking(stage.agent("after", 200), "after"),
        "end": {"kind": "output", "value": "${steps.after.output}"},
    }
    return stage.pipeline("mailing", nodes, ["start>send", "send>after", "after>end"])


def _asking(agent: str, step: str) -> dict[str, Any]:
    return {"kind": "agent", "agent": agent, "prompt": f"[run=${{input.run}} step={step}] go"}


# Who disturbs and who answers


class Crew:
    """Three workers, of which now and then one dies and another takes its place."""

    def __init__(self, stage: Stage, dice: random.Random) -> None:
        self._stage, self._dice = stage, dice
        self.faults: Counter[str] = Counter()
        self._hired = 0
        self.workers = [self._hire() for _ in range(WORKERS)]

    def disturb(self, seconds: float) -> None:
        """Kill one every 2 to 6 seconds, freeze one at times, cut connections, lose bells."""
        ends = time.monotonic() + seconds
        due = {self._kill: 4.0, self._cut: 3.0, self._freeze: 9.0, self._lose_bells: 10.0}
        at = {fault: time.monotonic() + every for fault, every in due.items()}
        while time.monotonic() < ends:
            fault = min(at, key=lambda one: at[one])
            time.sleep(max(0.0, at[fault] - time.monotonic()))
            fault()
            at[fault] = time.monotonic() + due[fault] * self._dice.uniform(0.5, 1.5)

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
        victim = self._dice.choice(self.workers)
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


def test_a_minute_of_kills_cuts_freezes_and_lost_bells_loses_nothing(stage: Stage) -> None:
    seed = int(os.environ.get("BATON_CHAOS_SEED", str(random.SystemRandom().randrange(10**6))))
    note = {"name": "notes_append", "args": {"text": "seen"}}
    stage.models.ask(
        "/admin/script",
        [
            *({"kind": "429", "retry_after": "1", "match": f"[run=r{k} step=storm]", "times": 3} for k in range(RUNS)),
            {"tool_calls": [note], "match": "step=take", "times": 6, "latency": 0.2},
        ],
    )
    shapes = [stage.chain(4, 1500), *(make(stage) for make in (fan, items, noting, storm, ordering, mailing))]
    began = time.monotonic()
    crew, reviewer = Crew(stage, random.Random(seed)), Reviewer(stage)
    reviewer.start()
    try:
        runs = []
        for wave in range(WAVES):
            due = islice(enumerate(cycle(shapes)), wave * RUNS // WAVES, (wave + 1) * RUNS // WAVES)
            runs += [stage.start(shape, f"r{k}") for k, shape in due]
            crew.disturb(CHAOS_SECONDS / WAVES)
        calm = time.monotonic()
        while not settled(runs) and time.monotonic() < calm + SETTLE_SECONDS:
            time.sleep(0.5)
        settling = time.monotonic() - calm
    finally:
        reviewer.ended.set()
        reviewer.join()
    runs = list(Run.objects.filter(pk__in=[run.pk for run in runs]).order_by("number"))
    keys: defaultdict[str, set[str]] = defaultdict(set)
    for effect in stage.effects():
        keys[json.loads(effect["body"])["run"]].add(effect["key"])
    asked = [stage.asked(run.input["run"]) for run in runs]
    figures = {
        "seed": seed,
        "runs": len(runs),
        "states": Counter(f"{run.state}/{run.reason}" if run.reason else run.state for run in runs),
        **crew.faults,
        "approved": reviewer.approved,
        "owners": sum(run.epoch for run in runs),
        "model_calls": sum(sum(steps.values()) for steps in asked),
        "lost_calls": Call.objects.filter(state="lost").count(),
        "effects": len(stage.effects()),
        "mails": len(stage.mails()),
        "settled_after_s": round(settling, 1),
        "whole_s": round(time.monotonic() - began, 1),
    }
    print(json.dumps({"chaos": figures}))
    assert settled(runs), "\n".join(stage.explain(run) for run in runs if run.state not in ENDED)[:20_000]
    for run, steps in zip(runs, asked, strict=True):
        assert run.state in ("succeeded", "waiting"), f"seed {seed}\n{stage.explain(run)}"
        assert finished_twice(run) == [], f"seed {seed}\n{stage.explain(run)}"
        assert sent_too_often(run, steps) == {}, f"seed {seed}\n{stage.explain(run)}"
        assert has_no_gap(run), f"seed {seed}\n{stage.explain(run)}"
        assert books_balance(run), f"seed {seed}\n{stage.explain(run)}"
    assert max(map(len, keys.values()), default=0) <= 1, f"seed {seed}: one effect went out under two keys: {keys}"
    subjects = Counter(mail["text"].split("Subject: ", 1)[1].split("\n", 1)[0].strip() for mail in stage.mails())
    assert max(subjects.values(), default=0) <= 1, f"seed {seed}: a mail went out twice: {subjects}"
    assert audit.verify(stage.team.workspace) is None
