"""The results of steps that may be used again: under which key, and whether there is one already.

The key is the digest of everything that the result depends on. Secrets are no part of it: steps know them by name only.
A person who orders a retry, and a repair, ask anew; their answer takes the place of the one that was kept.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from pipelines.graph.canonical import digest
from pipelines.graph.model import Json
from pipelines.graph.tools import Effect
from runs.cache import Kept
from runs.engine.decision import Start
from runs.engine.facts import Fact, StepSucceeded
from runs.execution import agent
from runs.execution.context import StepContext

CACHED = "cached"
TTL_SECONDS = 30 * 86_400.0
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


def is_kept(context: StepContext) -> bool:
    """Tell whether a step's results are kept: its author wants it, and it changes nothing and started
    no other run. A rehearsal keeps none."""
    start = context.start
    if context.rehearsal or start.answers or (start.node.cache or {}).get("mode", "off") == "off":
        return False
    if start.node.config.get("conversation", "none") != "none":  # what it has heard is not in the key
        return False
    return start.tool is None or start.tool.effect_of(start.input["args"]) is Effect.NONE


def key_of(context: StepContext) -> str:
    """Return the digest under which the step's result is kept."""
    start = context.start
    mode = str((start.node.cache or {}).get("mode"))
    within = {"run": context.run_id, "pipeline": context.pipeline_id}.get(mode)
    return digest(
        {
            "scope": [mode, within],
            "kind": start.node.kind,
            "versions": {
                "agent": asdict(start.agent) if start.agent else None,
                "tool": start.tool.id if start.tool else None,
                "model": _model(start),
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
