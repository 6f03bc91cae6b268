"""An agent that keeps failing is left alone with the model that it uses, whatever its calls come to one by one."""

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from pipelines.graph.lock import AgentSpec
from pipelines.graph.model import Kind
from pipelines.models import Circuit
from runs.circuits import Subject
from runs.engine.facts import ErrorClass, Fact, StepBlocked, StepError, StepFailed, StepSucceeded
from runs.execution.admission import Admission, Asked, Attempt, is_cut
from runs.execution.context import MODEL, CallIntent, CallOutcome, StepAborted
from tests.people import a_workspace
from tests.runs.builders import a_connection

pytestmark = pytest.mark.django_db(transaction=True)

WRITER, EDITOR = AgentSpec("writer@1", "stub/m"), AgentSpec("editor@1", "stub/m")
TOO_SLOW = StepError(ErrorClass.TIMEOUT, "timeout", "It took too long.")


class Worker:
    """An admission with a database behind it; what it does on the side is waited for."""

    def __init__(self) -> None:
        self._side: list[asyncio.Task[None]] = []
        self.admission = Admission("w/1", self._ask, self._spawn)

    async def _ask(self, question: Any) -> Any:
        async with await a_connection() as connection:
            return await question(connection)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._side.append(asyncio.ensure_future(work))

    async def ended(self, attempt: Attempt, *facts: Fact) -> None:
        for fact in facts:
            self.admission.attempt_ended(attempt, fact)
        await asyncio.gather(*self._side)
        async with await a_connection() as connection:
            await self.admission.refresh(connection)

    async def may_call(self, attempt: Attempt, model: str = "stub/m") -> StepError | None:
        """Return why this attempt's next call must not be made, None when it may."""
        run_id, _, path = attempt.id.partition("/")
        intent = CallIntent(path.partition("@")[0], 1, 1, MODEL, model, {}, "")
        asked = Asked(attempt.subject.workspace_id, run_id, intent, None, attempt)
        if not self.admission.concerns(asked):
            return None
        try:
            await self.admission.enter(asked)
        except StepAborted as aborted:
            return aborted.error
        return None


@sync_to_async
def a_team() -> str:
    return str(a_workspace("acme").pk)


def a_start(agent: AgentSpec | None, model: str | None, kind: Kind) -> Any:
    node = SimpleNamespace(kind=kind, config={}, rubrics=(), timeout=120.0)
    start = SimpleNamespace(path="a", attempt=1, agent=agent, model=model, judging=False, judges={}, node=node)
    start.timeout = 120.0
    return start


def an_attempt(workspace: str, agent: AgentSpec = WRITER, *, run: str = "r", model: str | None = None) -> Attempt:
    start = a_start(agent, model, Kind.AGENT)
    attempt = Attempt.of(workspace, run, start)
    assert attempt is not None
    return attempt


def failed(error: StepError = TOO_SLOW) -> StepFailed:
    return StepFailed("a", 1, error)


async def test_five_failed_attempts_leave_the_agent_alone_and_no_other() -> None:
    workspace, worker = await a_team(), Worker()
    attempt = an_attempt(workspace)
    await worker.ended(attempt, *[failed()] * 4)
    assert await worker.may_call(attempt) is None
    await worker.ended(attempt, failed())
    refusal = await worker.may_call(an_attempt(workspace, run="another"))
    assert refusal is not None
    assert (refusal.code, refusal.cls) == ("circuit_open", ErrorClass.TRANSIENT)
    assert refusal.message.startswith("writer@1 with stub/m has failed 5 times")
    assert await worker.may_call(an_attempt(workspace, EDITOR)) is None, "the model itself is not to blame"
    assert await worker.may_call(an_attempt(workspace, model="stub/n"), "stub/n") is None, "its fallback is free to try"


@pytest.mark.parametrize(
    "error",
    [
        *(StepError(ErrorClass.TRANSIENT, code, "No.") for code in ("rate_limited", "circuit_open", "limit_wait")),
        StepError(ErrorClass.TRANSIENT, "connection_lost", "The server is away.", elsewhere=True),
        StepError(ErrorClass.TIMEOUT, "timeout", "The tool did not answer.", elsewhere=True),
        StepError(ErrorClass.BUDGET, "run_cap", "No money is left."),
        StepError(ErrorClass.INTERNAL, "cancelled", "The step was cancelled."),
    ],
    ids=["later", "circuit", "turn", "tool is away", "tool is slow", "budget", "cancelled"],
)
async def test_what_is_not_the_agents_fault_does_not_count(error: StepError) -> None:
    workspace, worker = await a_team(), Worker()
    await worker.ended(an_attempt(workspace), *[failed(error)] * 9)
    assert await worker.may_call(an_attempt(workspace)) is None
    assert not await Circuit.objects.aexists()


async def test_an_attempt_that_a_cap_has_cut_short_says_nothing_of_its_agent_nor_its_call_of_the_model() -> None:
    workspace, worker = await a_team(), Worker()
    start = a_start(WRITER, None, Kind.AGENT)
    start.timeout = 0.5
    attempt = Attempt.of(workspace, "r", start)
    assert attempt is not None
    call = Asked(workspace, "r", CallIntent("a", 1, 1, MODEL, "stub/m", {}, ""), is_cut=is_cut(start))
    moment = timezone.now()
    for _ in range(9):
        worker.admission.ended(call, CallOutcome(None, TOO_SLOW, None, None, None, {}, moment, moment, lost=True))
    await worker.ended(attempt, *[failed()] * 9)
    assert not await Circuit.objects.aexists()
    await worker.ended(attempt, *[failed(StepError(ErrorClass.TRANSIENT, "http_503", "Busy."))] * 5)
    assert await Circuit.objects.acount() == 1, "what failed before its time was up did fail"


@pytest.mark.parametrize(
    ("fact", "closed", "free"),
    [
        (StepSucceeded("a", 1, "fine"), True, True),
        (failed(StepError(ErrorClass.INVALID_OUTPUT, "invalid_output", "Not JSON.")), True, True),
        (failed(), False, False),
        (failed(StepError(ErrorClass.INTERNAL, "cancelled", "Stopped.")), False, True),
        (StepBlocked("a", 1, "approve", {}, "Send", "It cannot be undone."), False, True),
    ],
    ids=["it went well", "it answered badly", "it failed again", "it was stopped", "it waits for a person"],
)
async def test_one_attempt_tries(fact: Fact, closed: bool, free: bool) -> None:
    workspace, worker = await a_team(), Worker()
    await worker.ended(an_attempt(workspace), *[failed()] * 5)
    await Circuit.objects.aupdate(retry_at=timezone.now())
    one, other = an_attempt(workspace, run="one"), an_attempt(workspace, run="other")
    assert await worker.may_call(one) is None
    assert await worker.may_call(one) is None, "all calls of the attempt that tries may be made"
    assert await worker.may_call(other) is not None
    await worker.ended(one, fact)
    assert await Circuit.objects.aexists() is not closed
    assert (await worker.may_call(other) is None) is free


async def test_an_attempt_without_an_agent_has_no_circuit_of_its_own() -> None:
    assert Attempt.of("w", "r", a_start(None, None, Kind.TOOL)) is None


async def test_the_agents_own_circuit_is_no_models() -> None:
    workspace, worker = await a_team(), Worker()
    await worker.ended(an_attempt(workspace), *[failed()] * 5)
    assert [row.subject async for row in Circuit.objects.all()] == ["writer@1 with stub/m"]
    assert an_attempt(workspace).subject == Subject(workspace, "writer@1 with stub/m")
