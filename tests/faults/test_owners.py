"""What a worker does with the runs that it owns, or does not: forced cancels, leases, bells passed on, burials."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from django.db.models.functions import Now
from pytest_django.fixtures import Settings

from pipelines.graph.model import Json
from pipelines.models import Pipeline
from runs import dispatch, services
from runs.execution import actor, background, heartbeat
from runs.execution import tools as runners
from runs.execution.context import ToolCall
from runs.execution.worker import Worker
from runs.models import Call, Run, Step
from tests.conftest import wait_for
from tests.faults.stage import Stage, books_balance, has_no_gap
from tests.own_worker import a_worker_here

pytestmark = [pytest.mark.faults, pytest.mark.timeout(90)]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "POLL_SECONDS", 0.2)


@pytest.fixture
def worker(stage: Stage) -> Iterator[Worker]:
    with a_worker_here() as worker:
        yield worker


def a_note(stage: Stage) -> Pipeline:
    nodes = {
        "start": {"kind": "input"},
        "note": {"kind": "tool", "tool": "notes.append@1", "args": {"text": "hello"}},
        "end": {"kind": "output", "value": "${steps.note.output}"},
    }
    return stage.pipeline("note", nodes, ["start>note", "note>end"])


def taking(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let the note take so long."""

    async def run(args: Mapping[str, Json], call: ToolCall) -> Json:
        await asyncio.sleep(seconds)
        return {"id": "1"}

    monkeypatch.setitem(runners._RUNNERS, "notes.append@1", run)


def in_its_call(stage: Stage, run: Run) -> None:
    wait_for(lambda: Call.objects.filter(run=run, state="started").exists(), 20, stage.logs)


@pytest.mark.parametrize(("takes", "call", "after"), [(60, "lost", 3.0), (2, "finished", 0.0)])
def test_a_cancelled_step_may_end_in_its_own_time_and_is_cut_off_when_that_is_over(
    stage: Stage, worker: Worker, monkeypatch: pytest.MonkeyPatch, takes: float, call: str, after: float
) -> None:
    """Long before its own time limit of two minutes. What had been sent by then counts, but is never used."""
    assert actor.FORCE_AFTER == 30
    monkeypatch.setattr(actor, "FORCE_AFTER", 3.0)
    taking(monkeypatch, takes)
    run = stage.start(a_note(stage))
    worker.wake(str(run.pk), forwarded=True)
    in_its_call(stage, run)
    started = time.monotonic()
    services.cancel(stage.composer, run, "changed my mind")
    run = stage.wait(run, seconds=20)
    assert time.monotonic() - started >= after, "the step was given its time"
    assert run.state == "cancelled"
    assert Step.objects.get(run=run, path="note").state == "cancelled"
    assert Call.objects.get(run=run).state == call
    assert has_no_gap(run)
    assert books_balance(run)


def is_leased(run: Run) -> bool:
    return Run.objects.filter(pk=run.pk, lease_until__gt=Now()).exists()


def test_a_worker_whose_loop_stands_still_renews_no_lease_until_it_moves_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """A stall of two thirds of the lease, at most twenty seconds, is enough: another worker may then take the run."""
    assert heartbeat.STALLED_AFTER == 20
    settings.LEASE_SECONDS = 6
    monkeypatch.setattr(heartbeat, "STALLED_AFTER", 1.0)
    with a_worker_here() as worker:
        taking(monkeypatch, 14)
        run = stage.start(a_note(stage))
        worker.wake(str(run.pk), forwarded=True)
        in_its_call(stage, run)
        time.sleep(7)
        assert is_leased(run), "a loop that moves keeps its lease beyond its first end"
        worker.loop.call_soon_threadsafe(time.sleep, 11)
        wait_for(lambda: not is_leased(run), 10, stage.logs)
        run = stage.wait(run, seconds=30)
        assert run.state == "succeeded"
        assert has_no_gap(run)


Bells = list[tuple[str, str, bool]]


@pytest.fixture
def bells(monkeypatch: pytest.MonkeyPatch) -> Bells:
    """The bells that were rung: (run, queue, forwarded)."""
    rung: Bells = []

    def send_task(_name: str, args: tuple[str, bool], *, queue: str, **_more: Any) -> None:
        rung.append((args[0], queue, args[1]))

    monkeypatch.setattr(dispatch.current_app, "send_task", send_task)
    return rung


def owned_elsewhere(run: Run, seconds: int) -> None:
    """Let another worker own the run for so many seconds from now, by the database's clock."""
    with dispatch.connection.cursor() as cursor:
        cursor.execute(
            "update runs_run set owner = 'there@localhost/1', lease_until = now() + %s * interval '1 second' "
            "where id = %s",
            (seconds, run.pk),
        )


def test_a_bell_goes_to_the_queue_of_the_owner_else_to_the_one_that_all_read(stage: Stage, bells: Bells) -> None:
    run = stage.start(a_note(stage))
    bells.clear()
    dispatch.ring(run.pk)
    owned_elsewhere(run, 60)
    dispatch.ring(run.pk)
    owned_elsewhere(run, -1)
    dispatch.ring(run.pk)
    shared, own = (str(run.pk), "baton", False), (str(run.pk), "baton.there@localhost", False)
    assert bells == [shared, own, shared]
    assert dispatch.queue_of("there@localhost/1") == "baton.there@localhost"


def test_a_worker_passes_a_bell_for_somebody_elses_run_on_to_its_owner_once(stage: Stage, bells: Bells) -> None:
    run = stage.start(a_note(stage))
    owned_elsewhere(run, 60)
    bells.clear()
    with a_worker_here() as worker:
        worker.wake(str(run.pk), forwarded=False)
        wait_for(lambda: bool(bells), 10, stage.logs)
        assert bells == [(str(run.pk), "baton.there@localhost", True)]
        worker.wake(str(run.pk), forwarded=True)
        time.sleep(1)
        assert len(bells) == 1, "what was passed on once is passed on to nobody"


@pytest.mark.parametrize("why", ["full", "draining", "holding a suspect"])
def test_a_worker_that_can_take_no_run_now_passes_its_bell_on_to_the_others_once(
    stage: Stage, bells: Bells, settings: Settings, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.setattr(background, "POLL_SECONDS", 60.0)
    settings.WORKER_CONCURRENCY = 1 if why == "full" else 5
    taking(monkeypatch, 5)
    pipeline = a_note(stage)
    with a_worker_here() as worker:
        held = stage.start(pipeline)
        worker.wake(str(held.pk), forwarded=True)
        in_its_call(stage, held)
        if why == "draining":
            worker.drain()
        elif why == "holding a suspect":
            worker._quarantine.run_id = str(held.pk)
        run = stage.start(pipeline, "r2")
        bells.clear()
        worker.wake(str(run.pk), forwarded=False)
        wait_for(lambda: bool(bells), 10, stage.logs)
        assert bells == [(str(run.pk), "baton", True)]
        worker.wake(str(run.pk), forwarded=True)
        worker.wake(str(held.pk), forwarded=False)
        time.sleep(1)
        assert len(bells) == 1, "it goes round no longer, and what is held here is looked after here"


@pytest.mark.parametrize(("crashes", "state", "calls"), [(7, "succeeded", 1), (8, "failed", 0)])
def test_after_eight_crashes_a_run_is_failed_unread(stage: Stage, crashes: int, state: str, calls: int) -> None:
    pipeline = a_note(stage)
    run = stage.start(pipeline)
    Run.objects.filter(pk=run.pk).update(crashes=crashes)
    with a_worker_here():
        run = stage.wait(run, seconds=30)
        assert run.state == state
        assert Call.objects.filter(run=run).count() == calls
        if state == "failed":
            assert (run.reason, run.error["code"]) == ("dead_letter", "dead_letter")
            assert not Step.objects.filter(run=run).exists()
            assert stage.wait(stage.start(pipeline), seconds=30).state == "succeeded", "and the worker goes on"


def test_each_cancelled_step_has_its_own_time_to_end(
    stage: Stage, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that lost first is cut off; the other, which lost later, answers within its own time."""
    monkeypatch.setattr(actor, "FORCE_AFTER", 4.0)
    quick, slow, slower = (stage.agent(f"of-{ms}", ms) for ms in (3_000, 6_000, 60_000))

    def a_step(name: str, agent: str, **more: Any) -> Mapping[str, Any]:
        return {"kind": "agent", "agent": agent, "prompt": f"[run=${{input.run}} step={name}]", **more}

    first = {"kind": "combine", "wait_for": "first", "merge": "first"}
    nodes = {
        "start": {"kind": "input"},
        "never": a_step("never", slower),
        "soon": a_step("soon", stage.agent("of-200", 200)),
        "late": a_step("late", slow),
        "then": a_step("then", quick),
        "race": first,
        "second": first,
        "end": {"kind": "output", "value": "done"},
    }
    ways = ["start>never", "start>soon", "start>late", "start>then", "never>race", "soon>race"]
    run = stage.start(stage.pipeline("races", nodes, [*ways, "late>second", "then>second", "race>end", "second>end"]))
    worker.wake(str(run.pk), forwarded=True)
    run = stage.wait(run, seconds=30)
    assert run.state == "succeeded"
    states = dict(Call.objects.filter(run=run).values_list("path", "state"))
    assert states == {"never": "lost", "soon": "finished", "late": "finished", "then": "finished"}
    assert has_no_gap(run)
