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


@pytest.mark.parametrize(("window", "most"), [(None, 4096), (200_000, 4096), (3_000, 1_500)])
async def test_an_answer_may_have_what_the_design_says_and_never_more_than_half_of_the_model(
    model_server: ModelServer, window: int | None, most: int
) -> None:
    model_server.script(Reply(json={"choice": "billing", "reason": "A charge.", "confidence": 0.9}))
    step = routing()
    step.windows = {"stub/m": window} if window else {}
    await carry_out(step)
    assert model_server.calls[0].body["max_tokens"] == most
    assert step.intents[0].max_tokens > most


async def test_an_unsure_choice_takes_the_other_way_and_keeps_its_reason(model_server: ModelServer) -> None:
    model_server.script(Reply(json={"choice": "billing", "reason": "Perhaps.", "confidence": 0.59}))

    fact = await carry_out(routing())

    assert isinstance(fact, StepSucceeded)
    assert fact.ports == ("other",)
    assert fact.output["reason"] == "Perhaps."


@pytest.mark.parametrize(
    ("least", "confidence", "port"),
    [
        (0.95, 0.9, "other"),
        (0.95, 0.95, "billing"),
        (0.2, 0.25, "billing"),
        (0.2, 0.19, "other"),
        (0.0, 0.0, "billing"),
    ],
)
async def test_how_sure_is_sure_is_the_authors_to_say(
    model_server: ModelServer, least: float, confidence: float, port: str
) -> None:
    model_server.script(Reply(json={"choice": "billing", "reason": "So.", "confidence": confidence}))

    fact = await carry_out(routing(min_confidence=least))

    assert isinstance(fact, StepSucceeded)
    assert fact.ports == (port,)


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
