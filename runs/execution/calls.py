"""Every outside call of one attempt: replayed from the journal, or committed, made in time, and settled.

Nothing here yields to the event loop before `context.begin`, so that the worker can commit the first intent together
with the decision that started the step.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipelines.graph.canonical import canonical_json, digest, digest_of, sanitise
from pipelines.graph.lock import MAX_OUTPUT, AgentSpec
from pipelines.graph.model import Json
from pipelines.graph.money import dollars
from pipelines.graph.tools import Effect, ToolSpec
from runs.engine.budget import Refusal
from runs.engine.decision import Start
from runs.engine.facts import ErrorClass
from runs.execution import answers, pricing, spans
from runs.execution.ahead import Ahead
from runs.execution.context import JUDGE, MODEL, TOOL, CallIntent, CallOutcome, StepContext, ToolCall
from runs.execution.failures import AnswerLost, Failure
from runs.execution.journal import Earlier, Journal
from runs.execution.models import registry
from runs.execution.models.values import ModelAnswer, ModelRequest, Usage

log = logging.getLogger("baton.execution")

MOST_PROMPT = 4 * 1024 * 1024
"""Bytes of one request to a model, with all that was said before it."""


@dataclass(frozen=True, slots=True)
class ToolOrder:
    """A tool call as it may be made: what is sent, its earlier sendings, the approval it consumes."""

    spec: ToolSpec
    args: Mapping[str, Json]
    request: Json
    earlier: Earlier | None = None
    approval: str | None = None
    call_id: str = ""
    egress: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Settled:
    """What an answered call leaves behind."""

    response: Json
    usage: Usage | None = None
    cost_micros: int | None = 0
    attributes: Mapping[str, Json] = field(default_factory=dict)


class Calls:
    """The calls of one attempt, one after the other."""

    def __init__(self, context: StepContext) -> None:
        self.context = context
        self.journal = Journal(context.journal)
        # Whether something was answered that the database cannot hold as it came.
        self.is_sanitised = False
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + context.start.timeout

    @property
    def start(self) -> Start:
        return self.context.start

    async def ask(self, request: ModelRequest, judge: AgentSpec | None = None) -> ModelAnswer:
        """Return the model's answer, from the journal if it was given before. Raise a Failure, or StepAborted.

        The caps of the step and of whoever carries it out are the engine's to keep. `judge` is an agent that is asked
        besides, and keeps its own.
        """
        body = request.as_json(self.start.generation)
        sent = canonical_json(body)
        earlier = self.journal.take(request_hash := digest_of(sent)) or self._as_before(request, body)
        if earlier is not None:
            self.journal.belongs_to(earlier, judge.id if judge else "")
        if earlier is not None and earlier.is_finished:
            return ModelAnswer.from_json(earlier.last.response)
        self._check_size(request, len(sent))
        input_tokens = pricing.tokens_in(len(sent))
        reserve = pricing.reservation(self.context.prices.get(request.model), input_tokens, request.max_output)
        if judge is not None:
            self._hold_to_cap(judge, reserve, request.model)
        intent = self._intent(
            earlier,
            kind=MODEL,
            name=request.model,
            request=body,
            request_hash=request_hash,
            reserve_micros=reserve,
            max_tokens=input_tokens + request.max_output,
        )
        ahead = Ahead(lambda may_leave: self._answered(request, intent, judge, may_leave))
        try:
            settled = await self._make(intent, spans.chat(request), ahead.finish, ahead.prepare)
        finally:
            ahead.drop()
        self._count(judge, settled.cost_micros)
        return ModelAnswer.from_json(settled.response)

    def _as_before(self, request: ModelRequest, body: Mapping[str, Json]) -> Earlier | None:
        """Return what was answered to the same request by a version that let its answer have fewer tokens."""
        if request.formerly is None:
            return None
        return self.journal.take(digest({**body, "max_output": request.formerly}), finished=True)

    def most_output(self, model: str, agent: AgentSpec | None) -> int:
        """Return how many tokens an answer may have: what the agent says, else the default, or half of what the model
        reads and writes in one call where that is less."""
        if agent is not None:
            return agent.max_output
        window = self.context.windows.get(model)
        return MAX_OUTPUT if window is None else max(1, min(MAX_OUTPUT, window // 2))

    def read(self, answer: ModelAnswer, schema: Json, model: str) -> Json:
        """Return what `answers.read` makes of an answer; raise its Failures."""
        value, changed = answers.read(answer, schema, model)
        self.is_sanitised |= changed
        return value

    async def act(self, order: ToolOrder, run: Callable[[ToolCall], Awaitable[Json]]) -> Json:
        """Return a tool's result, made under an intent. Raise a Failure (AnswerLost where it broke) or StepAborted."""
        intent = self._intent(
            order.earlier,
            kind=TOOL,
            name=order.spec.id,
            request=order.request,
            request_hash=digest(order.request),
            effect=str(order.spec.effect_of(order.args)),
            delivery=str(order.spec.delivery_of(order.args)),
            approval=order.approval,
        )
        if order.approval:
            self.journal.consumed.add(order.approval)

        async def carried_out() -> _Settled:
            left = self._deadline - self._loop.time()
            context = self.context
            key = intent.idempotency_key
            call = ToolCall(context.run_id, context.workspace_id, key, left, context.now(), order.egress)
            return _Settled(self._clean(await run(call)))

        told = spans.tool(order.spec.id, order.call_id, order.args)
        settled = await self._make(intent, told, carried_out)
        self.journal.in_doubt.discard(intent.idempotency_key)
        if intent.effect != Effect.NONE:
            self.journal.acted.add(intent.idempotency_key)
        return settled.response

    def _clean(self, value: Json) -> Json:
        clean, changed = sanitise(value)
        self.is_sanitised |= changed
        return clean

    def _intent(self, earlier: Earlier | None, **fields: Any) -> CallIntent:
        n = self.journal.next_n()
        key = earlier.idempotency_key if earlier else f"{self.context.run_id}/{self.start.path}/{n}"
        return CallIntent(self.start.path, self.start.attempt, n, idempotency_key=key, **fields)

    def _check_size(self, request: ModelRequest, size: int) -> None:
        """Refuse what surely does not fit, before anything is reserved; a closer case is the provider's to say."""
        window = self.context.windows.get(request.model)
        if size > MOST_PROMPT:
            raise Failure(
                ErrorClass.LIMIT,
                "prompt_too_large",
                f"What {self.start.path} asks has {size:,} bytes; {MOST_PROMPT:,} is the most. Send less of it.",
            )
        if window is not None and size // pricing.MOST_BYTES_PER_TOKEN + request.max_output > window:
            raise Failure(
                ErrorClass.LIMIT,
                "context_too_large",
                f"What {self.start.path} asks has about {size // pricing.MOST_BYTES_PER_TOKEN:,} tokens and may be "
                f"answered with {request.max_output:,}; {request.model} takes {window:,} in all. Shorten the prompt or "
                "the history, lower max_output, or choose a model that reads more.",
            )

    def _hold_to_cap(self, judge: AgentSpec, reserve: int | None, model: str) -> None:
        """Refuse a judge's call beyond what the judge may cost: beside others, its cap is none of the step's."""
        cap, spent = judge.max_cost_micros, self.journal.unknown[model] + self.journal.judged[judge.id]
        if cap is None or (reserve is not None and spent + reserve <= cap):
            return
        if reserve is None:
            code, what = "price_unknown", "price"
            why = f"The price of {model} is unknown, so the cap of {judge.id} cannot hold. Give its connection a price."
        else:
            code, what = "agent_cap", "cost"
            why = f"{judge.id} has spent ${dollars(spent)} of the ${dollars(cap)} that it may cost here, and its next"
            why = f"{why} call may cost ${dollars(reserve)}. Raise its cap or let it judge less."
        path = self.start.path
        self.context.stop_at(
            Refusal(code, why, path, what, limit=cap, used=spent, asked=reserve or 0, on_exceed="stop")
        )

    def _count(self, judge: AgentSpec | None, cost: int | None) -> None:
        if judge is not None:
            self.journal.judged[judge.id] += cost or 0

    async def _answered(
        self, request: ModelRequest, intent: CallIntent, judge: AgentSpec | None, may_leave: asyncio.Event
    ) -> _Settled:
        adapter = await registry.adapter(self.context.workspace_id, request.model)
        answer = await adapter.ask(request, intent.idempotency_key, may_leave)
        response = self._clean({**answer.as_json(), JUDGE: judge.id if judge else ""})
        # A server that counts nothing is charged by our own estimate rather than not at all.
        written = len(answer.text.encode("utf-8", "replace")) + sum(len(use.raw) for use in answer.tool_uses)
        usage = answer.usage or Usage(intent.max_tokens - request.max_output, pricing.tokens_in(written))
        cost = pricing.cost(self.context.prices.get(request.model), usage)
        return _Settled(response, usage, cost, spans.answered(answer, adapter.provider, usage, cost))

    async def _make(
        self,
        intent: CallIntent,
        attributes: dict[str, Json],
        work: Callable[[], Awaitable[_Settled]],
        prepare: Callable[[], None] | None = None,
    ) -> _Settled:
        if self._deadline <= self._loop.time():
            raise Failure(ErrorClass.TIMEOUT, "timeout", self._too_late())
        asked = self._loop.time()
        await self.context.begin(intent, prepare)
        self._deadline += self._loop.time() - asked  # the wait for a turn or for the database is not the step's time
        started = self.context.now()
        try:
            async with asyncio.timeout_at(self._deadline):
                settled = await work()
        except TimeoutError:
            late = AnswerLost(ErrorClass.TIMEOUT, "timeout", self._too_late())
            self._failed(intent, late, started, attributes)
            raise late from None
        except Failure as failure:
            self._failed(intent, failure, started, attributes)
            raise
        except BaseException as stopped:
            # Cancelled or broken in the middle: the other side may have acted, so the journal must not say it did not.
            why = f"The call was interrupted ({type(stopped).__name__})."
            self._failed(intent, AnswerLost(ErrorClass.INTERNAL, "interrupted", why), started, attributes)
            if intent.kind == TOOL and isinstance(stopped, Exception):
                log.exception("%s broke at step %s of run %s", intent.name, intent.path, self.context.run_id)
                raise _broken(intent, stopped) from stopped
            raise
        usage = settled.usage
        outcome = CallOutcome(
            response=settled.response,
            error=None,
            input_tokens=usage.input if usage else None,
            output_tokens=usage.output if usage else None,
            cost_micros=settled.cost_micros,
            attributes={**attributes, **settled.attributes},
            started=started,
            finished=self.context.now(),
        )
        self.context.finish(intent, outcome)
        return settled

    def _failed(self, intent: CallIntent, failure: Failure, started: datetime, attributes: Mapping[str, Json]) -> None:
        lost = isinstance(failure, AnswerLost)
        if lost and intent.effect != Effect.NONE:
            self.journal.in_doubt.add(intent.idempotency_key)
        outcome = CallOutcome(
            response=None,
            error=failure.error,
            input_tokens=None,
            output_tokens=None,
            cost_micros=None,
            attributes={**attributes, **spans.failed(failure.error)},
            started=started,
            finished=self.context.now(),
            lost=lost,
        )
        self.context.finish(intent, outcome)

    def _too_late(self) -> str:
        return f"{self.start.path} did not finish within its {self.start.timeout:g} seconds."


def _broken(intent: CallIntent, error: Exception) -> AnswerLost:
    """Return the failure of a tool that broke in the middle of its call."""
    message = f"Baton itself failed at {intent.name}: {type(error).__name__}. The worker's log has the details."
    return AnswerLost(ErrorClass.INTERNAL, "internal", message)
