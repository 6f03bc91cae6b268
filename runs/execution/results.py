"""The results of steps: made fit for the database, and those that may be used again: under which key, and whether
there is one already.

The key is the digest of everything that the result depends on. Secrets are no part of it: steps know them by name only.
A person who orders a retry, and a repair, ask anew; their answer takes the place of the one that was kept.
"""

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from pipelines.graph import canonical
from pipelines.graph.canonical import digest
from pipelines.graph.model import Json, Kind
from pipelines.graph.tools import Effect
from runs.cache import Kept
from runs.engine.decision import Start, StepRecord
from runs.engine.facts import ErrorClass, Fact, StepError, StepFailed, StepSucceeded
from runs.engine.settling import CACHED
from runs.engine.status import StepState
from runs.engine.values import LARGEST_VALUE
from runs.execution import agent
from runs.execution.context import StepContext

SANITISED = "sanitised"
TTL_SECONDS = 30 * 86_400.0
# Of no other kind is anything kept, whatever its `cache` says; publishing warns of that.
KEPT = frozenset({Kind.AGENT, Kind.TOOL, Kind.DECIDE, Kind.COMBINE})
# Fields of a step that are in its input as rendered, or that say nothing about its result.
_NOT_IN_KEY = frozenset({"prompt", "args", "value", "routes", "agent", "tool", "model"})


@dataclass(frozen=True, slots=True)
class Brought:
    """The result of an attempt, to be kept if the step ends well with it; `origin` when it was kept before."""

    path: str
    attempt: int
    key: str
    output: Json
    meta: Mapping[str, Json]
    ports: tuple[str, ...]
    ttl: float
    origin: Kept | None = None


async def earlier(context: StepContext) -> StepSucceeded | None:
    """Return the kept result of a step that wants one, marked as such and linked to its origin. At most one query."""
    start = context.start
    if not is_kept(context) or start.generation:
        return None
    kept = await context.cached(key_of(context))
    if kept is None:
        return None
    origin = {"run": kept.run_id, "path": kept.path}
    context.origin = kept
    return StepSucceeded(
        start.path, start.attempt, kept.output, {**(kept.meta or {}), CACHED: origin}, kept.ports, (CACHED,)
    )


def brought(context: StepContext, fact: Fact) -> Brought | None:
    """Return what an attempt of a step brings whose results are kept."""
    if not isinstance(fact, StepSucceeded) or not is_kept(context):
        return None
    ttl = (context.start.node.cache or {}).get("ttl") or TTL_SECONDS
    key = key_of(context)
    return Brought(fact.path, fact.attempt, key, fact.output, fact.meta, fact.ports, float(ttl), context.origin)


def is_the_end(record: StepRecord, brought: Brought) -> bool:
    """Tell whether a step ended well with what its attempt brought, and not with a default in its place."""
    is_brought = record.attempt == brought.attempt
    return is_brought and record.state is StepState.SUCCEEDED and "error" not in (record.meta or {})


def is_kept(context: StepContext) -> bool:
    """Tell whether a step's results are kept: its author wants it, and it changes nothing and started
    no other run. A rehearsal keeps none."""
    start = context.start
    if start.node.kind not in KEPT or start.judging or context.rehearsal or start.answers:
        return False
    if (start.node.cache or {}).get("mode", "off") == "off":
        return False
    if start.node.config.get("conversation", "none") != "none":  # what it has heard is not in the key
        return False
    return start.tool is None or start.tool.effect_of(start.input["args"]) is Effect.NONE


def key_of(context: StepContext) -> str:
    """Return the digest under which the step's result is kept."""
    start = context.start
    mode = str((start.node.cache or {}).get("mode"))
    within = {"run": context.run_id, "pipeline": context.pipeline_id}.get(mode)
    judges = {name: asdict(judge) for name, judge in start.judges.items()}
    return digest(
        {
            "scope": [mode, within],
            "kind": start.node.kind,
            "versions": {
                "agent": asdict(start.agent) if start.agent else None,
                "tool": start.tool.id if start.tool else None,
                "model": _model(start),
                **({"judges": judges} if judges else {}),
            },
            "params": {name: value for name, value in start.node.config.items() if name not in _NOT_IN_KEY},
            "input": start.input,
            "trust": dict(start.trust),
            "schema": start.node.output_schema,
            "words": start.cache_words,
        }
    )


def _model(start: Start) -> str | None:
    return None if start.tool else agent.model_of(start, start.agent)


def bounded(fact: Fact) -> Fact:
    """Make a result fit for the database: no NUL, no lone surrogate, no infinite number, no more than 20 MB."""
    match fact:
        case StepFailed():
            return replace(fact, jitter=random.random())  # noqa: S311  (spreads retries; nothing secret)
        case StepSucceeded():
            output, changed = canonical.sanitise(fact.output)
            size = len(canonical.canonical_json(output))
            if size > LARGEST_VALUE:
                message = f"The output is {size // 1_048_576} MB; the most a step may give is 20 MB."
                error = StepError(ErrorClass.LIMIT, "value_too_large", message, maybe_done=fact.maybe_done)
                return StepFailed(fact.path, fact.attempt, error, machine_ms=fact.machine_ms)
            return replace(fact, output=output, flags=(*fact.flags, SANITISED)) if changed else fact
        case _:
            return fact
