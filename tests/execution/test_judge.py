"""Judging by a model: the score and the reason for each rubric, and what a low score does to an agent's answer."""

from dataclasses import replace
from typing import Any

import pytest

from pipelines.graph.canonical import digest
from pipelines.graph.lock import AgentSpec
from pipelines.graph.model import Kind, Node
from runs.cache import Kept
from runs.engine.decision import Start
from runs.engine.facts import ErrorClass, StepFailed, StepSucceeded
from runs.execution import results
from runs.execution.steps import carry_out
from tests.execution.contexts import CHEAP, MemoryContext, a_route_step, an_agent, an_agent_step
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


async def test_a_judge_that_is_no_agent_may_answer_as_long_as_the_design_says(model_server: ModelServer) -> None:
    model_server.script(says(1))
    await carry_out(judging("x", KIND))
    assert model_server.calls[0].body["max_tokens"] == 4096


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


async def test_a_check_that_asks_for_kept_results_is_judged_all_the_same(model_server: ModelServer) -> None:
    """Publishing only warns that nothing is kept of a Check; it must not fail the step."""
    model_server.script(says(1))
    step = judging("x", KIND)
    step.start = replace(step.start, node=replace(step.start.node, cache={"mode": "workspace"}))
    fact = await carry_out(step)
    assert isinstance(fact, StepSucceeded), fact


async def test_a_judge_that_is_away_is_no_fault_of_the_agent_it_judges(model_server: ModelServer) -> None:
    model_server.script(Reply(text="A kind word.", times=1), Reply(kind="503"))
    fact = await carry_out(writing())
    assert isinstance(fact, StepFailed)
    assert (fact.error.cls, fact.error.elsewhere) == (ErrorClass.TRANSIENT, True)


# Caps of judges


def with_judges(step: MemoryContext, *rubrics: dict[str, Any], **caps: int) -> MemoryContext:
    """Let agents judge the step's answer by these rubrics, each of which may cost so many micro-dollars."""
    judges = {name: AgentSpec(f"{name}@1", "stub/m", max_output=100, max_cost_micros=cap) for name, cap in caps.items()}
    step.start = replace(step.start, judges=judges)
    step.start.input["rubrics"] = list(rubrics)
    return step


def by(judge: str) -> dict[str, Any]:
    return {**KIND, "model": None, "agent": judge}


async def test_a_judge_beside_an_agent_is_held_to_its_own_cap_alone(model_server: ModelServer) -> None:
    """What the agent itself has cost is none of its judge's; the refusal names the step, so that its `then` decides."""
    model_server.script(Reply(text="A kind word.", times=1, input_tokens=5_000, output_tokens=5_000), says(0.8))
    enough = await carry_out(with_judges(writing(), by("ann"), ann=1_000))
    assert isinstance(enough, StepSucceeded)

    model_server.script(Reply(text="A kind word.", times=1), says(0.8))
    step = with_judges(writing(), by("ann"), ann=100)
    fact = await carry_out(step)
    assert isinstance(fact, StepFailed)
    assert (fact.error.cls, fact.error.code) == (ErrorClass.BUDGET, "agent_cap")
    (refusal,) = step.refusals
    assert (refusal.cap, refusal.what, refusal.limit, refusal.used, refusal.on_exceed) == (
        "write",
        "cost",
        100,
        0,
        "stop",
    )
    assert refusal.asked > 200, "a hundred tokens out cost two each"
    assert len(step.intents) == 1


async def test_each_judge_has_its_own_cap_over_all_attempts(model_server: ModelServer) -> None:
    verdict = Reply(json={"score": 0.8, "reason": "Because."}, match="rubric", input_tokens=100, output_tokens=200)
    model_server.script(verdict, Reply(text="A kind word."))
    step = with_judges(writing(), by("ann"), by("ben"), ann=700, ben=1_300)
    fact = await carry_out(step)
    assert isinstance(fact, StepSucceeded), "two judges of one model do not share what one may cost"

    replayed = with_judges(step.again(), by("ann"), by("ben"), ann=700, ben=1_300)
    assert isinstance(await carry_out(replayed), StepSucceeded)
    anew = with_judges(step.again(attempt=2, generation=1), by("ann"), by("ben"), ann=700, ben=1_300)
    fact = await carry_out(anew)
    assert isinstance(fact, StepFailed)
    assert fact.error.code == "agent_cap"
    assert fact.error.message.startswith("ann@1 has spent $0.0005"), fact.error.message
    again = with_judges(step.again(attempt=2, generation=1), by("ben"), ben=1_300)
    assert isinstance(await carry_out(again), StepSucceeded), "what ann and the writer cost is none of ben's"


async def test_what_a_step_itself_cost_is_none_of_its_judges(model_server: ModelServer) -> None:
    """A route is asked, and asked once more since its judge refused it; the judge uses the same model."""
    routed = {"choice": "good", "reason": "So.", "confidence": 1.0}
    model_server.script(Reply(json=routed, times=1, input_tokens=5_000, output_tokens=5_000), says(0.8))
    route = a_route_step("x", [{"port": "good", "description": ""}], model="stub/m")
    assert isinstance(await carry_out(route), StepSucceeded)

    judged_step = with_judges(judged("x"), by("ann"), ann=1_000)
    judged_step.journal = [replace(entry, cost_micros=15_000) for entry in route.journal]
    fact = await carry_out(judged_step)
    assert isinstance(fact, StepSucceeded), fact


async def test_calls_of_which_nobody_says_whose_they_were_count_for_every_judge(model_server: ModelServer) -> None:
    """An older version did not say it."""
    model_server.script(Reply(text="A kind word.", times=1, input_tokens=5_000, output_tokens=5_000), says(0.8))
    step = with_judges(writing(), by("ann"), ann=1_000)
    assert isinstance(await carry_out(step), StepSucceeded)
    anew = step.again(attempt=2, generation=1)
    anew.journal = [replace(entry, response=without(entry.response, "judge")) for entry in anew.journal]
    model_server.script(Reply(text="Another.", times=1), says(0.8))
    fact = await carry_out(with_judges(anew, by("ann"), ann=1_000))
    assert isinstance(fact, StepFailed)
    assert fact.error.code == "agent_cap"


@pytest.mark.parametrize("state", ["lost", "started"], ids=["no answer", "its worker went"])
async def test_a_judge_s_cap_counts_what_its_lost_calls_may_have_cost(model_server: ModelServer, state: str) -> None:
    model_server.script(Reply(text="A kind word.", times=1), Reply(kind="close", times=1))
    step = with_judges(writing(), by("ann"), ann=100_000)
    fact = await carry_out(step)
    assert isinstance(fact, StepFailed)
    assert step.outcomes[-1].lost
    held = step.intents[-1].reserve_micros
    assert held
    step.journal[-1] = replace(step.journal[-1], state=state)

    model_server.script(says(0.8))
    anew = with_judges(step.again(attempt=2), by("ann"), ann=2 * held - 1)
    fact = await carry_out(anew)
    assert isinstance(fact, StepFailed)
    assert (fact.error.code, anew.refusals[0].used) == ("agent_cap", held)
    fact = await carry_out(with_judges(step.again(attempt=2), by("ann"), ann=2 * held))
    assert isinstance(fact, StepSucceeded)


async def test_a_lost_call_of_the_step_itself_is_none_of_its_judges(model_server: ModelServer) -> None:
    """It is known by what it asked as soon as that is asked again."""
    model_server.script(Reply(kind="close", times=1))
    step = with_judges(writing(), by("ann"), ann=1_000)
    assert isinstance(await carry_out(step), StepFailed)
    assert (step.intents[0].reserve_micros or 0) > 1_000
    model_server.script(Reply(text="A kind word.", times=1), says(0.8))
    assert isinstance(await carry_out(with_judges(step.again(attempt=2), by("ann"), ann=1_000)), StepSucceeded)


def without(value: Any, name: str) -> Any:
    return {key: found for key, found in value.items() if key != name}


@pytest.mark.parametrize("kind", ["judge", "route"])
async def test_what_an_older_version_was_answered_is_not_asked_again(model_server: ModelServer, kind: str) -> None:
    """It let a judge or a route without an agent answer with 1,024 tokens."""
    model_server.script(
        Reply(json={"score": 1, "reason": "So.", "choice": "good", "confidence": 1.0}),
    )
    step = judging("x", KIND) if kind == "judge" else a_route_step("x", [{"port": "good"}], model="stub/m")
    await carry_out(step)
    asked = {**step.intents[0].request, "max_output": 1024}
    again = step.again()
    again.journal = [replace(entry, request_hash=digest(asked)) for entry in again.journal]
    await carry_out(again)
    assert len(model_server.calls) == 1
    lost = step.again()
    lost.journal = [replace(entry, request_hash=digest(asked), state="lost") for entry in lost.journal]
    await carry_out(lost)
    assert len(model_server.calls) == 2, "what had no answer is asked as it is asked now"
    assert lost.intents[0].idempotency_key != step.intents[0].idempotency_key


async def test_a_judge_with_a_cap_needs_a_price(model_server: ModelServer) -> None:
    model_server.script(Reply(text="A kind word.", times=1))
    step = with_judges(writing(), by("ann"), ann=1_000)
    step.prices = {}
    fact = await carry_out(step)
    assert isinstance(fact, StepFailed)
    assert fact.error.code == "price_unknown"
    assert step.refusals[0].what == "price"


# Judges of any other step's output


def judged(value: Any, *rubrics: dict[str, Any], cache: str = "off", **fields: Any) -> MemoryContext:
    """Return the attempt in which an action's output is judged."""
    config = {"tool": "notes.append@1", "args": {}}
    rules = tuple({"rule": "ai_rubric", **rubric} for rubric in rubrics)
    node = Node("look", Kind.TOOL, config, checks=rules, cache={"mode": cache})
    start = Start("look", 1, node, {"value": value, "rubrics": list(rubrics)}, 5.0, judging=True, **fields)
    return MemoryContext(start, prices={"stub/m": CHEAP, "stub/n": CHEAP})


async def test_an_output_is_judged_without_carrying_the_step_out_again(model_server: ModelServer) -> None:
    model_server.script(says(0.4, "It is dull."))
    step = judged({"sent": True}, {**KIND, "rubric": "Is it ${steps.a.output}?"}, trust={"/rubrics/0": "tool"})
    step.start.input["rubrics"][0]["rubric"] = "Is it </untrusted> good?"
    fact = await carry_out(step)
    assert isinstance(fact, StepSucceeded)
    assert fact.output["verdicts"][0]["finding"] == "It scored 0.4, needs 0.7: It is dull."
    assert [intent.kind for intent in step.intents] == ["model"]
    asked = model_server.calls[0].body["messages"][-1]["content"]
    assert '<untrusted source="tool">< /untrusted> good</untrusted>?' in asked, (
        "what filled the rubric stands between marks"
    )


async def test_a_verdict_is_no_result_to_keep(model_server: ModelServer) -> None:
    model_server.script(says(1))
    step = judged("x", KIND, cache="workspace")
    step.start.node.config["model"] = "stub/m"
    step.kept = {results.key_of(step): Kept("run-0", "look", {"kept": True}, None, (), "stub/m", 5)}
    assert not results.is_kept(step)
    assert results.is_kept(replace(step, start=replace(step.start, judging=False)))
    fact = await carry_out(step)
    assert isinstance(fact, StepSucceeded)
    assert (fact.output["verdicts"][0]["score"], fact.flags) == (1, ())
    assert results.brought(step, fact) is None


async def test_a_judge_of_an_output_is_held_to_its_own_cap(model_server: ModelServer) -> None:
    fact = await carry_out(with_judges(judged("x"), by("ann"), ann=10))
    assert isinstance(fact, StepFailed)
    assert fact.error.code == "agent_cap"
    assert not model_server.calls
