"""An agent's attempt against a real server over loopback: text, objects, repairs, tools, limits."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from pipelines.graph.lock import Price
from runs.engine.facts import ErrorClass, StepError, StepFailed, StepSucceeded
from runs.execution.context import StepAborted
from runs.execution.steps import carry_out
from tests.execution.contexts import CHEAP, MemoryContext, an_agent, an_agent_step
from tests.model_server import ModelServer, Reply
from tests.sink import Sink

EMAIL: dict[str, Any] = {
    "type": "object",
    "required": ["subject", "body"],
    "properties": {"subject": {"type": "string"}, "body": {"type": "string", "minLength": 5}},
}


def failed(fact: object) -> StepError:
    assert isinstance(fact, StepFailed), fact
    return fact.error


def succeeded(fact: object) -> Any:
    assert isinstance(fact, StepSucceeded), fact
    return fact.output


async def test_the_answer_is_the_output_and_its_cost_is_settled_from_what_the_provider_counted(
    model_server: ModelServer,
) -> None:
    model_server.script(Reply(text="Hello.", input_tokens=100, output_tokens=7, cached_tokens=40))
    price = Price(input=1_000_000, output=2_000_000, cached_input=100_000)
    step = an_agent_step(an_agent("stub/m"), prices={"stub/m": price})

    assert succeeded(await carry_out(step)) == "Hello."

    outcome = step.outcomes[0]
    assert (outcome.input_tokens, outcome.output_tokens) == (100, 7)
    assert outcome.cost_micros == 60 + 4 + 14  # 60 fresh at 1, 40 cached at 0.1, 7 written at 2
    assert outcome.attributes["gen_ai.usage.cache_read.input_tokens"] == 40
    assert outcome.attributes["gen_ai.provider.name"] == "openai"
    assert outcome.attributes["baton.cost.usd"] == "0.000078"


async def test_the_intent_reserves_the_whole_request_and_the_longest_answer(model_server: ModelServer) -> None:
    step = an_agent_step(an_agent("stub/m", max_output=500), prompt="Grüße " * 100)

    await carry_out(step)

    intent = step.intents[0]
    assert intent.reserve_micros is not None
    assert intent.reserve_micros >= 800 // 3 + 2 * 500  # 700 characters are 800 bytes
    assert intent.max_tokens == intent.reserve_micros - 500
    assert intent.reserve_micros >= (step.outcomes[0].cost_micros or 0)
    assert model_server.calls[0].body["max_tokens"] == 500


async def test_nothing_is_sent_before_begin_and_nothing_yields_before_it(model_server: ModelServer) -> None:
    step = an_agent_step(an_agent("stub/m"))
    reached = asyncio.Event()

    async def begin(_intent: object, prepare: Callable[[], None]) -> None:
        reached.set()
        prepare()
        await asyncio.sleep(0.05)
        assert model_server.calls == []

    step.begin = begin  # type: ignore[method-assign]
    task = asyncio.create_task(carry_out(step))
    await asyncio.sleep(0)
    assert reached.is_set()
    succeeded(await task)


async def test_an_unknown_price_is_unknown_and_never_zero(model_server: ModelServer) -> None:
    step = an_agent_step(an_agent("stub/m"), prices={})

    succeeded(await carry_out(step))

    assert step.intents[0].reserve_micros is None
    assert step.outcomes[0].cost_micros is None
    assert "baton.cost.usd" not in step.outcomes[0].attributes


async def test_a_server_that_counts_nothing_is_charged_by_our_estimate(model_server: ModelServer) -> None:
    model_server.script(Reply(kind="no_usage", text="123456"))
    step = an_agent_step(an_agent("stub/m"))

    succeeded(await carry_out(step))

    assert step.outcomes[0].output_tokens == 2
    assert step.outcomes[0].attributes["baton.usage.estimated"] is True


async def test_a_refused_reservation_fails_the_step_and_sends_nothing(model_server: ModelServer) -> None:
    step = an_agent_step(an_agent("stub/m"))
    step.refuse = StepAborted(StepError(ErrorClass.BUDGET, "over_budget", "Too dear."))

    assert failed(await carry_out(step)).code == "over_budget"
    assert model_server.calls == []


# Objects and repairs


async def test_an_object_is_asked_for_by_schema_and_parsed(model_server: ModelServer) -> None:
    model_server.script(Reply(json={"subject": "Hi", "body": "Good day"}))
    step = an_agent_step(an_agent("stub/m", output_schema=EMAIL))

    assert succeeded(await carry_out(step)) == {"subject": "Hi", "body": "Good day"}

    asked = model_server.calls[0].body["response_format"]
    assert asked["type"] == "json_schema"
    assert set(asked["json_schema"]["schema"]["required"]) == {"subject", "body"}


async def test_a_step_s_schema_asks_for_an_object_of_an_agent_that_has_none(model_server: ModelServer) -> None:
    model_server.script(Reply(text='```json\n{"subject": "Hi", "body": "Good day"}\n```'))
    step = an_agent_step(an_agent("stub/m"), output_schema=EMAIL)

    assert succeeded(await carry_out(step))["subject"] == "Hi"


async def test_a_list_is_asked_for_in_words(model_server: ModelServer) -> None:
    model_server.script(Reply(json=["a", "b"]))
    step = an_agent_step(an_agent("stub/m", output_schema={"type": "array", "items": {"type": "string"}}))

    assert succeeded(await carry_out(step)) == ["a", "b"]
    assert "fits this schema" in model_server.calls[0].body["messages"][-1]["content"]


async def test_a_wrong_shape_is_invalid_output_with_findings_and_is_paid_for(model_server: ModelServer) -> None:
    model_server.script(Reply(json={"subject": "Hi", "body": "no"}))
    step = an_agent_step(an_agent("stub/m", output_schema=EMAIL))

    error = failed(await carry_out(step))

    assert error.cls is ErrorClass.INVALID_OUTPUT
    assert error.findings[0].startswith("/body:")
    assert error.output == {"subject": "Hi", "body": "no"}
    assert step.outcomes[0].cost_micros


async def test_a_repair_shows_the_answer_and_what_was_wrong_with_it(model_server: ModelServer) -> None:
    model_server.script(Reply(json={"subject": "Hi", "body": "Good day"}))
    repair = {"output": {"subject": "Hi"}, "findings": ["/body: the field is missing"], "instruction": ""}
    step = an_agent_step(an_agent("stub/m", output_schema=EMAIL), repair=repair)

    succeeded(await carry_out(step))

    before, told = model_server.calls[0].body["messages"][-2:]
    assert before == {"role": "assistant", "content": '{"subject": "Hi"}'}
    assert "/body: the field is missing" in told["content"]


async def test_an_answer_cut_off_by_max_output_says_so(model_server: ModelServer) -> None:
    model_server.script(Reply(text='{"subject": "H', finish="length"))
    step = an_agent_step(an_agent("stub/m", output_schema=EMAIL))

    assert "cut off" in failed(await carry_out(step)).findings[0]


async def test_numbers_that_are_not_json_are_refused(model_server: ModelServer) -> None:
    for text in ('{"subject": NaN, "body": "long enough"}', '{"subject": Infinity}', "[" * 100_000, "9" * 10_000):
        model_server.script(Reply(text=text))
        assert failed(await carry_out(an_agent_step(an_agent("stub/m", output_schema=EMAIL)))).code in (
            "not_json",
            "wrong_shape",
        )


async def test_nul_and_lone_surrogates_never_reach_the_journal(model_server: ModelServer) -> None:
    model_server.script(Reply(text="a\x00b\ud800c"))
    step = an_agent_step(an_agent("stub/m"))

    output = succeeded(await carry_out(step))

    assert output == step.outcomes[0].response["text"]
    output.encode()
    assert "\x00" not in output


@pytest.mark.parametrize(
    ("text", "flags"),
    [("a\x00b", ("sanitised",)), ("a\ud800b", ("sanitised",)), ("a b", ())],
    ids=["a NUL", "half a pair", "plain"],
)
async def test_a_text_that_the_database_cannot_hold_is_changed_and_flagged(
    model_server: ModelServer, text: str, flags: tuple[str, ...]
) -> None:
    model_server.script(Reply(text=text))
    fact = await carry_out(an_agent_step(an_agent("stub/m")))
    assert isinstance(fact, StepSucceeded)
    assert fact.flags == flags


async def test_an_object_with_an_escaped_nul_is_changed_and_flagged(model_server: ModelServer) -> None:
    model_server.script(Reply(text=r'{"said": "a\u0000b"}'))
    schema = {"type": "object", "properties": {"said": {"type": "string"}}}
    fact = await carry_out(an_agent_step(an_agent("stub/m", output_schema=schema)))
    assert isinstance(fact, StepSucceeded)
    assert fact.flags == ("sanitised",)
    assert "\x00" not in fact.output["said"]


async def test_a_number_too_large_for_any_database_does_not_pass_for_a_number(model_server: ModelServer) -> None:
    model_server.script(Reply(text='{"n": 1e400}'))
    schema = {"type": "object", "properties": {"n": {"type": "number"}}}

    assert failed(await carry_out(an_agent_step(an_agent("stub/m", output_schema=schema)))).code == "wrong_shape"


# Tools


def searching(**fields: Any) -> MemoryContext:
    return an_agent_step(an_agent("stub/m", tools=("http.request@1", "notes.append@1")), **fields)


async def test_a_tool_is_called_and_its_result_told_between_marks(model_server: ModelServer, sink: Sink) -> None:
    args = {"method": "GET", "url": f"{sink.url}/page"}
    model_server.script(
        Reply(tool_calls=[{"name": "http_request", "args": args, "id": "call_7"}], times=1), Reply(text="Done.")
    )
    step = searching()

    assert succeeded(await carry_out(step)) == "Done."

    assert [effect["path"] for effect in sink.effects] == ["/page"]
    told = model_server.calls[1].body["messages"][-1]
    assert told["role"] == "tool"
    assert told["tool_call_id"] == "call_7"
    assert told["content"].startswith('<untrusted source="http.request@1">')
    assert [intent.kind for intent in step.intents] == ["model", "tool", "model"]
    assert step.outcomes[1].attributes["gen_ai.tool.call.id"] == "call_7"


async def test_only_the_step_s_subset_of_the_agent_s_tools_is_offered(model_server: ModelServer) -> None:
    await carry_out(searching(config={"tools": ["notes.append@1"]}))

    offered = [tool["function"]["name"] for tool in model_server.calls[0].body["tools"]]
    assert offered == ["notes_append"]


async def test_the_model_is_told_about_unknown_tools_bad_arguments_and_refused_addresses(
    model_server: ModelServer,
) -> None:
    wrong = [
        {"name": "delete_everything", "args": {}, "id": "a"},
        {"name": "http_request", "args": "{not json", "id": "b"},
        {"name": "http_request", "args": {"method": "GET"}, "id": "c"},
        {"name": "http_request", "args": {"method": "GET", "url": "http://127.0.0.1:1/"}, "id": "d"},
    ]
    model_server.script(Reply(tool_calls=wrong, times=1), Reply(text="I give up."))

    assert succeeded(await carry_out(searching())) == "I give up."

    told = [message["content"] for message in model_server.calls[1].body["messages"][-4:]]
    assert "no tool 'delete_everything'" in told[0]
    assert "not a JSON object" in told[1]
    assert "is missing" in told[2]
    assert "not a public address" in told[3]


async def test_the_same_call_is_not_made_a_third_time(model_server: ModelServer, sink: Sink) -> None:
    args = {"method": "GET", "url": f"{sink.url}/same"}
    model_server.script(Reply(tool_calls=[{"name": "http_request", "args": args}], times=5), Reply(text="Enough."))

    assert succeeded(await carry_out(searching())) == "Enough."

    assert len(sink.effects) == 3  # the first brought something new, so two more were allowed
    assert "nothing new" in model_server.calls[-1].body["messages"][-1]["content"]


async def test_an_agent_that_never_finishes_meets_its_limit_of_turns(model_server: ModelServer, sink: Sink) -> None:
    model_server.script(Reply(tool_calls=[{"name": "nothing", "args": {}}]))

    error = failed(await carry_out(searching(config={"max_turns": 3})))

    assert (error.cls, error.code) == (ErrorClass.LIMIT, "max_turns")
    assert len(model_server.calls) == 3


async def test_a_fallback_model_is_asked_instead_of_the_agent_s(model_server: ModelServer) -> None:
    step = an_agent_step(an_agent("stub/m"), model="stub/other", prices={"stub/other": CHEAP})

    succeeded(await carry_out(step))

    assert model_server.calls[0].body["model"] == "other"
