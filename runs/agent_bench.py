"""The test bench of an agent: what a test will cost at most, and what it came to."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import re2
from django.db.models import QuerySet

from accounts.access import Actor, get, scoped
from accounts.errors import NotFound
from pipelines.graph.canonical import canonical_json
from pipelines.graph.lock import Price
from pipelines.graph.model import Json
from pipelines.graph.money import price_of, rounded_up
from pipelines.library.models import is_simulated
from pipelines.library.prices import price
from pipelines.models import Agent, AgentVersion
from runs import artifacts
from runs.engine.status import RunState
from runs.models import Call, Run, Step
from runs.words import Badge, run_badge

CAP_MICROS = 100_000
"""Where a test stops unless its form says otherwise."""
OFFERED, RECENT = 20, 5
_BYTES_PER_TOKEN = 3
_PATH = "agent"
_TOLD = re2.compile(r'(?s)<untrusted source="([^"]*)">(.*)</untrusted>')


@dataclass(frozen=True, slots=True)
class Bench:
    """`version` is the one to try, `before` the one before it. Prices are None where nobody knows them.

    `call_micros` is the most that one call of the usual length costs.
    """

    agent: Agent
    version: AgentVersion
    before: AgentVersion | None
    price: Price | None
    call_micros: int | None
    cap_micros: int
    recent: Sequence[Run]

    @property
    def is_simulated(self) -> bool:
        return is_simulated(self.version.model)

    @property
    def last_prompt(self) -> str:
        """The prompt of the newest test, to be tried again after a change."""
        given = artifacts.input_of(self.recent[0]) if self.recent else {}
        return str(given.get("prompt", ""))

    @property
    def effects(self) -> bool:
        """Whether the agent has tools, so that a word about them is due."""
        return bool(self.version.tools)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call the model wanted. `would_have` says in words what a simulated one would have done."""

    name: str
    args: Json
    is_simulated: bool = False
    would_have: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """One test as far as it has come. `fields` is an object's output, part by part; else `output` is shown whole."""

    run: Run
    number: int
    model: str
    badge: Badge
    ended: bool
    output: Json
    fields: Sequence[tuple[str, Json]]
    has_schema: bool
    problem: str
    seconds: float | None
    cost_micros: int | None
    calls: Sequence[ToolCall]

    @property
    def fits(self) -> bool:
        """Whether the output was checked against a schema and kept."""
        return self.has_schema and self.run.state == RunState.SUCCEEDED

    @property
    def is_simulated(self) -> bool:
        return is_simulated(self.model)


def bench(actor: Actor, slug: str, number: int | None = None) -> Bench:
    """Return the bench of an agent's version, the newest unless another is asked for; NotFound for others."""
    agent = get(Agent, actor, slug=slug)
    rows = AgentVersion.objects.filter(agent=agent).select_related("agent__workspace").order_by("-number")
    version = rows[0] if number is None else get(rows, actor, through="agent__workspace", number=number)
    known = price(actor.workspace, version.model)
    said = {"role": version.role, "goal": version.goal, "instructions": version.instructions}
    most = None
    if known is not None:
        most = most_of_call(known, {**said, "schema": version.output_schema}, version.max_output)
    return Bench(
        agent=agent,
        version=version,
        before=rows.filter(number__lt=version.number).first(),
        price=known,
        call_micros=most,
        cap_micros=version.max_cost_micros or max(CAP_MICROS, 3 * (most or 0)),
        recent=list(_runs(actor, agent)[:RECENT]),
    )


def most_of_call(known: Price, said: Json, max_output: int) -> int:
    """Return the most that a call costs in which all this is said, in micro-dollars."""
    given = -(-len(canonical_json(said)) // _BYTES_PER_TOKEN)
    return rounded_up(price_of(given, known.input) + price_of(max_output, known.output))


def trial(actor: Actor, slug: str, run_id: object) -> Trial:
    """Return one test of an agent; NotFound for other runs and other people's."""
    agent = get(Agent, actor, slug=slug)
    run = get(Run.objects.select_related("pipeline", "version"), actor, pk=run_id)
    spec = next((one for ref, one in run.version.lock["agents"].items() if ref.partition("@")[0] == agent.slug), None)
    if "test" not in run.tags or spec is None:
        raise NotFound
    step = Step.objects.filter(run=run, path=_PATH).first()
    asked = Call.objects.filter(run=run, kind="model").order_by("id")
    last = asked.last()
    output = run.output if run.output is not None else step.output if step else None
    ended = RunState(run.state).is_terminal
    schema = spec.get("output_schema")
    return Trial(
        run=run,
        number=int(spec["id"].partition("@")[2]),
        model=last.name if last else spec["model"],
        badge=run_badge(run.state, run.reason),
        ended=ended,
        output=output,
        fields=parts_of(output, schema),
        has_schema=schema is not None,
        problem=_problem(run, step) if ended else "",
        seconds=(run.finished_at - run.started_at).total_seconds() if run.finished_at and run.started_at else None,
        cost_micros=None if run.unpriced_calls and not run.cost_micros else run.cost_micros,
        calls=list(tool_calls(last)) if last else (),
    )


def _runs(actor: Actor, agent: Agent) -> "QuerySet[Run]":
    rows = scoped(Run, actor).filter(rehearsal=True, tags__contains=["test"], pipeline__archived_at__isnull=False)
    return rows.filter(version__lock__agents__has_any_keys=_refs(agent)).order_by("-created_at")


def _refs(agent: Agent) -> list[str]:
    numbers = AgentVersion.objects.filter(agent=agent).order_by("-number").values_list("number", flat=True)
    return [f"{agent.slug}@{number}" for number in numbers[:OFFERED]]


def parts_of(output: Json, schema: Json) -> list[tuple[str, Json]]:
    """Return an object's parts, those the schema requires first and in its order."""
    if not isinstance(output, dict):
        return []
    required = schema.get("required", []) if isinstance(schema, dict) else []
    return sorted(output.items(), key=lambda one: required.index(one[0]) if one[0] in required else len(required))


def _problem(run: Run, step: Step | None) -> str:
    error = step.error if step and step.error else run.error
    return str(error.get("message", "")) if isinstance(error, Mapping) else ""


def tool_calls(last: Call) -> Iterator[ToolCall]:
    """Yield the tool calls of the conversation that the last request repeats, each with what came of it."""
    messages = (last.request or {}).get("messages", [])
    told = {message.get("tool_call_id"): message.get("text", "") for message in messages if message["role"] == "tool"}
    for message in messages:
        for use in message.get("tool_calls", ()):
            source, simulated, would_have = _outcome(told.get(use["id"], ""))
            yield ToolCall(source or use["name"], use["args"], simulated, would_have)


def _outcome(text: str) -> tuple[str, bool, str]:
    """Return which tool answered, whether it was simulated, and what it would have done."""
    found = _TOLD.search(text)
    if found is None:
        return "", False, ""
    try:
        result = json.loads(found.group(2))
    except (ValueError, RecursionError):
        result = None
    if not isinstance(result, dict) or result.get("simulated") is not True:
        return found.group(1), False, ""
    return found.group(1), True, str(result.get("would_have", ""))
