"""Anthropic's and Google's wire formats over loopback: text, objects, tools with their results, and errors."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from pipelines.library import models as library
from pipelines.library.models import ModelRoute
from runs.engine.facts import ErrorClass, StepFailed, StepSucceeded
from runs.execution.models import registry
from runs.execution.steps import carry_out
from tests.execution.contexts import CHEAP, an_agent, an_agent_step
from tests.loopback import Request, Response, port_of, serve
from tests.sink import Sink

Answer = dict[str, Any]
IMPORT_SECONDS = 60.0  # the first test of a provider waits for its SDK


class Wire:
    """Answers in turn from `answers` and keeps the requests."""

    def __init__(self) -> None:
        self.answers: list[Response] = []
        self.requests: list[Request] = []

    async def handle(self, request: Request) -> Response:
        self.requests.append(request)
        return self.answers.pop(0)


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    found = Wire()
    server = await serve(found.handle)
    found.url = f"http://127.0.0.1:{port_of(server)}"  # type: ignore[attr-defined]
    yield found
    await registry.close()
    server.close()


@pytest.fixture
def over(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    def choose(kind: str, model: str) -> None:
        route = ModelRoute(f"far/{model}", model, kind, "far", wire.url, trusted_address=True)  # type: ignore[attr-defined]
        monkeypatch.setattr(library, "route", lambda *_: route)

    return choose


def claude(*content: Answer, stop: str = "end_turn") -> Response:
    usage = {"input_tokens": 30, "output_tokens": 5, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 0}
    return Response.of(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5",
            "content": list(content),
            "stop_reason": stop,
            "stop_sequence": None,
            "usage": usage,
        }
    )


def gemini(*parts: Answer) -> Response:
    return Response.of(
        {
            "candidates": [{"content": {"role": "model", "parts": list(parts)}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 30, "candidatesTokenCount": 5, "totalTokenCount": 35},
            "modelVersion": "gemini-2.5-flash",
            "responseId": "r1",
        }
    )


async def test_claude_answers_and_its_cached_input_counts_as_input(wire: Wire, over: Callable[..., None]) -> None:
    over("anthropic", "claude-sonnet-4-5")
    wire.answers = [claude({"type": "text", "text": "Hello."})]
    agent = an_agent("far/claude-sonnet-4-5", role="Greeter", max_output=77)
    step = an_agent_step(agent, timeout=IMPORT_SECONDS)

    fact = await carry_out(step)

    assert isinstance(fact, StepSucceeded), fact
    assert fact.output == "Hello."
    sent = wire.requests[0].json()
    assert sent["max_tokens"] == 77
    assert "You are: Greeter." in str(sent["system"])
    assert (step.outcomes[0].input_tokens, step.outcomes[0].output_tokens) == (40, 5)


async def test_claude_is_told_a_tool_s_result(wire: Wire, over: Callable[..., None], sink: Sink) -> None:
    over("anthropic", "claude-sonnet-4-5")
    use = {"type": "tool_use", "id": "tu_1", "name": "http_request", "input": {"method": "GET", "url": f"{sink.url}/x"}}
    wire.answers = [claude(use, stop="tool_use"), claude({"type": "text", "text": "Done."})]

    fact = await carry_out(
        an_agent_step(an_agent("far/claude-sonnet-4-5", tools=("http.request@1",)), timeout=IMPORT_SECONDS)
    )

    assert isinstance(fact, StepSucceeded), fact
    told = wire.requests[1].json()["messages"]
    assert told[-2]["content"][0]["id"] == "tu_1"
    assert told[-1]["content"][0]["tool_use_id"] == "tu_1"
    assert len(sink.effects) == 1


async def test_claude_overloaded_is_transient(wire: Wire, over: Callable[..., None]) -> None:
    over("anthropic", "claude-sonnet-4-5")
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    wire.answers = [Response.of(error, 529)]

    fact = await carry_out(an_agent_step(an_agent("far/claude-sonnet-4-5"), timeout=IMPORT_SECONDS))

    assert isinstance(fact, StepFailed)
    assert (fact.error.cls, fact.error.code) == (ErrorClass.TRANSIENT, "http_529")
    assert len(wire.requests) == 1


async def test_gemini_answers_with_an_object(wire: Wire, over: Callable[..., None]) -> None:
    over("google", "gemini-2.5-flash")
    wire.answers = [gemini({"text": '{"n": 3}'})]
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    step = an_agent_step(an_agent("far/gemini-2.5-flash", output_schema=schema), timeout=IMPORT_SECONDS)

    fact = await carry_out(step)

    assert isinstance(fact, StepSucceeded), fact
    assert fact.output == {"n": 3}
    assert wire.requests[0].json()["generationConfig"]["responseMimeType"] == "application/json"
    assert step.outcomes[0].cost_micros == 30 * CHEAP.input // 10**6 + 5 * CHEAP.output // 10**6


async def test_gemini_goes_on_from_the_journal_after_a_tool(wire: Wire, over: Callable[..., None], sink: Sink) -> None:
    over("google", "gemini-2.5-flash")
    call = {"functionCall": {"name": "http_request", "args": {"method": "GET", "url": f"{sink.url}/x"}}}
    wire.answers = [
        gemini(call),
        Response.of({"error": {"code": 503, "message": "later", "status": "UNAVAILABLE"}}, 503),
    ]
    first = an_agent_step(an_agent("far/gemini-2.5-flash", tools=("http.request@1",)), timeout=IMPORT_SECONDS)
    failed = await carry_out(first)
    assert isinstance(failed, StepFailed)
    assert failed.error.cls is ErrorClass.TRANSIENT

    wire.answers = [gemini({"text": "Done."})]
    fact = await carry_out(first.again(attempt=2))

    assert isinstance(fact, StepSucceeded), fact
    assert len(sink.effects) == 1
    contents = wire.requests[-1].json()["contents"]
    assert [part for content in contents for part in content["parts"] if "functionResponse" in part]


async def test_many_gemini_calls_do_not_wait_for_each_other(wire: Wire, over: Callable[..., None]) -> None:
    over("google", "gemini-2.5-flash")
    wire.answers = [gemini({"text": "Hello."}) for _ in range(8)]

    facts = await asyncio.gather(
        *(carry_out(an_agent_step(an_agent("far/gemini-2.5-flash"), timeout=IMPORT_SECONDS)) for _ in range(8))
    )

    assert all(isinstance(fact, StepSucceeded) for fact in facts)
