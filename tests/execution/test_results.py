"""A step whose results are kept is not carried out where one is there, and the key covers all it depends on."""

from dataclasses import replace
from typing import Any

import pytest

from runs.cache import Kept
from runs.engine.facts import StepSucceeded
from runs.execution import results
from runs.execution.steps import carry_out
from tests.execution.contexts import MemoryContext, a_route_step, a_tool_step, an_agent, an_agent_step

KEPT = Kept("run-0", "draft", "as before", {"model": "demo/echo"}, (), "demo/echo", 120)


def caching(step: MemoryContext, mode: str = "workspace", **start: Any) -> MemoryContext:
    node = replace(step.start.node, cache={"mode": mode, "ttl": None, "key": None})
    step.start = replace(step.start, node=node, **start)
    return step


def holding(step: MemoryContext, kept: Kept = KEPT) -> MemoryContext:
    """Return the step with a result under its key."""
    step.kept = {results.key_of(step): kept}
    return step


async def test_a_kept_result_is_used_without_a_call_and_names_its_origin() -> None:
    step = holding(caching(an_agent_step(an_agent())))
    fact = await carry_out(step)
    assert isinstance(fact, StepSucceeded)
    assert (fact.output, fact.flags, step.intents) == ("as before", ("cached",), [])
    assert fact.meta == {"model": "demo/echo", "cached": {"run": "run-0", "path": "draft"}}
    brought = results.brought(step, fact)
    assert brought is not None
    assert brought.origin is KEPT


async def test_a_result_is_brought_to_be_kept() -> None:
    step = caching(an_agent_step(an_agent()))
    fact = await carry_out(step)
    brought = results.brought(step, fact)
    assert brought is not None
    assert (brought.key, brought.origin, brought.ttl) == (results.key_of(step), None, results.TTL_SECONDS)
    assert len(step.intents) == 1


@pytest.mark.parametrize(
    "step",
    [
        an_agent_step(an_agent()),
        caching(an_agent_step(an_agent()), "off"),
        caching(an_agent_step(an_agent(), generation=1)),
        replace(caching(an_agent_step(an_agent())), rehearsal=True),
        caching(a_tool_step("notes.append@1", {"text": "x"})),
        caching(a_tool_step("http.request@1", {"method": "POST", "url": "https://x.example/"})),
        caching(a_tool_step("email.send@1", {"to": "a@b.c", "subject": "s", "body": "b"})),
    ],
    ids=["not wanted", "off", "ordered anew", "rehearsal", "reversible", "post", "irreversible"],
)
async def test_a_step_that_must_be_carried_out_does_not_look(step: MemoryContext) -> None:
    step.kept = {results.key_of(step): KEPT}
    assert await results.earlier(step) is None


async def test_reading_over_http_is_kept() -> None:
    step = holding(caching(a_tool_step("http.request@1", {"method": "GET", "url": "https://x.example/"})))
    assert await results.earlier(step) is not None


async def test_a_kept_choice_takes_the_same_way() -> None:
    step = caching(a_route_step("value", [{"port": "yes"}, {"port": "no"}]))
    step = holding(step, replace(KEPT, output={"chosen": "no"}, ports=("no",)))
    fact = await carry_out(step)
    assert isinstance(fact, StepSucceeded)
    assert fact.ports == ("no",)


def _with_config(step: MemoryContext, **config: Any) -> MemoryContext:
    node = replace(step.start.node, config={**step.start.node.config, **config})
    step.start = replace(step.start, node=node)
    return step


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        (caching(an_agent_step(an_agent())), True),
        (caching(an_agent_step(an_agent(), timeout=9.0, seconds_left=9.0)), True),
        (_with_config(caching(an_agent_step(an_agent())), prompt="Say ${input.what}."), True),
        (caching(an_agent_step(an_agent(), generation=2)), True),
        (caching(an_agent_step(an_agent(), "Say more.")), False),
        (caching(an_agent_step(an_agent("demo/writer"))), False),
        (caching(an_agent_step(an_agent(instructions="Be brief."))), False),
        (caching(an_agent_step(an_agent(), model="demo/judge")), False),
        (caching(an_agent_step(an_agent(), output_schema={"type": "object"})), False),
        (caching(an_agent_step(an_agent(), config={"max_turns": 3})), False),
        (caching(an_agent_step(an_agent(), trust={"/prompt": "tool"})), False),
        (caching(an_agent_step(an_agent(), cache_words="v2")), False),
        (caching(an_agent_step(an_agent(), judges={"judge": an_agent("demo/judge")})), False),
        (caching(an_agent_step(an_agent()), "pipeline"), False),
        (caching(an_agent_step(an_agent()), "run"), False),
    ],
)
def test_the_key_covers_what_the_result_depends_on(other: MemoryContext, is_same: bool) -> None:
    assert (results.key_of(other) == results.key_of(caching(an_agent_step(an_agent())))) is is_same


@pytest.mark.parametrize(("mode", "field"), [("run", "run_id"), ("pipeline", "pipeline_id")])
def test_a_result_stays_within_its_run_or_its_pipeline(mode: str, field: str) -> None:
    mine, other = (caching(an_agent_step(an_agent()), mode) for _ in range(2))
    assert results.key_of(mine) == results.key_of(other)
    setattr(other, field, "another")
    assert results.key_of(mine) != results.key_of(other)
