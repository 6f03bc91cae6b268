"""R13: an installation on many machines, of which some die and some are cut off, while runs go on.

Four workers and two web servers have a machine each, and between them a PostgreSQL, a broker and a proxy. Programs
start runs, a person approves and pages look on, all through the proxy. Workers and web servers are killed; a worker
loses its way to the database for twenty seconds, a web server every way for ten.
"""

import os
import random
import threading
import time
from collections import Counter
from itertools import cycle, islice
from typing import Any

import pytest
from django.db import connection

from runs.models import Run
from tests.conftest import wait_for
from tests.faults.chaos import SETTLE_SECONDS, Shapes, assert_nothing_was_lost, left_behind, replies, settled
from tests.faults.figures.telling import tell
from tests.faults.site import WEBS, WORKERS, Caller, Lookers, Site, SiteStage
from tests.people import bearer, signed_in_as

SECONDS = float(os.environ.get("BATON_CHAOS_SECONDS", "90"))
RUNS = max(42, round(SECONDS * 0.5))
WAVES = max(6, round(SECONDS / 10))
CUT_WORKER_SECONDS, CUT_WEB_SECONDS = 20.0, 10.0
CATCH_UP_SECONDS = 60

pytestmark = [pytest.mark.faults, pytest.mark.timeout(int(SECONDS + SETTLE_SECONDS) + 300)]


def test_r13_machines_that_die_and_are_cut_off_lose_nothing(site_stage: SiteStage) -> None:
    seed = int(os.environ.get("BATON_CHAOS_SEED", str(random.SystemRandom().randrange(10**6))))
    stage, site = site_stage, site_stage.site
    stage.models.ask("/admin/script", [reply for k in range(RUNS) for reply in replies(f"r{k}")])
    shapes = Shapes(stage, prelude=2).all()
    sessions = [str(signed_in_as(person).session.session_key) for person in (stage.team.bob, stage.team.carol)]
    load, lookers, trouble = Load(stage, shapes), Lookers(site, sessions), Trouble(site, random.Random(seed))
    load.reviewer.start()
    try:
        for wave in range(WAVES):
            for run in load.start(range(wave * RUNS // WAVES, (wave + 1) * RUNS // WAVES)):
                lookers.follow(run)
            trouble.go_on(SECONDS / WAVES)
        trouble.end()
        calm = time.monotonic()
        while not settled(load.runs) and time.monotonic() < calm + SETTLE_SECONDS:
            time.sleep(0.5)
        settling = time.monotonic() - calm
        wait_for(lambda: not lookers.missing(), CATCH_UP_SECONDS, lambda: f"{lookers.missing()} {site.logs()}")
    finally:
        load.end()
        lookers.leave()
    values = {"seed": seed, "apart_by": site.net.kind, "workers": len(WORKERS), "webs": len(WEBS), **trouble.faults}
    values |= {"settled_after_s": round(settling, 1), "asked_again": load.asked_again, "approved": load.approved}
    values |= {"pages": sum(len(crowd.sessions) for crowd in lookers.crowds.values()), "missing": lookers.missing()}
    values |= {"out_of_order": sum(crowd.out_of_order for crowd in lookers.crowds.values())}
    values |= {"doubled": Run.objects.count() - RUNS, **left_behind(stage, load.runs)}
    assert_nothing_was_lost(stage, load.runs, seed)
    nothing = dict.fromkeys(("missing", "out_of_order", "doubled"), (0, 0))
    happened = dict.fromkeys(("workers_killed", "webs_killed", "workers_cut_off", "webs_cut_off"), (1, 1_000))
    tell("R13", values, **nothing, **happened)


class Load:
    """Starts runs and approves what they ask, through the proxy."""

    def __init__(self, stage: SiteStage, shapes: list[Any]) -> None:
        self._shapes = shapes
        self._program = stage.program
        self._bob = Caller(stage.site, bearer(stage.team.bob, stage.team.workspace))
        self._ended = threading.Event()
        self.reviewer = threading.Thread(target=self._review, name="reviewer")
        self.runs: list[Run] = []
        self.approved = 0

    @property
    def asked_again(self) -> int:
        return self._program.again + self._bob.again

    def start(self, numbers: range) -> list[Run]:
        """Start the runs of these numbers, one of each shape in turn."""
        started = []
        for number, shape in zip(numbers, islice(cycle(self._shapes), numbers.start, numbers.stop), strict=True):
            path, body = f"/pipelines/{shape.slug}/runs", {"input": {"run": f"r{number}"}}
            status, found = self._program.ask("POST", path, body, key=f"start-{number}")
            assert status == 202, found
            started.append(Run.objects.get(pk=found["id"]))
        self.runs += started
        return started

    def end(self) -> None:
        self._ended.set()
        self.reviewer.join()

    def _review(self) -> None:
        while not self._ended.wait(0.5):
            _, found = self._bob.ask("GET", "/approvals?state=open&mine=true&limit=200")
            for question in found["items"]:
                if question["kind"] == "approve":
                    self._approve(question)
        connection.close()

    def _approve(self, question: dict[str, Any]) -> None:
        answer = {"decision": "approve", "payload_hash": question["payload_hash"]}
        status, found = self._bob.ask("POST", f"/approvals/{question['id']}/decide", answer, key=question["id"])
        assert status in (200, 409), found
        self.approved += status == 200


class Trouble:
    """Kills and cuts, one after the other; what is cut off is joined again when its time is over."""

    def __init__(self, site: Site, dice: random.Random) -> None:
        self._site, self._dice = site, dice
        self._turns = cycle([self._cut_worker, self._kill_worker, self._kill_web, self._cut_web, self._kill_worker])
        self._next = time.monotonic() + 2
        self._heals: dict[str, float] = {}
        self.faults: Counter[str] = Counter()

    def go_on(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while (now := time.monotonic()) < ends:
            self._heal(now)
            if now >= self._next:
                next(self._turns)()
                self._next = time.monotonic() + self._dice.uniform(1, 5)
            time.sleep(0.1)

    def end(self) -> None:
        """Wait until nothing is cut off any more."""
        while self._heals:
            self._heal(time.monotonic())
            time.sleep(0.1)

    def _heal(self, now: float) -> None:
        for name in [name for name, at in self._heals.items() if at <= now]:
            self._site.net.heal(name)
            del self._heals[name]

    def _cut_worker(self) -> None:
        self._cut("workers_cut_off", WORKERS, CUT_WORKER_SECONDS)

    def _cut_web(self) -> None:
        self._cut("webs_cut_off", WEBS, CUT_WEB_SECONDS)

    def _cut(self, fault: str, machines: tuple[str, ...], seconds: float) -> None:
        if self._heals.keys().isdisjoint(machines):
            name = self._dice.choice(machines)
            self._site.net.cut(name)
            self._heals[name] = time.monotonic() + seconds
            self.faults[fault] += 1

    def _kill_worker(self) -> None:
        name = self._dice.choice([name for name in WORKERS if name not in self._heals])
        self._site.kill_worker(name)
        self.faults["workers_killed"] += 1

    def _kill_web(self) -> None:
        self._site.kill_web(self._dice.choice(WEBS))
        self.faults["webs_killed"] += 1
