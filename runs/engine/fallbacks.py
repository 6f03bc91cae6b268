"""Which model or agent a step uses now: its own, or the fallback it has come to."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipelines.graph.model import Fallback, Kind, Node
from pipelines.graph.stand_ins import asks_model, given_to_pipeline
from runs.engine.scope import Step

if TYPE_CHECKING:
    from runs.engine.state import Execution


def fallbacks_of(run: "Execution", step: Step) -> tuple[Fallback, ...]:
    """Return the step's fallbacks in order; a step that names none has those of its agent."""
    node = step.node
    named = tuple(entry for entry in node.on_error.fallback if _can_stand_in(step, entry))
    if named or not uses_model(step):
        return named
    try:
        agent = run.lock.agent(str(node.config.get("agent") or judge_of(node)))
    except KeyError:
        return ()
    return tuple(Fallback("model", model) for model in agent.fallback)


def _can_stand_in(step: Step, entry: Fallback) -> bool:
    """A pipeline stands in for what can hand on what it was given, a model or an agent for what a model carries out."""
    if entry.kind == "pipeline":
        return given_to_pipeline(step.node) is not None
    return uses_model(step)


def uses_model(step: Step) -> bool:
    """Tell whether a model carries the step out, so that it can be asked again or replaced."""
    return asks_model(step.node)


def judge_of(node: Node) -> str:
    """Return the agent by which a Check is judged, "" where no agent or more than one judges."""
    judges = {str(rule.get("agent") or "") for rule in node.rubrics} if node.kind is Kind.CHECK else set()
    return judges.pop() if len(judges) == 1 else ""


def agent_in_charge(run: "Execution", step: Step) -> str:
    """Return the agent whose cap the step has now: the one that carries it out, or by which a Check is judged."""
    return (agent_of(run, step) or judge_of(step.node)) if uses_model(step) else ""


def stand_ins(step: Step) -> Iterator[str]:
    """Yield the agents that the step may fall back to."""
    return (entry.ref for entry in step.node.on_error.fallback if entry.kind == "agent" and uses_model(step))


def cheaper(run: "Execution", step: Step) -> int | None:
    """Return the number (from 1) of the next fallback that costs less than what the step uses now, None without one."""
    now = _price(run, current_model(run, step))
    later = list(enumerate(fallbacks_of(run, step), 1))[step.record.memo.get("fallback", 0) :]
    for number, entry in later:
        if entry.kind == "pipeline":  # what it will cost is not known
            continue
        price = _price(run, entry.ref if entry.kind == "model" else _model_of_agent(run, entry.ref))
        if price is not None and (now is None or price < now):
            return number
    return None


def current_model(run: "Execution", step: Step) -> str:
    """Return the model that the step asks now, "" for a step without one."""
    agent = agent_in_charge(run, step)
    return model_of(run, step) or (_model_of_agent(run, agent) if agent else "")


def _price(run: "Execution", model: str) -> int | None:
    """Return what a million tokens in and a million out cost together, in micro-dollars; None when it is unknown."""
    price = run.lock.prices.get(model)
    return None if price is None else price.input + price.output


def _model_of_agent(run: "Execution", reference: str) -> str:
    try:
        return run.lock.agent(reference).model
    except KeyError:
        return ""


def current(run: "Execution", step: Step) -> Fallback | None:
    index = step.record.memo.get("fallback", 0)
    return fallbacks_of(run, step)[index - 1] if index else None


def agent_of(run: "Execution", step: Step) -> str:
    """Return the reference of the agent that does the step now, "" for a step without one."""
    fallback = current(run, step)
    if fallback and fallback.kind == "agent":
        return fallback.ref
    return str(step.node.config.get("agent") or "")


def pipeline_of(run: "Execution", step: Step) -> str:
    """Return the reference of the pipeline that carries the step out now, "" when it is none."""
    fallback = current(run, step)
    if fallback and fallback.kind == "pipeline":
        return fallback.ref
    return str(step.node.config["pipeline"]) if step.node.kind is Kind.PIPELINE else ""


def model_of(run: "Execution", step: Step) -> str | None:
    """Return the model that overrides the agent's own, None when the agent's own is meant."""
    fallback = current(run, step)
    if fallback is None:
        own = step.node.config.get("model")
        return str(own) if own else None
    return fallback.ref if fallback.kind == "model" else None
