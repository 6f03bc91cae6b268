"""What tools, databases and people can do to one worker, in this process: it goes on, and so does every other run."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection
from pytest_django.fixtures import Settings

from pipelines.graph.model import Json
from pipelines.models import Pipeline
from runs import claims, services
from runs.claims import Claim, Claimed
from runs.execution import background
from runs.execution import tools as runners
from runs.execution.context import ToolCall
from runs.execution.failures import transient
from runs.execution.worker import Worker
from runs.models import Call, Run, Step
from tests.conftest import wait_for
from tests.faults.stage import Stage, books_balance, has_no_gap
from tests.own_worker import a_worker_here

pytestmark = [pytest.mark.faults, pytest.mark.timeout(90)]


class Panic(BaseException):
    """As a library in another language raises it: no Exception."""


@pytest.fixture
def worker(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    monkeypatch.setattr(background, "POLL_SECONDS", 0.2)
    with a_worker_here() as worker:
        yield worker


def a_note(stage: Stage, slug: str = "note", **node: Any) -> Pipeline:
    nodes = {
        "start": {"kind": "input"},
        "note": {"kind": "tool", "tool": "notes.append@1", "args": {"text": "hello"}, **node},
        "end": {"kind": "output", "value": "${steps.note.output}"},
    }
    return stage.pipeline(slug, nodes, ["start>note", "note>end"])


def answering(monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any]) -> None:
    """Let the tool do this instead of writing a note."""

    async def run(args: Mapping[str, Json], call: ToolCall) -> Json:
        return act()

    monkeypatch.setitem(runners._RUNNERS, "notes.append@1", run)  # type: ignore[arg-type]


def raising(error: BaseException) -> Callable[[], Any]:
    def act() -> Any:
        raise error

    return act


def nested(levels: int) -> Any:
    value: Any = "deep"
    for _ in range(levels):
        value = [value]
    return value


ANSWERS = {
    "not a number": lambda: {"id": float("nan")},
    "infinite": lambda: {"id": 1e308 * 10},
    "a zero byte": lambda: {"id": "a\0b"},
    "half a character": lambda: {"id": "a\ud800b"},
    "a number of 400 digits": lambda: {"id": 10**400},
    "a number of 5,000 digits": lambda: {"id": 10**4_999},
    "text that runs from right to left": lambda: {"id": "\u202eexe.tset \u05e9\u05dc\u05d5\u05dd"},
    "keys that are no text": lambda: {1: {2: 3}},
    "no JSON at all": lambda: {"id": object()},
    "300 levels": lambda: {"id": nested(300)},
    "5 MB": lambda: {"id": "x" * 5_000_000},
    "50 MB": lambda: {"id": "x" * 50_000_000},
    "100,000 levels": lambda: {"id": nested(100_000)},
    "sys.exit": lambda: sys.exit(3),
    "a panic": raising(Panic()),
    "cancelled by nobody": raising(asyncio.CancelledError()),
    "no value": lambda: None,
    "an error that says a zero byte": raising(transient("odd", "The server said \0 and \ud800.")),
    "an error of its own": raising(RecursionError("\0")),
}


# What the run fails with, for answers that cannot be used at all; the others are made fit and go on.
FAILS = {
    "50 MB": "value_too_large",
    "sys.exit": "internal",
    "a panic": "internal",
    "cancelled by nobody": "cancelled",
    "an error that says a zero byte": "odd",
    "an error of its own": "internal",
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_whatever_a_tool_does_its_run_ends_and_the_worker_goes_on(
    stage: Stage, worker: Worker, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    answering(monkeypatch, ANSWERS[answer])
    odd = stage.start(a_note(stage, on_error={"retry": {"max_attempts": 1}}))
    worker.wake(str(odd.pk), forwarded=True)
    odd = stage.wait(odd, seconds=20)
    code = FAILS.get(answer)
    assert (odd.state, odd.error and odd.error["code"]) == (("failed", code) if code else ("succeeded", None))
    assert odd.crashes == 0
    assert has_no_gap(odd)
    assert books_balance(odd)
    answering(monkeypatch, lambda: {"id": "1"})
    even = stage.start(a_note(stage, "another"))
    assert stage.wait(even, seconds=20).state == "succeeded"


@pytest.mark.parametrize("answer", ["sys.exit", "a panic", "cancelled by nobody", "an error of its own"])
def test_no_pipeline_stands_in_for_an_agent_whose_tool_broke(
    stage: Stage, worker: Worker, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """Whether its note was written nobody knows."""
    answering(monkeypatch, ANSWERS[answer])
    ends = {"start": {"kind": "input"}, "end": {"kind": "output", "value": "done"}}
    stage.pipeline("spare", ends, ["start>end"])
    noter = stage.agent("noter", tools=("notes.append@1",))
    policy = {"retry": {"max_attempts": 1}, "fallback": [{"pipeline": "spare"}]}
    nodes = {**ends, "note": {"kind": "agent", "agent": noter, "prompt": "Write a note.", "on_error": policy}}
    call = {"name": "notes_append", "args": {"text": "hello"}}
    stage.models.ask("/admin/script", [{"tool_calls": [call], "match": "Write a note.", "times": 1}])
    run = stage.start(stage.pipeline("noting", nodes, ["start>note", "note>end"]))
    worker.wake(str(run.pk), forwarded=True)
    run = stage.wait(run, seconds=20)
    assert (run.state, run.error and run.error["code"]) == ("failed", FAILS[answer])
    assert Call.objects.get(run=run, kind="tool").state == "lost"
    assert not Run.objects.filter(parent=run).exists()
    assert books_balance(run)


def test_a_claim_whose_answer_was_lost_leaves_no_run_behind(
    stage: Stage, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, lost = claims.claim, []

    async def claim(connection: AsyncConnection[Any], wanted: Claim) -> Claimed | None:
        claimed = await whole(connection, wanted)
        if claimed and not lost:
            lost.append(claimed)
            raise psycopg.OperationalError("the connection was cut after the commit")
        return claimed

    monkeypatch.setattr(claims, "claim", claim)
    run = stage.wait(stage.start(a_note(stage)), seconds=20)
    assert lost
    assert run.state == "succeeded"
    assert run.crashes == 0


def test_an_inbox_that_cannot_be_read_does_not_cost_the_run_its_owner(
    stage: Stage, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_inbox(*_: Any) -> Any:
        raise psycopg.OperationalError("away")

    run = stage.start(stage.chain(3, 1500))
    stage.wait_for_call("a1")
    with monkeypatch.context() as patch:
        patch.setattr(worker, "read_inbox", no_inbox)
        services.pause(stage.composer, run)
        worker.wake(str(run.pk), forwarded=True)
        time.sleep(2.5)
    run = stage.wait(run, "paused")
    assert (run.epoch, run.crashes) == (1, 0)
    services.resume(stage.composer, run)
    assert stage.wait(run).state == "succeeded"


def test_a_run_started_and_cancelled_before_any_worker_came_makes_no_call(stage: Stage) -> None:
    run = stage.start(stage.chain(2, 0))
    services.cancel(stage.composer, run, "changed my mind")
    with a_worker_here():
        run = stage.wait(run)
    assert run.state == "cancelled"
    assert not Call.objects.filter(run=run).exists()
    assert not Step.objects.filter(run=run).exclude(state__in=("succeeded", "cancelled", "skipped")).exists()
    assert stage.asked() == {}
    assert has_no_gap(run)


def test_pausing_and_resuming_over_and_over_loses_nothing(stage: Stage, worker: Worker) -> None:
    run = stage.start(stage.chain(6, 200))
    for _ in range(15):
        if Run.objects.get(pk=run.pk).state in ("succeeded", "failed"):
            break
        services.pause(stage.composer, run)
        services.resume(stage.composer, run)
        time.sleep(0.1)
    run = stage.wait(run)
    assert run.state == "succeeded"
    assert set(stage.asked().values()) == {1}
    assert has_no_gap(run)


def test_a_paused_run_whose_retry_falls_due_costs_nothing_until_it_is_resumed(
    stage: Stage, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, raising(transient("busy", "Busy.")))
    run = stage.start(a_note(stage, on_error={"retry": {"max_attempts": 10, "first_delay": "PT2S", "factor": 1}}))
    wait_for(lambda: Step.objects.filter(run=run, path="note", state="retrying").exists(), 20)
    services.pause(stage.composer, run)
    wait_for(lambda: Run.objects.filter(pk=run.pk, state="paused").exists(), 20)
    time.sleep(3)
    before = Run.objects.get(pk=run.pk)
    time.sleep(2)
    after = Run.objects.get(pk=run.pk)
    assert after.revision - before.revision <= 1, "nothing is decided again and again"
    assert after.epoch - before.epoch <= 1, "nor is the run taken up again and again"
    answering(monkeypatch, lambda: {"id": "1"})
    services.resume(stage.composer, run)
    assert stage.wait(run).state == "succeeded"


def test_a_worker_that_stops_with_a_step_that_will_not_gives_back_the_others(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    from runs.execution import worker as workers

    async def stubborn(args: Mapping[str, Json], call: ToolCall) -> Json:
        ends = time.monotonic() + 60
        while time.monotonic() < ends:
            try:
                await asyncio.sleep(0.2)
            except asyncio.CancelledError:
                continue
        return {"id": "1"}

    settings.DRAIN_SECONDS = 1
    monkeypatch.setattr(workers, "HAND_OVER_SECONDS", 2.0)
    monkeypatch.setitem(runners._RUNNERS, "notes.append@1", stubborn)  # type: ignore[arg-type]
    worker = Worker("here@localhost")
    worker.start()
    held = stage.start(a_note(stage))
    wait_for(lambda: Call.objects.filter(run=held, kind="tool").exists(), 20)
    other = stage.start(stage.chain(2, 1500))
    stage.wait_for_call("a1")
    began = time.monotonic()
    worker.stop()
    assert time.monotonic() - began < 8
    other.refresh_from_db()
    assert other.owner is None, "the run of the willing step is free at once"
    held.refresh_from_db()
    assert held.owner is not None, "the other is left to its lease"
