"""Routing by a model: the port it picks, the reason it gives, and the other way when it is not sure."""

from typing import Any

import pytest

from runs.engine.facts import ErrorClass, StepFailed, StepSucceeded
from runs.execution.steps import carry_out
from tests.execution.contexts import CHEAP, MemoryContext, a_route_step
from tests.model_server import ModelServer, Reply

ROUTES = [
    {"port": "billing", "description": "Invoices, payments, charges and refunds"},
    {"port": "technical", "description": "Something does not work or shows an error"},
]


def routing(**config: Any) -> MemoryContext:
    step = a_route_step("I was charged twice.", ROUTES, model="stub/m", **config)
    step.prices = {"stub/m": CHEAP}
    return step


async def test_a_sure_choice_takes_its_port(model_server: ModelServer) -> None:
    model_server.script(Reply(json={"choice": "billing", "reason": "A charge.", "confidence": 0.9}))

    fact = await carry_out(routing())

    assert isinstance(fact, StepSucceeded)
    assert fact.ports == ("billing",)
    assert fact.output == {"chosen": "billing", "reason": "A charge.", "confidence": 0.9}
    asked = model_server.calls[0].body["messages"][-1]["content"]
    assert "- technical: Something does not work" in asked
    assert '<untrusted source="input">I was charged twice.</untrusted>' in asked


async def test_an_unsure_choice_takes_the_other_way_and_keeps_its_reason(model_server: ModelServer) -> None:
    model_server.script(Reply(json={"choice": "billing", "reason": "Perhaps.", "confidence": 0.59}))

    fact = await carry_out(routing())

    assert isinstance(fact, StepSucceeded)
    assert fact.ports == ("other",)
    assert fact.output["reason"] == "Perhaps."


async def test_several_ports_may_be_taken_when_the_step_says_so(model_server: ModelServer) -> None:
    model_server.script(Reply(json={"choices": ["billing", "technical"], "reason": "Both.", "confidence": 0.9}))

    fact = await carry_out(routing(multi=True))

    assert isinstance(fact, StepSucceeded)
    assert fact.ports == ("billing", "technical")


async def test_a_port_that_does_not_exist_is_invalid_output(model_server: ModelServer) -> None:
    model_server.script(Reply(json={"choice": "sales", "reason": "?", "confidence": 1}))

    fact = await carry_out(routing())

    assert isinstance(fact, StepFailed)
    assert fact.error.cls is ErrorClass.INVALID_OUTPUT


@pytest.mark.parametrize(
    ("message", "port"),
    [
        ("I was charged twice on my last invoice. Can you check it?", "billing"),
        ("The page shows an error and nothing works since yesterday.", "technical"),
        ("Hello!", "other"),
    ],
)
async def test_the_demo_judge_routes_by_what_the_text_speaks_of(message: str, port: str) -> None:
    fact = await carry_out(a_route_step(message, ROUTES))

    assert isinstance(fact, StepSucceeded)
    assert fact.ports == (port,)
