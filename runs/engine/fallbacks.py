"""Which model or agent a step uses now: its own, or the fallback it has come to."""

from pipelines.graph.model import Fallback, Kind
from runs.engine.scope import Step
from runs.engine.state import Execution


def fallbacks_of(run: Execution, step: Step) -> tuple[Fallback, ...]:
    """Return the step's fallbacks in order; a step that names none has those of its agent.

    A pipeline cannot stand in for a step before it can run as one, so such entries are left out.
    """
    node = step.node
    named = tuple(entry for entry in node.on_error.fallback if entry.kind != "pipeline")
    if named or node.kind is not Kind.AGENT:
        return named if uses_model(step) else ()
    try:
        return tuple(Fallback("model", model) for model in run.lock.agent(node.config["agent"]).fallback)
    except KeyError:
        return ()


def uses_model(step: Step) -> bool:
    """Tell whether a model carries the step out, so that it can be asked again or replaced."""
    match step.node.kind:
        case Kind.AGENT:
            return True
        case Kind.DECIDE:
            return bool(step.node.config["mode"] == "ai")
        case Kind.CHECK:
            return bool(step.node.rubrics)
        case _:
            return False


def current(run: Execution, step: Step) -> Fallback | None:
    index = step.record.memo.get("fallback", 0)
    return fallbacks_of(run, step)[index - 1] if index else None


def agent_of(run: Execution, step: Step) -> str:
    """Return the reference of the agent that does the step now, "" for a step without one."""
    fallback = current(run, step)
    if fallback and fallback.kind == "agent":
        return fallback.ref
    return str(step.node.config.get("agent") or "")


def model_of(run: Execution, step: Step) -> str | None:
    """Return the model that overrides the agent's own, None when the agent's own is meant."""
    fallback = current(run, step)
    if fallback is None:
        own = step.node.config.get("model")
        return str(own) if own else None
    return fallback.ref if fallback.kind == "model" else None
