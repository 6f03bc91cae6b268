"""A call is made ready while its intent is being written, and nothing of it leaves before that is durable."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pipelines.library.models import ModelRoute
from runs.engine.facts import ErrorClass, StepError, StepFailed, StepSucceeded
from runs.execution.ahead import Ahead
from runs.execution.context import StepAborted
from runs.execution.failures import Failure
from runs.execution.models.providers import ProviderModel
from runs.execution.models.values import Message, ModelRequest
from runs.execution.steps import carry_out
from tests.execution.contexts import an_agent, an_agent_step
from tests.model_server import ModelServer

COMMIT = 0.3
TIRED = StepError(ErrorClass.BUDGET, "over_budget", "No money is left.")


class Door:
    """A server that counts who comes, and sends everybody away."""

    def __init__(self) -> None:
        self.came = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        writer.close()


@asynccontextmanager
async def a_door() -> AsyncIterator[tuple[Door, str]]:
    door = Door()
    async with await asyncio.start_server(door, "127.0.0.1", 0) as server:
        yield door, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("kind", ["openai", "anthropic", "google"])
async def test_no_providers_library_opens_a_connection_before_it_may(kind: str) -> None:
    async with a_door() as (door, address):
        model = ProviderModel(ModelRoute("c/m", "m", kind, "c", address, trusted_address=True), "a-key-of-a-test")
        may_leave = asyncio.Event()
        request = ModelRequest("c/m", (Message("user", "Hello."),))
        asking = asyncio.create_task(model.ask(request, "k", may_leave))
        await asyncio.sleep(COMMIT)
        assert (door.came, asking.done()) == (0, False)
        may_leave.set()
        with pytest.raises(Failure):
            await asking
        assert door.came == 1
        await model.close()


async def test_a_call_whose_intent_is_still_being_written_has_not_been_sent(model_server: ModelServer) -> None:
    step = an_agent_step(an_agent("stub/m"), timeout=COMMIT / 2)
    step.commit_seconds = COMMIT
    carrying = asyncio.create_task(carry_out(step))
    await asyncio.sleep(COMMIT * 2 / 3)
    assert model_server.calls == []
    fact = await carrying
    assert isinstance(fact, StepSucceeded), "the wait is not the step's time"
    assert len(model_server.calls) == 1


async def test_a_call_that_is_refused_while_it_is_made_ready_is_never_sent(model_server: ModelServer) -> None:
    step = an_agent_step(an_agent("stub/m"))
    step.commit_seconds, step.refuse = COMMIT, StepAborted(TIRED)
    fact = await carry_out(step)
    assert isinstance(fact, StepFailed)
    assert fact.error == TIRED
    await asyncio.sleep(COMMIT)
    assert (model_server.calls, step.outcomes) == ([], [])
    assert not [task for task in asyncio.all_tasks() if task.get_coro().__qualname__.startswith("Ahead")]


async def test_what_cannot_be_made_ready_fails_after_its_intent_as_it_did_before() -> None:
    step = an_agent_step(an_agent("demo/nobody"))
    step.commit_seconds = COMMIT
    fact = await carry_out(step)
    assert isinstance(fact, StepFailed)
    assert (fact.error.cls, fact.error.code) == (ErrorClass.CONFIG, "no_such_model")
    assert [outcome.state for outcome in step.outcomes] == ["failed"]


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt])
async def test_a_library_that_ends_the_process_ends_its_own_call_alone(end: type[BaseException]) -> None:
    async def work(may_leave: asyncio.Event) -> None:
        raise end

    call = Ahead(work)
    call.prepare()
    with pytest.raises(RuntimeError, match=end.__name__):
        await call.finish()
    call.drop()


async def test_what_is_given_up_before_it_began_or_after_it_failed_leaves_nothing_behind() -> None:
    began = []

    async def work(may_leave: asyncio.Event) -> None:
        began.append(True)
        raise ValueError

    for rounds in (0, 5):
        call = Ahead(work)
        call.prepare()
        for _ in range(rounds):
            await asyncio.sleep(0)
        call.drop()
        await asyncio.sleep(0)
    assert began == [True]
