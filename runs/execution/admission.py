"""What a call must pass before it is reserved and made: open circuits, of its agent and its own, and the limits of its
connection.

Both are rows that all workers share. This process keeps in memory, from its last look two seconds ago at most, which
connections have limits and which circuits are open, so that every other call passes without a question. What has not
been heard of a circuit that another worker opened meanwhile costs one more failed call.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from django.conf import settings
from psycopg import AsyncConnection

from pipelines.library.circuits import of_agent
from pipelines.library.models import MCP
from runs import circuits, limits
from runs.circuits import Subject
from runs.engine import fallbacks
from runs.engine.decision import Start
from runs.engine.facts import ErrorClass, Fact, StepError, StepFailed, StepSucceeded
from runs.engine.failure import CIRCUIT_OPEN
from runs.execution.context import MODEL, CallIntent, CallOutcome, StepAborted
from runs.execution.slots import Slots

Answer = TypeVar("Answer")
Question = Callable[[AsyncConnection[Any]], Awaitable[Answer]]

FAILURES = frozenset({ErrorClass.TRANSIENT, ErrorClass.TIMEOUT})
# Cut off, or stopped by a cap: nobody knows how it would have gone.
NO_VERDICT = frozenset({ErrorClass.INTERNAL, ErrorClass.BUDGET})
# Who asks to come later is alive: a circuit opened by that would stop every other run on the same model.
COME_LATER = frozenset({"rate_limited", "http_429"})
# Of an attempt these say nothing about its agent: nothing was asked of it, or somebody else stands in the way.
NOT_THE_AGENTS = COME_LATER | {CIRCUIT_OPEN, "limit_wait"}
ASK_AGAIN_SECONDS = 0.5
PROBE_SECONDS = 180.0
GRACE_SECONDS = 60.0
"""How much longer than it may take an attempt has to say how it went."""


class Ask(Protocol):
    async def __call__(self, question: Question[Answer]) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that an agent carries out. Its circuit is about the agent with the model that it uses, so that a model
    that stands in stays free to try. `seconds` is how long it may take; `is_cut` when that is less than its step's
    `timeout`, because no more time is left of a cap."""

    id: str
    subject: Subject
    seconds: float
    is_cut: bool = False

    @classmethod
    def of(cls, workspace_id: str, run_id: str, start: Start) -> "Attempt | None":
        """Return an attempt as its agent's circuit sees it, None where no agent carries it out."""
        agent = None if start.judging else start.agent or start.judges.get(fallbacks.judge_of(start.node))
        if agent is None:
            return None
        model = start.model or start.node.config.get("model") or agent.model
        subject = Subject(workspace_id, of_agent(agent.id, str(model)))
        return cls(f"{run_id}/{start.path}@{start.attempt}", subject, start.timeout, is_cut(start))


@dataclass(frozen=True, slots=True)
class Asked:
    """A call that wants to be made; it waits at most `seconds_left`, or as long as it takes (None). `is_cut` as that of
    its attempt."""

    workspace_id: str
    run_id: str
    intent: CallIntent
    seconds_left: float | None = None
    attempt: Attempt | None = None
    is_cut: bool = False

    @property
    def id(self) -> str:
        return f"{self.run_id}/{self.intent.key}"

    @property
    def subject(self) -> Subject:
        """What its circuit is about: one host that fails is not the tool's fault."""
        intent = self.intent
        url = None if intent.kind == MODEL else (intent.request.get("args") or {}).get("url")
        host = _host(url) if isinstance(url, str) else ""
        return Subject(self.workspace_id, f"{intent.name} {host}"[:400] if host else intent.name)


@dataclass(slots=True)
class _Line:
    """The calls of this process that wait for one connection: one asks for all, runs take turns."""

    turn: Slots = field(default_factory=lambda: Slots(1))
    freed: asyncio.Event = field(default_factory=asyncio.Event)


class Admission:
    """One per worker process, on its event loop. `ask` waits for the database; `spawn` does something on the side."""

    def __init__(self, owner: str, ask: Ask, spawn: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._owner, self._ask, self._spawn = owner, ask, spawn
        self._limited: dict[tuple[str, str], str] = {}
        self._open: set[Subject] = set()
        self._lines: dict[str, _Line] = {}
        self._uses: dict[str, str] = {}  # the connection of each call that was let through
        self._probes: set[str] = set()

    async def refresh(self, connection: AsyncConnection[Any]) -> None:
        """Look which connections have limits and which circuits are open; renew what is under way."""
        self._limited = await limits.limited(connection)
        self._open = await circuits.opened(connection)
        if self._uses:
            await limits.renew(connection, self._owner, settings.LEASE_SECONDS)

    def concerns(self, asked: Asked) -> bool:
        """Tell whether a call must ask at all."""
        if not self._limited and not self._open:
            return False
        is_left_alone = asked.subject in self._open or (asked.attempt and asked.attempt.subject in self._open)
        return bool(is_left_alone) or self._limits(asked) is not None

    async def enter(self, asked: Asked) -> None:
        """Return once the call may be made; raise StepAborted when its circuit is open or its turn does not come."""
        try:
            await self._pass_circuits(asked)
            if (connection_id := self._limits(asked)) is not None:
                await self._take_turn(asked, connection_id)
                await self._pass_circuits(asked)  # one may have opened while the call waited
        except BaseException:
            self.never_made(asked)
            raise

    def ended(self, asked: Asked, outcome: CallOutcome) -> None:
        """Take note of how a call went: give its turn back, count its failure, close or open its circuit."""
        if asked.id in self._uses:
            self._give_back(asked, outcome)
        error = outcome.error
        if error is not None and (error.cls in NO_VERDICT or _was_cut(asked, error)):
            self._release(asked.subject, asked.id)
        else:
            self._went(asked.subject, asked.id, error, COME_LATER)

    def attempt_ended(self, attempt: Attempt, ended: Fact) -> None:
        """Take note of how an attempt of an agent went; one that waits for somebody has not gone any way yet."""
        error = ended.error if isinstance(ended, StepFailed) else None
        is_open = not isinstance(ended, StepSucceeded | StepFailed)
        if is_open or (error is not None and _is_anothers(attempt, error)):
            self._release(attempt.subject, attempt.id)
        else:
            self._went(attempt.subject, attempt.id, error)

    def never_made(self, asked: Asked) -> None:
        """Take back what a call was given that is not made after all."""
        self._release(asked.subject, asked.id)
        connection_id = self._uses.pop(asked.id, None) or self._limits(asked)
        if connection_id is not None:
            self._spawn(self._tell(lambda connection: limits.forget(connection, asked.run_id, asked.intent.key)))
            self._line(connection_id).freed.set()

    # -- circuits ---------------------------------------------------------------------------------------------------

    async def _pass_circuits(self, asked: Asked) -> None:
        """Pass the call's own circuit, which says best what is wrong, and that of the agent that makes it."""
        await self._pass_circuit(asked.subject, asked.id)
        if (attempt := asked.attempt) is not None:
            await self._pass_circuit(attempt.subject, attempt.id, attempt.seconds + GRACE_SECONDS)

    async def _pass_circuit(self, subject: Subject, by: str, seconds: float = PROBE_SECONDS) -> None:
        if subject not in self._open or by in self._probes:
            return
        verdict = await self._ask(lambda connection: circuits.verdict(connection, subject, by, seconds))
        if verdict.probe:
            self._probes.add(by)
        elif verdict.wait is None:
            self._open.discard(subject)
        else:
            raise StepAborted(_is_open(subject, verdict))

    def _went(self, subject: Subject, by: str, error: StepError | None, pardoned: frozenset[str] = frozenset()) -> None:
        """Count a failure; any other end of the one that tries closes the circuit."""
        if error is not None and error.cls in FAILURES and error.code not in pardoned:
            self._spawn(self._failed(subject, by))
        elif by in self._probes:
            self._probes.discard(by)
            self._open.discard(subject)
            self._spawn(self._tell(lambda connection: circuits.close(connection, subject, by)))

    async def _failed(self, subject: Subject, by: str) -> None:
        if by in self._probes:
            self._probes.discard(by)
            await self._tell(lambda connection: circuits.reopen(connection, subject, by))
        elif await self._ask(lambda connection: circuits.count_failure(connection, subject)):
            self._open.add(subject)

    def _release(self, subject: Subject, by: str) -> None:
        if by in self._probes:
            self._probes.discard(by)
            self._spawn(self._tell(lambda connection: circuits.release(connection, subject, by)))

    # -- limits -----------------------------------------------------------------------------------------------------

    def _limits(self, asked: Asked) -> str | None:
        """Return the id of the call's connection if it has limits."""
        name = _connection_of(asked.intent)
        return self._limited.get((asked.workspace_id, name)) if name else None

    async def _take_turn(self, asked: Asked, connection_id: str) -> None:
        intent = asked.intent
        wanted = limits.Wanted(connection_id, asked.run_id, intent.key, self._owner, intent.max_tokens)
        try:
            async with asyncio.timeout(asked.seconds_left):
                await self._wait(wanted)
        except TimeoutError:
            name = _connection_of(intent)
            message = f"{intent.path} waited {asked.seconds_left:.0f} s for its turn at the connection {name}."
            raise StepAborted(
                StepError(ErrorClass.TIMEOUT, "limit_wait", f"{message} Raise its limits or give the step more time.")
            ) from None
        self._uses[asked.id] = connection_id

    async def _wait(self, wanted: limits.Wanted) -> None:
        line = self._line(wanted.connection_id)
        await line.turn.take(wanted.run_id)
        try:
            while True:
                line.freed.clear()
                wait = await self._ask(lambda connection: limits.admit(connection, wanted, settings.LEASE_SECONDS))
                if wait is None:
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(wait, ASK_AGAIN_SECONDS)):
                        await line.freed.wait()
        finally:
            line.turn.give()

    def _give_back(self, asked: Asked, outcome: CallOutcome) -> None:
        line = self._line(self._uses.pop(asked.id))
        counted = (outcome.input_tokens, outcome.output_tokens)
        used = None if None in counted else sum(count or 0 for count in counted)

        async def given_back() -> None:
            await self._tell(lambda connection: limits.give_back(connection, asked.run_id, asked.intent.key, used))
            line.freed.set()

        self._spawn(given_back())

    def _line(self, connection_id: str) -> _Line:
        return self._lines.setdefault(connection_id, _Line())

    async def _tell(self, news: Question[None]) -> None:
        await self._ask(news)


def is_cut(start: Start) -> bool:
    """Tell whether an attempt has less time than its author gave it, since no more is left of a cap."""
    return start.timeout < start.node.timeout


def _was_cut(asked: Asked | Attempt, error: StepError) -> bool:
    return asked.is_cut and error.cls is ErrorClass.TIMEOUT


def _is_anothers(attempt: Attempt, error: StepError) -> bool:
    """Tell whether an error says nothing about the agent: its tool's, a judge's, a cap's, that of who stopped it."""
    is_known = error.cls in NO_VERDICT or error.code in NOT_THE_AGENTS or error.elsewhere
    return is_known or _was_cut(attempt, error)


def _is_open(subject: Subject, verdict: circuits.Verdict) -> StepError:
    until = f" until {verdict.retry_at.astimezone(UTC):%H:%M:%S} UTC" if verdict.retry_at else ""
    message = (
        f"{subject.name} has failed {circuits.FAILURES} times within a minute and is left alone{until}; then one "
        "call tries whether it is back."
    )
    return StepError(ErrorClass.TRANSIENT, CIRCUIT_OPEN, message, retry_after=verdict.wait)


def _connection_of(intent: CallIntent) -> str:
    """Return the connection that a call goes through: a model's (`name/model`) or a server's (`mcp.name.tool@1`)."""
    if intent.kind == MODEL:
        return intent.name.partition("/")[0]
    first, _, rest = intent.name.partition(".")
    return rest.partition(".")[0] if first == MCP else ""


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
