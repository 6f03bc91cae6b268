"""A call holds its slot exactly while it is open, and is settled whatever cuts it off, at whatever moment."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.graph.model import Kind
from runs.execution.admission import Admission
from runs.execution.context import CallIntent, CallOutcome
from runs.execution.slots import Slots
from runs.execution.step_context import AttemptContext

INTENT = CallIntent("a", 1, 1, "tool", "notes.append@1", {}, "hash")


class Announcer:
    """Stands in for the actor: grants calls when the test says so, and notes what is settled."""

    def __init__(self) -> None:
        run = SimpleNamespace(
            id="r", workspace_id="w", pipeline_id="p", rehearsal=False, budgeted=False, journal_of=lambda _: (),
            lock=SimpleNamespace(prices={}, windows={}, tools={}), let_go=lambda _: None,
        )  # fmt: skip
        self.run: Any = run
        self.asked: list[asyncio.Future[None]] = []
        self.settled: list[CallOutcome] = []
        self.is_leaving = False

    def begin(self, intent: CallIntent, prepare: Callable[[], None] | None) -> asyncio.Future[None]:
        self.asked.append(asyncio.get_running_loop().create_future())
        return self.asked[-1]

    def finish(self, intent: CallIntent, outcome: CallOutcome) -> None:
        self.settled.append(outcome)

    def now(self) -> datetime:
        return datetime.now(UTC)


START: Any = SimpleNamespace(
    path="a",
    attempt=1,
    seconds_left=None,
    agent=None,
    judging=False,
    judges={},
    timeout=60.0,
    node=SimpleNamespace(kind=Kind.TOOL, rubrics=(), timeout=60.0),
)


def _never(*_: Any) -> None:
    raise AssertionError("A call without limits and with every circuit closed asks nobody.")


def _refused(future: "asyncio.Future[None]") -> None:
    future.set_exception(RuntimeError("no"))


@pytest.mark.parametrize(
    ("decide", "settled"),
    [(lambda future: None, []), (lambda future: future.set_result(None), ["failed"]), (_refused, [])],
    ids=["before its intent is durable", "at the moment it became durable", "at the moment it was refused"],
)
async def test_a_call_cut_off(decide: Callable[[Any], None], settled: list[str]) -> None:
    actor, slots = Announcer(), Slots(1)
    host = SimpleNamespace(slots=slots, admission=Admission("w/1", _never, _never))  # type: ignore[arg-type]
    context = AttemptContext(actor, host, START)  # type: ignore[arg-type]
    task = asyncio.create_task(context.begin(INTENT))
    await asyncio.sleep(0)
    assert slots.is_full
    decide(actor.asked[0])
    task.cancel()
    with pytest.raises((asyncio.CancelledError, RuntimeError)):
        await task
    assert not slots.is_full
    assert [outcome.state for outcome in actor.settled] == settled, "what was announced is settled, as never made"
    assert not any(outcome.lost for outcome in actor.settled)


async def test_a_worker_that_leaves_begins_no_call_and_knows_which_are_out() -> None:
    actor, slots = Announcer(), Slots(2)
    host = SimpleNamespace(slots=slots, admission=Admission("w/1", _never, _never))  # type: ignore[arg-type]
    context = AttemptContext(actor, host, START)  # type: ignore[arg-type]
    task = asyncio.create_task(context.begin(INTENT))
    await asyncio.sleep(0)
    assert not context.is_calling, "its intent is not durable yet"
    actor.asked[0].set_result(None)
    await task
    assert context.is_calling
    actor.is_leaving = True
    with pytest.raises(asyncio.CancelledError):
        await context.begin(replace(INTENT, n=2))
    assert len(actor.asked) == 1
    context.finish(INTENT, CallOutcome(None, None, None, None, None, {}, actor.now(), actor.now()))
    assert not context.is_calling
