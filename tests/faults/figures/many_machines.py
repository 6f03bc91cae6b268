"""M2 to M11: what R2 to R11 measure on one machine, on an installation on many, held to the same limits.

Four workers and two web servers have a machine each, and between them a PostgreSQL, a broker and a proxy, through which
programs order and cancel runs and pages come in. They are started once, with the lease of an installation.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator
from itertools import chain, pairwise
from typing import Any

import pytest
from websockets.sync.client import ClientConnection

from accounts.roles import Role
from approvals.models import Approval
from pipelines import budgets
from pipelines.budgets import BudgetFields
from runs.models import Run
from tests.conftest import wait_for
from tests.faults.chaos import sent_too_often
from tests.faults.figures import (
    r02_dead_worker,
    r03_broker,
    r04_database,
    r05_two_reviewers,
    r06_spend,
    r07_reconnect,
    r08_thousand_sockets,
    r09_timers,
    r10_cancel,
    r11_queue,
)
from tests.faults.figures.telling import spread, tell
from tests.faults.machines import Namespaces
from tests.faults.site import WEBS, WORKERS, Caller, SiteStage
from tests.faults.stage import Stage, books_balance, finished_twice, has_no_gap
from tests.faults.test_database import a_death_of_ten_seconds
from tests.people import a_member, acting, bearer

LEASE = 30
WITHIN, BEYOND = 20, 40  # the lease, in seconds
RUNS = 40
PAIRS = int(os.environ.get("BATON_M5_PAIRS", "200"))
SOCKETS = int(os.environ.get("BATON_M8_SOCKETS", "200"))
KILLED_AT = 14
"""The connection whose web server is killed; those before it were lost by the page."""

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


def test_m2_what_dead_and_cut_off_workers_did_goes_on_in_time(standing_stage: SiteStage) -> None:
    """One worker is killed, and two lose their way to the database, one of them for longer than its lease."""
    stage, net = standing_stage, standing_stage.site.net
    runs = stage.start_all(stage.chain(6, 1500), [f"r{k}" for k in range(RUNS)])
    wait_for(lambda: r02_dead_worker.under_way(runs) >= RUNS * 3 // 4, 60, stage.logs)
    theirs = _by_machine(runs)
    killed, briefly, long = sorted(theirs, key=lambda name: -len(theirs[name]))[:3]
    try:
        net.cut(briefly)
        net.cut(long)
        stage.site.kill_worker(killed)
        since = time.time()
        time.sleep(WITHIN)
        net.heal(briefly)
        time.sleep(BEYOND - WITHIN)
    finally:
        for name in (briefly, long):
            net.heal(name)
    victims = {"killed": killed, f"cut_{WITHIN}_s": briefly, f"cut_{BEYOND}_s": long}
    late = {what: r02_dead_worker.taken_up(stage, theirs[name], since) for what, name in victims.items()}
    for run in runs:
        _assert_whole(stage, run)
    values = {"apart_by": net.kind, "lease_s": LEASE, "runs": RUNS, "steps": sum(map(len, late.values()))}
    for what, seconds in late.items():
        values |= {f"{what}_steps": len(seconds), f"{what}_max_s": round(max(seconds, default=0.0), 3)}
    together = list(chain.from_iterable(late.values()))
    values |= {"min_s": round(min(together), 3), **spread(together)}
    tell("M2", values, **r02_dead_worker.LIMITS, min_s=(WITHIN - 1, BEYOND))  # nobody cut off, or with a lease, went on


def _assert_whole(stage: Stage, run: Run) -> None:
    assert stage.wait(run, seconds=90).state == "succeeded", stage.explain(run)
    assert finished_twice(run) == [], stage.explain(run)
    assert sent_too_often(run, stage.asked(run.input["run"])) == {}, stage.explain(run)
    assert has_no_gap(run)
    assert books_balance(run)


def _by_machine(runs: list[Run]) -> dict[str, list[Run]]:
    """Return the runs that each machine's worker owns at this moment."""
    theirs: dict[str, list[Run]] = {name: [] for name in WORKERS}
    for run in Run.objects.filter(pk__in=[run.pk for run in runs], owner__isnull=False):
        theirs[_machine(run)].append(run)
    return theirs


def _machine(run: Run) -> str:
    return str(run.owner).partition("@")[0]


def test_m3_a_lost_broker_costs_seconds(standing_stage: SiteStage) -> None:
    tell("M3", r03_broker.a_loss(standing_stage, standing_stage.site.broker), **r03_broker.LIMITS)


def test_m4_a_database_that_dies_costs_seconds(standing_stage: SiteStage) -> None:
    tell("M4", a_death_of_ten_seconds(standing_stage, standing_stage.site.database), **r04_database.LIMITS)


def test_m5_two_reviewers_at_two_web_servers_never_both_decide(standing_stage: SiteStage) -> None:
    stage, workspace = standing_stage, standing_stage.team.workspace
    ben = a_member(workspace, "ben", Role.REVIEWER)
    people = [
        Caller(stage.site, bearer(who, workspace), web) for who, web in zip((stage.team.bob, ben), WEBS, strict=True)
    ]
    nodes = {
        "start": {"kind": "input"},
        "ask": {"kind": "human", "mode": "approve", "title": "Is it good?", "show": "${input.run}"},
        "end": {"kind": "output", "value": "good"},
    }
    asking = stage.pipeline("asking", nodes, ["start>ask", "ask:approved>end"])
    runs = stage.start_all(asking, [f"r{k}" for k in range(PAIRS)])

    def say(caller: Caller, asked: Approval, **answer: str) -> str:
        body = {**answer, "payload_hash": asked.payload_hash}
        status, found = caller.ask("POST", f"/approvals/{asked.pk}/decide", body, key=str(asked.pk))
        assert status == 200 or found["code"] == "already_decided", found
        return str(status)

    values = r05_two_reviewers.raced(
        _questions(stage, runs),
        lambda asked: say(people[0], asked, decision="approve"),
        lambda asked: say(people[1], asked, decision="reject", reason="No."),
    )
    for run in runs:
        stage.wait(run, seconds=60)
    states = Counter(Approval.objects.filter(run__in=runs).values_list("state", flat=True))
    tell("M5", {**values, "states": states}, **r05_two_reviewers.LIMITS, pairs=(PAIRS, PAIRS))


def _questions(stage: Stage, runs: list[Run]) -> Iterator[Approval]:
    wait_for(lambda: Approval.objects.filter(run__in=runs, state="open").count() == len(runs), 90, stage.logs)
    yield from Approval.objects.filter(run__in=runs)


def test_m6_sixteen_calls_of_many_workers_never_pass_one_cap(standing_stage: SiteStage) -> None:
    """Each call is made in a run of its own, and the cap is that of their pipeline's day."""
    machines: set[str] = set()

    def ordered(stage: Stage, number: int, agent: str, cap: str) -> list[Run]:
        nodes: dict[str, Any] = {
            "start": {"kind": "input"},
            "a": {"kind": "agent", "agent": agent, "prompt": f"[run=r{number} step=${{input.run}}]"},
            "end": {"kind": "output", "value": "done"},
        }
        pipeline = stage.pipeline(f"one-{number}", nodes, ["start>a", "a>end"])
        budgets.put(acting(stage.team.carol), BudgetFields("day", cap, pipeline=pipeline.slug))
        runs = stage.start_all(pipeline, [f"b{k}" for k in range(r06_spend.WIDTH)])

        def have_ended() -> bool:
            now = Run.objects.filter(pk__in=[run.pk for run in runs])
            machines.update(_machine(run) for run in now if run.owner)
            return all(run.finished_at for run in now)

        wait_for(have_ended, 60, stage.logs)
        return runs

    values = r06_spend.spending(standing_stage, ordered)
    tell("M6", {**values, "machines": len(machines)}, **r06_spend.LIMITS, machines=(2, len(WORKERS)))


def test_m7_all_events_after_a_reconnect_to_the_other_web_server(standing_stage: SiteStage) -> None:
    """The proxy leads each connection to the other web server; where machines are apart, one dies with the page on it.

    Else a relay stands before each server, which takes connections for one that is dead.
    """
    site = standing_stage.site
    servers: list[str] = []

    def lose(link: ClientConnection) -> None:
        servers.append(max(WEBS, key=site.connected))
        if len(servers) == KILLED_AT and site.net.kind == Namespaces.kind:
            site.kill_web(servers[-1])
        else:
            r07_reconnect.hang_up(link)

    values = r07_reconnect.reconnected(site, standing_stage.team, lose)
    site.wait_until_ready()
    values |= {"apart_by": site.net.kind, "to_the_other": sum(one != other for one, other in pairwise(servers))}
    tell("M7", values, **r07_reconnect.LIMITS, to_the_other=(KILLED_AT // 2, r07_reconnect.TIMES))


def test_m8_sockets_at_both_web_servers(standing_stage: SiteStage) -> None:
    site = standing_stage.site

    def led() -> dict[str, int]:
        return {"fewest_at_one": min(map(site.connected, WEBS))}

    door = r08_thousand_sockets.Door(site.url, [site.webs[name].pid or 0 for name in WEBS], led)
    values = r08_thousand_sockets.watched(door, standing_stage.team, SOCKETS)
    tell("M8", values, **r08_thousand_sockets.LIMITS, fewest_at_one=(SOCKETS * 2 // 5, SOCKETS))


def test_m9_timers_are_never_early_and_seldom_late(standing_stage: SiteStage) -> None:
    site = standing_stage.site
    tell("M9", r09_timers.timed(standing_stage, site.kill_workers, site.hire_workers), **r09_timers.LIMITS)


def test_m10_no_new_step_after_a_cancel(standing_stage: SiteStage) -> None:
    tell("M10", r10_cancel.cancelled(standing_stage), **r10_cancel.LIMITS)


def test_m11_a_run_starts_soon(standing_stage: SiteStage) -> None:
    tell("M11", r11_queue.queued(standing_stage), **r11_queue.LIMITS)
