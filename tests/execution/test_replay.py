"""After a crash or an approval, a step goes on where it was: nothing paid for is asked again, no effect is doubled."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from pipelines.graph import gates
from pipelines.graph.canonical import digest
from runs.engine.facts import ErrorClass, StepBlocked, StepError, StepFailed, StepSucceeded
from runs.execution import tools
from runs.execution.context import StepAborted, ToolCall
from runs.execution.results import bounded
from runs.execution.steps import carry_out
from tests.execution.contexts import MemoryContext, a_tool_step, an_agent, an_agent_step
from tests.model_server import ModelServer, Reply
from tests.sink import Sink


def posting(sink: Sink, path: str = "/post", **fields: Any) -> MemoryContext:
    args = {"method": "POST", "url": f"{sink.url}{path}", "json": {"n": 1}, "idempotency_header": "Idempotency-Key"}
    return granted(a_tool_step("http.request@1", args, **fields))


def granted(step: MemoryContext, approval: str = "approval-1") -> MemoryContext:
    assert step.start.tool
    hashed = gates.payload_hash(gates.payload(step.start.tool, step.start.input["args"]))
    step.start = replace(step.start, grants={hashed: approval})
    return step


async def test_a_finished_model_call_is_replayed_without_begin_or_finish(model_server: ModelServer) -> None:
    first = an_agent_step(an_agent("stub/m"))
    before = await carry_out(first)

    second = first.again()
    after = await carry_out(second)

    assert isinstance(before, StepSucceeded)
    assert isinstance(after, StepSucceeded)
    assert before.output == after.output
    assert len(model_server.calls) == 1
    assert (second.intents, second.outcomes) == ([], [])


async def test_a_retry_pays_only_for_the_turn_that_failed(model_server: ModelServer, sink: Sink) -> None:
    args = {"method": "GET", "url": f"{sink.url}/page"}
    model_server.script(
        Reply(tool_calls=[{"name": "http_request", "args": args}], times=1),
        Reply(kind="503", times=1),
        Reply(text="ok"),
    )
    first = an_agent_step(an_agent("stub/m", tools=("http.request@1",)))
    assert isinstance(await carry_out(first), StepFailed)

    second = first.again(attempt=2)
    assert isinstance(await carry_out(second), StepSucceeded)

    assert len(model_server.calls) == 3
    assert len(sink.effects) == 1
    assert [intent.key for intent in second.intents] == ["write@2/4"]
    assert model_server.calls[1].key == model_server.calls[2].key == "run-1/write/3"


async def test_a_lost_model_call_is_made_again_under_the_same_idempotency_key(model_server: ModelServer) -> None:
    first = an_agent_step(an_agent("stub/m"))
    await carry_out(first)
    first.crash()

    second = first.again()
    await carry_out(second)

    assert [call.key for call in model_server.calls] == ["run-1/write/1"] * 2
    assert second.intents[0].key == "write@1/2"  # the row of the lost call keeps its own key


async def test_a_retry_ordered_by_a_person_asks_anew(model_server: ModelServer) -> None:
    first = an_agent_step(an_agent("stub/m"))
    await carry_out(first)

    await carry_out(first.again(attempt=2, generation=1))

    assert len(model_server.calls) == 2
    assert model_server.calls[0].key != model_server.calls[1].key


async def test_a_repair_is_a_new_request(model_server: ModelServer) -> None:
    first = an_agent_step(an_agent("stub/m"))
    await carry_out(first)

    await carry_out(first.again(attempt=2, repair={"output": "x", "findings": ["y"], "instruction": ""}))

    assert len(model_server.calls) == 2


async def test_a_keyed_post_is_sent_again_under_its_first_key_and_one_approval(sink: Sink) -> None:
    first = posting(sink, "/fail?status=503")
    fact = await carry_out(first)
    assert isinstance(fact, StepFailed)
    assert (fact.error.code, fact.error.retry_after) == ("http_503", 2)

    second = first.again(attempt=2)
    assert isinstance(await carry_out(second), StepSucceeded)

    assert [effect["key"] for effect in sink.effects] == ["run-1/send/1"]
    assert (first.intents[0].approval, second.intents[0].approval) == ("approval-1", None)


async def test_a_crash_after_the_effect_sends_the_same_key_again(sink: Sink) -> None:
    first = posting(sink)
    await carry_out(first)
    first.crash()

    await carry_out(first.again())

    assert {effect["key"] for effect in sink.effects} == {"run-1/send/1"}


async def test_an_unkeyed_post_that_a_crash_cut_off_is_never_sent_again_by_itself(sink: Sink) -> None:
    first = granted(a_tool_step("http.request@1", {"method": "POST", "url": f"{sink.url}/post"}))
    await carry_out(first)
    first.crash()

    fact = await carry_out(first.again())

    assert isinstance(fact, StepBlocked)
    assert (fact.kind, fact.call) == ("outcome_unknown", "send@1/1")
    assert len(sink.effects) == 1


async def test_an_unkeyed_post_whose_answer_was_lost_waits_for_a_person(sink: Sink) -> None:
    step = granted(a_tool_step("http.request@1", {"method": "POST", "url": f"{sink.url}/lose"}))

    fact = await carry_out(step)

    assert isinstance(fact, StepBlocked)
    assert (fact.kind, fact.call) == ("outcome_unknown", "send@1/1")
    assert step.outcomes[0].lost
    assert len(sink.effects) == 1


async def test_a_person_may_say_what_came_of_it_or_order_it_to_be_sent_again(sink: Sink) -> None:
    first = granted(a_tool_step("http.request@1", {"method": "POST", "url": f"{sink.url}/post"}))
    await carry_out(first)
    first.crash()

    told = await carry_out(first.again(outcomes={"send@1/1": {"decision": "use", "output": {"status": 200}}}))
    assert isinstance(told, StepSucceeded)
    assert told.output == {"status": 200}
    assert len(sink.effects) == 1

    ordered = granted(first.again(outcomes={"send@1/1": {"decision": "retry"}}), "approval-2")
    again = await carry_out(ordered)
    assert isinstance(again, StepSucceeded)
    assert len(sink.effects) == 2
    assert ordered.intents[0].approval == "approval-2"


async def test_sending_an_unkeyed_post_again_needs_an_approval_of_its_own(sink: Sink) -> None:
    first = granted(a_tool_step("http.request@1", {"method": "POST", "url": f"{sink.url}/status?code=409"}))
    assert isinstance(await carry_out(first), StepFailed)

    fact = await carry_out(first.again(attempt=2, generation=1))

    assert isinstance(fact, StepBlocked)
    assert fact.kind == "approve"
    assert len(sink.effects) == 1


async def test_a_timeout_of_a_repeatable_call_is_a_timeout_and_of_any_other_a_question(sink: Sink) -> None:
    reading = a_tool_step("http.request@1", {"method": "GET", "url": f"{sink.url}/wait?seconds=5"}, timeout=2.0)
    fact = await carry_out(reading)
    assert isinstance(fact, StepFailed)
    assert fact.error.code == "timeout"

    writing = granted(
        a_tool_step("http.request@1", {"method": "POST", "url": f"{sink.url}/wait?seconds=5"}, timeout=2.0)
    )
    assert isinstance(await carry_out(writing), StepBlocked)


async def test_a_retry_ordered_by_a_person_does_not_repeat_a_finished_effect(
    model_server: ModelServer, sink: Sink
) -> None:
    args = {"method": "POST", "url": f"{sink.url}/post", "idempotency_header": "Idempotency-Key"}
    model_server.script(Reply(tool_calls=[{"name": "http_request", "args": args}], times=1), Reply(kind="400", times=1))
    first = an_agent_step(an_agent("stub/m", tools=("http.request@1",)))
    blocked = await carry_out(first)
    assert isinstance(blocked, StepBlocked)
    grants = {digest(blocked.payload): "approval-1"}
    approved = first.again(grants=grants)
    assert isinstance(await carry_out(approved), StepFailed)

    model_server.script(Reply(tool_calls=[{"name": "http_request", "args": args}], times=1), Reply(text="Sent."))
    retried = approved.again(attempt=2, generation=1)
    assert isinstance(await carry_out(retried), StepSucceeded)

    assert len(sink.effects) == 1


def ordering(sink: Sink, path: str, *, method: str = "POST") -> tuple[MemoryContext, Reply]:
    """Return an agent's attempt that may make one keyed request, and the reply with which its model wishes for it."""
    args = {"method": method, "url": f"{sink.url}{path}", "idempotency_header": "Idempotency-Key"}
    step = an_agent_step(an_agent("stub/m", tools=("http.request@1",)))
    hashed = gates.payload_hash(gates.payload(step.tools["http.request@1"], args))
    step.start = replace(step.start, grants={hashed: "approval-1"})
    return step, Reply(tool_calls=[{"name": "http_request", "args": args}], times=1)


@pytest.mark.parametrize(
    ("path", "method", "maybe_done"),
    [
        ("/lose", "POST", True),
        ("/status?code=502", "POST", True),
        ("/big?bytes=9000000", "POST", True),
        ("/post", "POST", True),
        ("/lose", "GET", False),
        ("/page", "GET", False),
        ("/status?code=400", "POST", False),
    ],
    ids=["lost", "left open", "told as a failure", "done", "changes nothing", "has read", "refused"],
)
async def test_a_failed_attempt_of_an_agent_says_whether_an_action_of_it_was_or_may_have_been_done(
    model_server: ModelServer, sink: Sink, path: str, method: str, maybe_done: bool
) -> None:
    step, wish = ordering(sink, path, method=method)
    model_server.script(wish, Reply(kind="503"))
    fact = await carry_out(step)
    assert isinstance(fact, StepFailed)
    assert fact.error.maybe_done is maybe_done
    assert fact.error.elsewhere is (path in ("/lose", "/status?code=502")), "its model's own failure is the attempt's"


@pytest.mark.parametrize(("path", "method", "has_acted"), [("/post", "POST", True), ("/page", "GET", False)])
async def test_an_attempt_of_an_agent_says_whether_it_has_acted_however_it_ends(
    model_server: ModelServer, sink: Sink, path: str, method: str, has_acted: bool
) -> None:
    step, wish = ordering(sink, path, method=method)
    wants_more = {"method": "POST", "url": f"{sink.url}/post?more"}
    model_server.script(wish, Reply(tool_calls=[{"name": "http_request", "args": wants_more}], times=1))
    fact = await carry_out(step)
    assert isinstance(fact, StepBlocked)
    assert fact.maybe_done is has_acted

    model_server.script(Reply(text="Without it, then."))
    fact = await carry_out(step.again(denials={digest(fact.payload): "No."}))
    assert isinstance(fact, StepSucceeded)
    assert fact.maybe_done is has_acted

    fact = await carry_out(step.again(attempt=2, generation=1))
    assert isinstance(fact, StepSucceeded)
    assert fact.maybe_done is has_acted, "what an attempt before has done, this one has not asked for again"


def breaking(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let the tool that makes requests break after it has sent one."""
    send = tools._RUNNERS["http.request@1"]

    async def run(args: Mapping[str, Any], call: ToolCall) -> Any:
        await send(args, call)
        raise error

    monkeypatch.setitem(tools._RUNNERS, "http.request@1", run)  # type: ignore[arg-type]


async def test_an_action_that_breaks_after_it_was_sent_is_asked_about(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking(monkeypatch, ValueError("odd"))
    step = granted(a_tool_step("http.request@1", {"method": "POST", "url": f"{sink.url}/post"}))
    fact = await carry_out(step)
    assert isinstance(fact, StepBlocked)
    assert (fact.kind, fact.call, fact.maybe_done) == ("outcome_unknown", "send@1/1", True)
    assert step.outcomes[0].lost
    assert len(sink.effects) == 1


@pytest.mark.parametrize(("method", "maybe_done"), [("POST", True), ("GET", False)])
async def test_a_tool_that_breaks_leaves_a_doubt_where_it_changes_something(
    model_server: ModelServer, sink: Sink, monkeypatch: pytest.MonkeyPatch, method: str, maybe_done: bool
) -> None:
    breaking(monkeypatch, ValueError("odd"))
    step, wish = ordering(sink, "/post" if method == "POST" else "/page", method=method)
    model_server.script(wish, Reply(text="ok"))
    fact = await carry_out(step)
    assert isinstance(fact, StepFailed)
    assert (fact.error.cls, fact.error.code) == (ErrorClass.INTERNAL, "internal")
    assert "ValueError" in fact.error.message
    assert "odd" not in fact.error.message, "what a library says may hold anything"
    assert (fact.error.maybe_done, fact.error.lost, fact.error.elsewhere) == (maybe_done, True, True)


async def test_an_answer_too_large_to_keep_says_that_its_agent_has_acted() -> None:
    fact = bounded(StepSucceeded("write", 1, "x" * (20 * 1024 * 1024), maybe_done=True))
    assert isinstance(fact, StepFailed)
    assert (fact.error.code, fact.error.maybe_done) == ("value_too_large", True)


async def test_a_doubt_outlives_a_crash_and_an_answer_makes_it_certain(model_server: ModelServer, sink: Sink) -> None:
    step, wish = ordering(sink, "/post")
    model_server.script(wish, Reply(text="ok"))
    assert isinstance(await carry_out(step), StepSucceeded)
    cut_off = step.again()
    cut_off.journal = cut_off.journal[:2]
    cut_off.crash()

    cut_off.refuse = StepAborted(StepError(ErrorClass.TRANSIENT, "circuit_open", "Left alone."))
    fact = await carry_out(cut_off)
    assert isinstance(fact, StepFailed)
    assert fact.error.maybe_done

    again = cut_off.again()
    model_server.script(Reply(kind="503"))
    fact = await carry_out(again)
    assert isinstance(fact, StepFailed)
    assert (len(sink.effects), fact.error.maybe_done) == (2, True), "the same key once more, answered this time"


async def test_what_was_done_before_a_retry_was_ordered_is_found_before_anybody_is_asked(sink: Sink) -> None:
    """The earlier result is the step's, with the key of the call that it is of; another mail would need a yes."""
    mail = {"to": "maya@northwind.example", "subject": "An idea", "body": "Good day"}
    fingerprint = gates.payload_hash({"tool": "email.send@1", "args": mail})
    first = a_tool_step("email.send@1", mail, grants={fingerprint: "approval-1"})
    sent = await carry_out(first)
    again = first.again(attempt=2, generation=1, grants={})

    fact = await carry_out(again)

    assert isinstance(fact, StepSucceeded)
    assert isinstance(sent, StepSucceeded)
    assert (fact.output, fact.meta) == (sent.output, {"done_before": "send@1/1"})
    assert "done_before" not in sent.meta
    assert (len(sink.mails), again.intents) == (1, [])
    other = first.again(attempt=2, generation=1, grants={}, input={"args": {**mail, "subject": "Another"}})
    assert isinstance(await carry_out(other), StepBlocked)
