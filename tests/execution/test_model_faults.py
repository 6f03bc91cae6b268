"""What each way a model can fail becomes: which class, whether it may have been charged, and how long to wait."""

import asyncio
import json
import sys
import time
from urllib.request import Request, urlopen

import pytest

from pipelines.library import models as library
from pipelines.library.models import ModelRoute
from runs.engine.facts import ErrorClass, StepFailed, StepSucceeded
from runs.execution.models import registry
from runs.execution.models.providers import MOST_TOKENS
from runs.execution.steps import carry_out
from tests.conftest import free_port
from tests.execution.contexts import an_agent, an_agent_step
from tests.model_server import ModelServer, Reply

CASES = [
    ("429", ErrorClass.TRANSIENT, "rate_limited", "failed"),
    ("500", ErrorClass.TRANSIENT, "http_500", "failed"),
    ("503", ErrorClass.TRANSIENT, "http_503", "failed"),
    ("400", ErrorClass.CONFIG, "http_400", "failed"),
    ("401", ErrorClass.CONFIG, "not_authorised", "failed"),
    ("403", ErrorClass.CONFIG, "not_authorised", "failed"),
    ("404", ErrorClass.CONFIG, "no_such_model", "failed"),
    ("filter", ErrorClass.REFUSED, "refused", "failed"),
    ("refusal", ErrorClass.REFUSED, "refused", "finished"),
    ("empty", ErrorClass.INVALID_OUTPUT, "empty_answer", "finished"),
    ("malformed", ErrorClass.TRANSIENT, "malformed_answer", "lost"),
    ("truncated", ErrorClass.TRANSIENT, "connection_lost", "lost"),
    ("close", ErrorClass.TRANSIENT, "connection_lost", "lost"),
    ("big", ErrorClass.LIMIT, "too_large", "lost"),
]


@pytest.mark.parametrize(("kind", "cls", "code", "state"), CASES)
async def test_a_failure_has_its_class_and_the_journal_says_whether_it_may_have_cost(
    model_server: ModelServer, kind: str, cls: ErrorClass, code: str, state: str
) -> None:
    model_server.script(Reply(kind=kind))
    step = an_agent_step(an_agent("stub/m"))

    fact = await carry_out(step)

    assert isinstance(fact, StepFailed)
    assert (fact.error.cls, fact.error.code) == (cls, code)
    assert [outcome.state for outcome in step.outcomes] == [state]
    assert fact.error.lost is (state == "lost")
    assert len(model_server.calls) == 1  # retrying is the engine's
    assert (step.outcomes[0].cost_micros is not None) == (state == "finished")


async def test_the_wait_that_the_provider_asks_for_is_passed_on(model_server: ModelServer) -> None:
    model_server.script(Reply(kind="429", retry_after="7"))

    fact = await carry_out(an_agent_step(an_agent("stub/m")))

    assert isinstance(fact, StepFailed)
    assert fact.error.retry_after == 7


@pytest.mark.parametrize("reply", [Reply(kind="hang"), Reply(kind="slow", latency=0.05)], ids=["hang", "slow drip"])
async def test_a_model_that_does_not_finish_in_time_times_out_and_its_answer_counts_as_lost(
    model_server: ModelServer, reply: Reply
) -> None:
    model_server.script(reply)
    step = an_agent_step(an_agent("stub/m"), timeout=2.0)
    began = time.monotonic()

    fact = await carry_out(step)

    assert isinstance(fact, StepFailed)
    assert (fact.error.cls, fact.error.code) == (ErrorClass.TIMEOUT, "timeout")
    assert time.monotonic() - began < 10
    assert step.outcomes[0].lost


async def test_nobody_listening_is_transient_and_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    route = ModelRoute("stub/m", "m", "openai", "stub", url, trusted_address=True)
    monkeypatch.setattr(library, "route", lambda *_: route)
    step = an_agent_step(an_agent("stub/m"))

    fact = await carry_out(step)
    await registry.close()

    assert isinstance(fact, StepFailed)
    assert (fact.error.cls, fact.error.code) == (ErrorClass.TRANSIENT, "cannot_connect")
    assert not step.outcomes[0].lost


async def test_cancelling_passes_through_and_leaves_the_call_lost(model_server: ModelServer) -> None:
    model_server.script(Reply(kind="hang"))
    step = an_agent_step(an_agent("stub/m"))
    task = asyncio.create_task(carry_out(step))
    while not model_server.calls:
        await asyncio.sleep(0.01)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [outcome.state for outcome in step.outcomes] == ["lost"]


async def test_sixteen_calls_share_one_client_and_run_at_once(model_server: ModelServer) -> None:
    model_server.script(Reply(latency=0.2))

    facts = await asyncio.gather(*(carry_out(an_agent_step(an_agent("stub/m"))) for _ in range(16)))

    assert all(isinstance(fact, StepSucceeded) for fact in facts)
    assert model_server.most_in_flight == 16


async def test_a_provider_that_counts_beyond_reason_is_written_down_as_far_as_the_books_go(
    model_server: ModelServer,
) -> None:
    model_server.script(Reply(input_tokens=10**30, output_tokens=-7, text="hello"))
    step = an_agent_step(an_agent("stub/m"))

    assert isinstance(await carry_out(step), StepSucceeded)

    assert (step.outcomes[0].input_tokens, step.outcomes[0].output_tokens) == (MOST_TOKENS, 0)


async def test_a_defect_of_our_own_is_internal_and_does_not_escape(
    model_server: ModelServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("runs.execution.pricing.cost", broken)
    step = an_agent_step(an_agent("stub/m"))

    fact = await carry_out(step)

    assert isinstance(fact, StepFailed)
    assert (fact.error.cls, fact.error.code) == (ErrorClass.INTERNAL, "internal")
    assert step.outcomes[0].lost
    assert "ZeroDivisionError" in caplog.text


async def test_the_model_server_can_be_a_process_steered_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.model_server", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout
        url = (await process.stdout.readline()).decode().strip()
        admin = url.removesuffix("/v1") + "/admin"
        script = json.dumps([{"text": "Scripted.", "match": "step=draft"}]).encode()
        await asyncio.to_thread(urlopen, Request(f"{admin}/script", script, method="POST"))
        route = ModelRoute("stub/m", "m", "openai", "stub", url, trusted_address=True)
        monkeypatch.setattr(library, "route", lambda *_: route)

        fact = await carry_out(an_agent_step(an_agent("stub/m"), "[run=r1 step=draft] Write."))
        await registry.close()

        assert isinstance(fact, StepSucceeded)
        assert fact.output == "Scripted."
        stats = await asyncio.to_thread(lambda: json.load(urlopen(f"{admin}/stats")))
        assert stats["markers"] == {"r1": {"draft": 1}}
    finally:
        process.kill()
        await process.wait()
