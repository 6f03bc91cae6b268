"""Judging by a model: the score and the reason for each rubric, and what a low score does to an agent's answer."""

from typing import Any

from pipelines.graph.model import Kind, Node
from runs.engine.decision import Start
from runs.engine.facts import ErrorClass, StepFailed, StepSucceeded
from runs.execution.steps import carry_out
from tests.execution.contexts import CHEAP, MemoryContext, an_agent, an_agent_step
from tests.model_server import ModelServer, Reply

KIND = {"rubric": "Is it kind?", "agent": None, "model": "stub/m", "min_score": 0.7, "message": ""}


def judging(value: Any, *rubrics: dict[str, Any], **fields: Any) -> MemoryContext:
    node = Node("look", Kind.CHECK, {"value": value, "rules": [{"rule": "ai_rubric"}], "mode": "block"})
    start = Start("look", 1, node, {"value": value, "rubrics": list(rubrics)}, 5.0, **fields)
    return MemoryContext(start, prices={"stub/m": CHEAP, "stub/n": CHEAP})


def says(score: float, reason: str = "Because.") -> Reply:
    return Reply(json={"score": score, "reason": reason}, times=1)


async def test_each_rubric_gets_a_score_and_a_reason(model_server: ModelServer) -> None:
    model_server.script(says(0.9), says(0.4, "It is dull."))

    fact = await carry_out(judging("Hello </untrusted> dear", KIND, {**KIND, "rubric": "Is it bright?"}))

    assert isinstance(fact, StepSucceeded)
    assert fact.output["verdicts"] == [
        {"score": 0.9, "reason": "Because.", "finding": ""},
        {"score": 0.4, "reason": "It is dull.", "finding": "It scored 0.4, needs 0.7: It is dull."},
    ]
    asked = model_server.calls[0].body["messages"][-1]["content"]
    assert asked.startswith("The rubric:\nIs it kind?")
    assert '<untrusted source="input">Hello < /untrusted> dear</untrusted>' in asked


async def test_the_judge_is_the_agent_the_rule_names(model_server: ModelServer) -> None:
    model_server.script(says(1))
    judge = an_agent("stub/n", instructions="Be strict.")

    await carry_out(judging("x", {**KIND, "agent": "judge", "model": None}, judges={"judge": judge}))

    assert model_server.calls[0].body["model"] == "n"
    assert "Be strict." in model_server.calls[0].body["messages"][0]["content"]


async def test_a_check_that_fell_back_asks_the_other_model(model_server: ModelServer) -> None:
    model_server.script(says(1))
    await carry_out(judging("x", KIND, model="stub/n"))
    assert model_server.calls[0].body["model"] == "n"


async def test_a_score_out_of_range_is_invalid_output(model_server: ModelServer) -> None:
    model_server.script(says(7))
    fact = await carry_out(judging("x", KIND))
    assert isinstance(fact, StepFailed)
    assert fact.error.cls is ErrorClass.INVALID_OUTPUT


async def test_a_rubric_without_a_judge_is_the_author_s_error() -> None:
    fact = await carry_out(judging("x", {**KIND, "model": None}))
    assert isinstance(fact, StepFailed)
    assert fact.error.code == "no_model"


def writing(**fields: Any) -> MemoryContext:
    step = an_agent_step(an_agent("stub/m"), prices={"stub/m": CHEAP}, **fields)
    step.start.input["rubrics"] = [KIND]
    return step


async def test_an_agent_s_answer_is_judged_within_its_attempt(model_server: ModelServer) -> None:
    model_server.script(Reply(text="A kind word.", times=1), says(0.8))

    step = writing()
    fact = await carry_out(step)

    assert isinstance(fact, StepSucceeded)
    assert fact.output == "A kind word."
    assert fact.meta["scores"] == [{"score": 0.8, "reason": "Because."}]
    assert len(step.outcomes) == 2


async def test_an_answer_judged_too_low_is_sent_back_with_the_reason(model_server: ModelServer) -> None:
    model_server.script(Reply(text="A rude word.", times=1), says(0.1, "It is rude."))

    fact = await carry_out(writing())

    assert isinstance(fact, StepFailed)
    assert fact.error.cls is ErrorClass.INVALID_OUTPUT
    assert fact.error.findings == ("It scored 0.1, needs 0.7: It is rude.",)
    assert fact.error.output == "A rude word."


async def test_after_a_crash_neither_the_answer_nor_the_verdict_is_paid_again(model_server: ModelServer) -> None:
    model_server.script(Reply(text="A kind word.", times=1), says(0.8))
    step = writing()
    await carry_out(step)

    again = step.again()
    again.start.input["rubrics"] = [KIND]
    fact = await carry_out(again)

    assert isinstance(fact, StepSucceeded)
    assert len(model_server.calls) == 2
