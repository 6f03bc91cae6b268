"""What can stand in for which steps when they have failed, and what a pipeline is given then."""

from collections.abc import Mapping

from pipelines.graph.kinds import BY_JUDGEMENT
from pipelines.graph.model import Kind, Node

# Where the fields that it is given stand in the input of a step; "" is the input itself.
WITHIN: Mapping[Kind, str] = {Kind.PIPELINE: "inputs", Kind.TOOL: "args"}
_FIELDS: Mapping[Kind, tuple[str, ...]] = {
    Kind.AGENT: ("prompt",),
    Kind.DECIDE: ("value",),
    Kind.COMBINE: ("prompt", "candidates"),
    Kind.EACH: ("over",),
    Kind.TEAM: ("task",),
    Kind.SUPERVISOR: ("task",),
}


def given_to_pipeline(node: Node) -> tuple[str, ...] | None:
    """Return the fields that a pipeline in the place of this step is given, None for a step that none can stand in for.

    What a step comes to within the engine, a pipeline cannot do better: it would fail in the same way.
    """
    match node.kind:
        case Kind.PIPELINE | Kind.TOOL:
            return tuple(node.config[WITHIN[node.kind]])
        case Kind.DECIDE if node.config["mode"] != "ai":
            return None
        case Kind.COMBINE if node.config["merge"] not in BY_JUDGEMENT:
            return None
        case _:
            return _FIELDS.get(node.kind)


def asks_model(node: Node) -> bool:
    """Tell whether a model carries the step out, so that it can be asked again, or another in its place."""
    match node.kind:
        case Kind.AGENT:
            return True
        case Kind.DECIDE:
            return bool(node.config["mode"] == "ai")
        case Kind.CHECK:
            return bool(node.rubrics)
        case Kind.COMBINE:
            return node.config["merge"] in BY_JUDGEMENT
        case _:
            return False


def takes_models(node: Node) -> bool:
    """Tell whether a model or an agent can stand in for a step, or for those who work in it."""
    return asks_model(node) or node.kind in (Kind.TEAM, Kind.SUPERVISOR)


def may_be_a_pipelines(node: Node) -> bool:
    """Tell whether a pipeline may have made what this step comes to, in its place."""
    return given_to_pipeline(node) is not None and any(entry.kind == "pipeline" for entry in node.on_error.fallback)
