"""Builders for execution tests: a step about to be carried out, and a journal kept in memory instead of rows."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NoReturn

from pipelines.graph.lock import AgentSpec, Price
from pipelines.graph.model import Kind, Node
from pipelines.graph.tools import ToolSpec
from pipelines.library.tools import TOOLS
from runs.cache import Kept
from runs.engine.budget import Refusal
from runs.engine.decision import Start
from runs.engine.facts import ErrorClass, StepError
from runs.execution.context import CallIntent, CallOutcome, JournalEntry, StepAborted
from runs.talks import Summary, Turn

WORKSPACE = "01890000-0000-7000-8000-000000000001"
CHEAP = Price(input=1_000_000, output=2_000_000)  # a micro-dollar a token in, two out


@dataclass
class MemoryContext:
    """A StepContext whose rows are lists. `refuse` is raised by the next begin; a commit takes `commit_seconds`."""

    start: Start
    run_id: str = "run-1"
    workspace_id: str = WORKSPACE
    pipeline_id: str = "pipeline-1"
    rehearsal: bool = False
    journal: list[JournalEntry] = field(default_factory=list)
    prices: Mapping[str, Price | None] = field(default_factory=dict)
    windows: Mapping[str, int] = field(default_factory=dict)
    turns: dict[str, list[Turn]] = field(default_factory=dict)
    summed_up: dict[str, list[Summary]] = field(default_factory=dict)
    tools: Mapping[str, ToolSpec] = field(default_factory=lambda: dict(TOOLS))
    intents: list[CallIntent] = field(default_factory=list)
    outcomes: list[CallOutcome] = field(default_factory=list)
    refuse: StepAborted | None = None
    commit_seconds: float = 0.0
    refusals: list[Refusal] = field(default_factory=list)
    kept: dict[str, Kept] = field(default_factory=dict)
    origin: Kept | None = None

    async def cached(self, key: str) -> Kept | None:
        return self.kept.get(key)

    async def heard(self, trusts: dict[str, str]) -> list[Turn]:
        return [turn for path in trusts for turn in self.turns.get(path, ())]

    async def said(self, key: str) -> list[Turn]:
        return list(self.turns.get(key, ()))

    async def summaries(self, key: str) -> list[Summary]:
        return self.summed_up.get(key, [])[::-1]

    def keep_summary(self, key: str, summary: Summary) -> None:
        kept = self.summed_up.setdefault(key, [])
        if summary.covers not in [one.covers for one in kept]:
            kept.append(summary)

    def stop_at(self, refusal: Refusal) -> NoReturn:
        self.refusals.append(refusal)
        raise StepAborted(StepError(ErrorClass.BUDGET, refusal.code, refusal.message))

    async def begin(self, intent: CallIntent, prepare: Callable[[], None] | None = None) -> None:
        if prepare:
            prepare()
        if self.commit_seconds:
            await asyncio.sleep(self.commit_seconds)
        if self.refuse:
            raise self.refuse
        self.intents.append(intent)
        self.journal.append(_entry(intent))

    def finish(self, intent: CallIntent, outcome: CallOutcome) -> None:
        self.outcomes.append(outcome)
        self.journal = [
            replace(
                entry,
                state=outcome.state,
                response=outcome.response,
                error=outcome.error.as_json() if outcome.error else None,
                cost_micros=outcome.cost_micros,
            )
            if entry.key == intent.key
            else entry
            for entry in self.journal
        ]

    def now(self) -> datetime:
        return datetime.now(UTC)

    def again(self, **changes: Any) -> "MemoryContext":
        """Return the next attempt (or, after a block, the same) with the journal so far."""
        changes.setdefault("attempt", self.start.attempt)
        rest = {"prices": self.prices, "tools": self.tools, "rehearsal": self.rehearsal}
        rest |= {"windows": self.windows, "turns": self.turns, "summed_up": self.summed_up}
        return MemoryContext(replace(self.start, **changes), journal=list(self.journal), **rest)

    def crash(self) -> None:
        """Forget the newest call's outcome, as a killed worker does."""
        self.journal[-1] = replace(self.journal[-1], state="started", response=None, error=None)


def _entry(intent: CallIntent) -> JournalEntry:
    return JournalEntry(
        key=intent.key,
        n=intent.n,
        kind=intent.kind,
        name=intent.name,
        state="started",
        request_hash=intent.request_hash,
        idempotency_key=intent.idempotency_key,
        effect=intent.effect,
        delivery=intent.delivery,
        approval=intent.approval,
        reserved_micros=intent.reserve_micros or 0,
    )


def an_agent(model: str = "demo/echo", **fields: Any) -> AgentSpec:
    return AgentSpec(id="writer@1", model=model, **fields)


def an_agent_step(agent: AgentSpec, prompt: str = "Say something.", **fields: Any) -> MemoryContext:
    """Return the first attempt of an agent step; `config` and `output_schema` go to its node, the rest to Start."""
    config = {"agent": agent.id, "prompt": prompt, "max_turns": 10, **fields.pop("config", {})}
    node = Node("write", Kind.AGENT, config, output_schema=fields.pop("output_schema", None))
    prices = fields.pop("prices", {agent.model: CHEAP})
    start = Start("write", 1, node, {"prompt": prompt}, fields.pop("timeout", 5.0), agent=agent, **fields)
    return MemoryContext(start, prices=prices)


def a_tool_step(tool: str, args: dict[str, Any], **fields: Any) -> MemoryContext:
    node = Node("send", Kind.TOOL, {"tool": tool, "args": args})
    timeout = fields.pop("timeout", 5.0)
    return MemoryContext(Start("send", 1, node, {"args": args}, timeout, tool=TOOLS[tool], **fields))


def a_route_step(value: Any, routes: list[dict[str, Any]], **config: Any) -> MemoryContext:
    config = {"mode": "ai", "otherwise": "other", "routes": routes, "model": "demo/judge", **config}
    node = Node("route", Kind.DECIDE, config)
    start = Start("route", 1, node, {"value": value, "routes": routes}, 5.0)
    return MemoryContext(start, prices={config["model"]: CHEAP})
