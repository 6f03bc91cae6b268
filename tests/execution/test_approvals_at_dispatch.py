"""What is approved is what runs: the digest of the exact payload, at whatever depth, once per approval."""

from dataclasses import replace
from typing import Any

import pytest

from pipelines.graph import gates
from pipelines.graph.canonical import digest
from pipelines.library.tools import TOOLS
from runs.engine.facts import ErrorClass, StepBlocked, StepFailed, StepSucceeded
from runs.execution.steps import carry_out
from tests.execution.contexts import MemoryContext, a_tool_step, an_agent, an_agent_step
from tests.model_server import ModelServer, Reply
from tests.sink import Sink

MAIL = {"to": "maya@northwind.example", "subject": "An idea", "body": "Good day"}


def hash_of(args: dict[str, Any], tool: str = "email.send@1") -> str:
    return gates.payload_hash(gates.payload(TOOLS[tool], args))


def mailing(model_server: ModelServer, *proposals: dict[str, Any], **fields: Any) -> MemoryContext:
    """Return an agent that proposes these mails one after the other and then says so."""
    calls = [Reply(tool_calls=[{"name": "email_send", "args": args}], times=1) for args in proposals]
    model_server.script(*calls, Reply(text="Sent."))
    return an_agent_step(an_agent("stub/m", tools=("email.send@1",)), **fields)


async def test_an_irreversible_step_without_a_grant_asks_and_does_nothing(sink: Sink) -> None:
    step = a_tool_step("email.send@1", MAIL)

    fact = await carry_out(step)

    assert isinstance(fact, StepBlocked)
    assert fact.kind == "approve"
    assert fact.payload == {"tool": "email.send@1", "args": MAIL}
    assert fact.title == "Send an email to maya@northwind.example: An idea"
    assert (sink.mails, step.intents) == ([], [])


async def test_a_granted_step_runs_and_its_intent_consumes_the_approval(sink: Sink) -> None:
    step = a_tool_step("email.send@1", MAIL, grants={hash_of(MAIL): "approval-1"})

    assert isinstance(await carry_out(step), StepSucceeded)

    assert step.intents[0].approval == "approval-1"
    assert step.intents[0].effect == "irreversible"
    assert len(sink.mails) == 1


@pytest.mark.parametrize("changed", [{"to": "eve@example.com"}, {"body": "Good day "}, {"subject": "An Idea"}])
async def test_a_grant_for_another_payload_is_no_grant(sink: Sink, changed: dict[str, str]) -> None:
    step = a_tool_step("email.send@1", MAIL | changed, grants={hash_of(MAIL): "approval-1"})

    assert isinstance(await carry_out(step), StepBlocked)
    assert sink.mails == []


async def test_a_payload_that_changes_while_its_intent_is_committed_is_refused(sink: Sink) -> None:
    args = dict(MAIL)
    step = a_tool_step("email.send@1", args, grants={hash_of(MAIL): "approval-1"})
    begin = step.begin

    async def tampering(intent: Any, prepare: object) -> None:
        args["to"] = "eve@example.com"  # what the author's step holds
        intent.request["args"]["to"] = "eve@example.com"  # what the journal was given
        await begin(intent, None)

    step.begin = tampering  # type: ignore[method-assign]
    fact = await carry_out(step)

    assert isinstance(fact, StepFailed)
    assert (fact.error.cls, fact.error.code) == (ErrorClass.DENIED, "payload_changed")
    assert sink.mails == []


async def test_an_agent_s_proposal_waits_and_says_that_a_model_wrote_it(model_server: ModelServer, sink: Sink) -> None:
    step = mailing(model_server, MAIL)

    fact = await carry_out(step)

    assert isinstance(fact, StepBlocked)
    assert fact.payload == {"tool": "email.send@1", "args": MAIL}
    assert fact.trust == {"/args/to": "model", "/args/subject": "model", "/args/body": "model"}
    assert "writer@1" in fact.why
    assert sink.mails == []


async def test_after_the_approval_the_agent_goes_on_without_asking_its_model_again(
    model_server: ModelServer, sink: Sink
) -> None:
    step = mailing(model_server, MAIL)
    blocked = await carry_out(step)
    assert isinstance(blocked, StepBlocked)

    fact = await carry_out(step.again(grants={digest(blocked.payload): "approval-1"}))

    assert isinstance(fact, StepSucceeded)
    assert len(sink.mails) == 1
    assert len(model_server.calls) == 2  # the proposal, replayed, and the closing answer


async def test_one_approval_is_good_for_one_call(model_server: ModelServer, sink: Sink) -> None:
    step = mailing(model_server, MAIL, MAIL, grants={hash_of(MAIL): "approval-1"})

    fact = await carry_out(step)

    assert isinstance(fact, StepBlocked)
    assert len(sink.mails) == 1
    second = await carry_out(step.again(grants={hash_of(MAIL): "approval-2"}))
    assert isinstance(second, StepSucceeded)
    assert len(sink.mails) == 2
    assert len({mail["id"] for mail in sink.mails}) == 2


async def test_an_edited_payload_runs_instead_and_the_model_is_told(model_server: ModelServer, sink: Sink) -> None:
    edited = MAIL | {"subject": "A better idea"}
    step = mailing(
        model_server,
        MAIL,
        edits={hash_of(MAIL): {"tool": "email.send@1", "args": edited}},
        grants={hash_of(edited): "approval-1"},
    )

    assert isinstance(await carry_out(step), StepSucceeded)

    assert "A better idea" in sink.mails[0]["text"]
    assert "A reviewer changed the arguments" in model_server.calls[-1].body["messages"][-1]["content"]


async def test_an_edited_payload_still_needs_its_own_grant(sink: Sink) -> None:
    edited = {"tool": "email.send@1", "args": MAIL | {"to": "eve@example.com"}}
    step = a_tool_step("email.send@1", MAIL, edits={hash_of(MAIL): edited}, grants={hash_of(MAIL): "approval-1"})

    assert isinstance(await carry_out(step), StepBlocked)
    assert sink.mails == []


async def test_a_denied_agent_hears_the_reason_and_may_propose_something_else(
    model_server: ModelServer, sink: Sink
) -> None:
    other = MAIL | {"body": "A calmer text"}
    step = mailing(model_server, MAIL, other, denials={hash_of(MAIL): "Too pushy."}, grants={hash_of(other): "a-2"})

    assert isinstance(await carry_out(step), StepSucceeded)

    assert "Too pushy." in model_server.calls[1].body["messages"][-1]["content"]
    assert len(sink.mails) == 1


async def test_a_denied_step_fails_with_the_reason(sink: Sink) -> None:
    fact = await carry_out(a_tool_step("email.send@1", MAIL, denials={hash_of(MAIL): "Not this customer."}))

    assert isinstance(fact, StepFailed)
    assert fact.error.cls is ErrorClass.DENIED
    assert "Not this customer." in fact.error.message


async def test_reading_needs_no_approval_and_posting_does(sink: Sink) -> None:
    for method, expected in (("GET", StepSucceeded), ("HEAD", StepSucceeded), ("POST", StepBlocked)):
        fact = await carry_out(a_tool_step("http.request@1", {"method": method, "url": f"{sink.url}/x"}))
        assert isinstance(fact, expected), method


async def test_a_rehearsal_makes_no_call_that_nobody_was_asked_about_though_it_changes_nothing(sink: Sink) -> None:
    step = a_tool_step("http.request@1", {"method": "GET", "url": f"{sink.url}/secrets"})

    free = await carry_out(replace(step, rehearsal=True))
    guarded = await carry_out(replace(step, start=replace(step.start, unasked=True), rehearsal=True))

    assert isinstance(free, StepSucceeded)
    assert isinstance(guarded, StepSucceeded)
    assert "simulated" not in free.output
    assert guarded.output["simulated"] is True
    assert len(sink.effects) == 1


async def test_a_rehearsal_says_what_it_would_have_done_and_does_nothing(sink: Sink) -> None:
    step = replace(a_tool_step("email.send@1", MAIL), rehearsal=True)

    fact = await carry_out(step)

    assert isinstance(fact, StepSucceeded)
    assert fact.output["simulated"] is True
    assert fact.output["would_have"] == "Send an email to maya@northwind.example: An idea"
    assert set(fact.output) >= {"message_id", "to"}
    assert (sink.mails, step.intents) == ([], [])
