"""Carries out one attempt of a step and says how it ended, as a fact for the engine."""

import dataclasses
import logging
import secrets
import time
from collections.abc import Awaitable, Callable

from pipelines.graph.canonical import sanitise
from pipelines.graph.model import Kind
from runs.engine.facts import ErrorClass, PipelineWanted, StepBlocked, StepError, StepFailed, StepSucceeded
from runs.execution import agent, judge, merging, results, router, shared_board
from runs.execution.calls import Calls
from runs.execution.context import StepAborted, StepContext
from runs.execution.dispatch import Wish, call_tool
from runs.execution.failures import Blocked, Failure, Wanted, config

log = logging.getLogger("baton.execution")

Result = StepSucceeded | StepFailed | StepBlocked | PipelineWanted


async def carry_out(context: StepContext) -> Result:
    """Return how the attempt ended. Never raises, except that cancelling passes through.

    Runs without yielding to the event loop until its first `context.begin`.
    """
    start, began = context.start, time.monotonic()
    calls = Calls(context)
    try:
        fact: Result | None = await results.earlier(context)
        if fact is None:
            carry = judge.run if start.judging else _KINDS[start.node.kind]
            fact = await carry(calls)
            if calls.is_sanitised:
                fact = dataclasses.replace(fact, flags=(*fact.flags, results.SANITISED))
    except Blocked as blocked:
        fact = StepBlocked(
            start.path,
            start.attempt,
            kind=blocked.kind,
            payload=blocked.payload,
            title=blocked.title,
            why=blocked.why,
            trust=blocked.trust,
            call=blocked.call,
        )
    except Wanted as wanted:
        fact = PipelineWanted(start.path, start.attempt, wanted.pipeline, wanted.inputs, wanted.call)
    except (Failure, StepAborted) as failure:
        fact = StepFailed(start.path, start.attempt, failure.error, jitter=_jitter())
    except Exception as error:
        log.exception("Step %s of run %s broke", start.path, context.run_id)
        message = f"Baton itself failed at this step: {type(error).__name__}. The worker's log has the details."
        fact = StepFailed(start.path, start.attempt, StepError(ErrorClass.INTERNAL, "internal", message))
    fact = dataclasses.replace(fact, machine_ms=round((time.monotonic() - began) * 1000))
    return _marked(fact) if calls.journal.maybe_done else fact


def _marked(fact: Result) -> Result:
    """Return how an attempt ended whose step has changed something, or may have."""
    if isinstance(fact, StepFailed):
        return dataclasses.replace(fact, error=dataclasses.replace(fact.error, maybe_done=True))
    return dataclasses.replace(fact, maybe_done=True)


async def _tool(calls: Calls) -> StepSucceeded:
    start = calls.start
    if start.tool is None:
        raise config("no_such_tool", f"The version has no tool for {start.path}. Choose one and publish again.")
    args, _ = sanitise(start.input["args"])
    done = await call_tool(calls, Wish(start.tool, args))
    meta = {**({"args": done.edited} if done.edited else {}), **({"done_before": done.before} if done.before else {})}
    return StepSucceeded(start.path, start.attempt, done.result, meta)


async def _agent(calls: Calls) -> StepSucceeded:
    return await judge.held_against_rubrics(calls, await agent.run(calls))


_KINDS: dict[Kind, Callable[[Calls], Awaitable[StepSucceeded]]] = {
    Kind.AGENT: _agent,
    Kind.TOOL: _tool,
    Kind.DECIDE: router.run,
    Kind.CHECK: judge.run,
    Kind.COMBINE: merging.run,
    Kind.BOARD: shared_board.run,
}


def _jitter() -> float:
    return secrets.randbelow(1_000_000) / 1_000_000
